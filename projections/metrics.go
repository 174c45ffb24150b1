package projections

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"daybook.example/eventstore"
)

const headEvery = 2 * time.Second

// Metrics are those of all runners of a process. No label holds an ID. A nil one
// counts nothing.
type Metrics struct {
	lagBytes, lagSeconds, state *prometheus.GaugeVec
	events, retries, standby    *prometheus.CounterVec
	batchEvents, batchSeconds   *prometheus.HistogramVec
}

// NewMetrics registers the metrics of the runners.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "daybook_projections_" + name, Help: help}, append([]string{"projection"}, labels...))
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "daybook_projections_" + name, Help: help}, []string{"projection"})
	}
	histogram := func(name, help string, first, factor float64, count int) *prometheus.HistogramVec {
		buckets := prometheus.ExponentialBuckets(first, factor, count)
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "daybook_projections_" + name, Help: help, Buckets: buckets}, []string{"projection"})
	}
	m := &Metrics{
		lagBytes:     gauge("lag_bytes", "Bytes of the log between the checkpoint and the head."),
		lagSeconds:   gauge("lag_seconds", "How long the checkpoint has been behind the head."),
		state:        gauge("state", "1 for the state that the runner is in.", "state"),
		events:       counter("events_total", "Events applied."),
		retries:      counter("retries_total", "Times that a runner had to begin again."),
		standby:      counter("standby_seconds_total", "Time spent waiting for another process to give the projection up."),
		batchEvents:  histogram("batch_events", "Events in a batch.", 1, 4, 7),
		batchSeconds: histogram("batch_seconds", "Time from a batch's arrival to its commit.", 0.001, 2, 14),
	}
	registry.MustRegister(m.lagBytes, m.lagSeconds, m.state, m.events, m.retries, m.standby, m.batchEvents, m.batchSeconds)
	return m
}

func (m *Metrics) show(s Status) {
	if m == nil {
		return
	}
	for _, state := range []State{Starting, Standby, Running, Retrying, Halted, Stopped} {
		value := 0.0
		if state == s.State {
			value = 1
		}
		m.state.WithLabelValues(s.Name, string(state)).Set(value)
	}
}

func (m *Metrics) retried(name string) {
	if m != nil {
		m.retries.WithLabelValues(name).Inc()
	}
}

func (m *Metrics) stoodBy(name string, d time.Duration) {
	if m != nil {
		m.standby.WithLabelValues(name).Add(d.Seconds())
	}
}

func (m *Metrics) applied(name string, events int, took time.Duration) {
	if m == nil {
		return
	}
	m.events.WithLabelValues(name).Add(float64(events))
	m.batchEvents.WithLabelValues(name).Observe(float64(events))
	m.batchSeconds.WithLabelValues(name).Observe(took.Seconds())
}

// Watch measures how far the runners are behind the head of the log, until ctx
// ends. It asks the store itself, so that a dead subscription shows.
func (m *Metrics) Watch(ctx context.Context, store eventstore.Reader, runners []*Runner) {
	behindSince := make(map[string]time.Time, len(runners))
	for ; ctx.Err() == nil; sleep(ctx, headEvery) {
		head, err := store.Head(ctx)
		if err != nil {
			continue
		}
		for _, r := range runners {
			m.compare(r.Status(), head, behindSince)
		}
	}
}

func (m *Metrics) compare(s Status, head Position, behindSince map[string]time.Time) {
	if !s.Position.Less(head) {
		delete(behindSince, s.Name)
		m.lagBytes.WithLabelValues(s.Name).Set(0)
		m.lagSeconds.WithLabelValues(s.Name).Set(0)
		return
	}
	if behindSince[s.Name].IsZero() {
		behindSince[s.Name] = time.Now()
	}
	m.lagBytes.WithLabelValues(s.Name).Set(float64(head.Commit - s.Position.Commit))
	m.lagSeconds.WithLabelValues(s.Name).Set(time.Since(behindSince[s.Name]).Seconds())
}
