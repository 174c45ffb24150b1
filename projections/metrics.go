package projections

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"daybook.example/eventstore"
)

const headEvery = 2 * time.Second

// Metrics are those of all runners of a process. No label holds an ID. A nil one
// counts nothing.
type Metrics struct {
	lagBytes, lagSeconds, state *prometheus.GaugeVec
	rebuilt                     *prometheus.GaugeVec
	events, retries, standby    *prometheus.CounterVec
	batchEvents, batchSeconds   *prometheus.HistogramVec
}

// NewMetrics registers the metrics of the runners.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "daybook_projections_" + name, Help: help}, append([]string{"projection", "version"}, labels...))
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "daybook_projections_" + name, Help: help}, []string{"projection", "version"})
	}
	histogram := func(name, help string, first, factor float64, count int) *prometheus.HistogramVec {
		buckets := prometheus.ExponentialBuckets(first, factor, count)
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "daybook_projections_" + name, Help: help, Buckets: buckets}, []string{"projection", "version"})
	}
	m := &Metrics{
		lagBytes:     gauge("lag_bytes", "Bytes of the log between the checkpoint and the head."),
		lagSeconds:   gauge("lag_seconds", "How long the checkpoint has been behind the head."),
		rebuilt:      gauge("rebuild_ratio", "How much of the log a version that is being built holds, from 0 to 1."),
		state:        gauge("state", "1 for the state that the runner is in.", "state"),
		events:       counter("events_total", "Events applied."),
		retries:      counter("retries_total", "Times that a runner had to begin again."),
		standby:      counter("standby_seconds_total", "Time spent waiting for another process to give the projection up."),
		batchEvents:  histogram("batch_events", "Events in a batch.", 1, 4, 7),
		batchSeconds: histogram("batch_seconds", "Time from a batch's arrival to its commit.", 0.001, 2, 14),
	}
	registry.MustRegister(m.lagBytes, m.lagSeconds, m.state, m.rebuilt, m.events, m.retries, m.standby, m.batchEvents, m.batchSeconds)
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
		m.state.WithLabelValues(s.Name, strconv.Itoa(s.Version), string(state)).Set(value)
	}
}

func (m *Metrics) retried(of Spec) {
	if m != nil {
		m.retries.WithLabelValues(of.Name, strconv.Itoa(of.Version)).Inc()
	}
}

func (m *Metrics) stoodBy(of Spec, d time.Duration) {
	if m != nil {
		m.standby.WithLabelValues(of.Name, strconv.Itoa(of.Version)).Add(d.Seconds())
	}
}

func (m *Metrics) applied(of Spec, events int, took time.Duration) {
	if m == nil {
		return
	}
	m.events.WithLabelValues(of.Name, strconv.Itoa(of.Version)).Add(float64(events))
	m.batchEvents.WithLabelValues(of.Name, strconv.Itoa(of.Version)).Observe(float64(events))
	m.batchSeconds.WithLabelValues(of.Name, strconv.Itoa(of.Version)).Observe(took.Seconds())
}

// building shows how far the versions are that are being built.
func (m *Metrics) building(versions []Version) {
	if m == nil {
		return
	}
	m.rebuilt.Reset()
	for _, v := range versions {
		if v.Phase == Building {
			m.rebuilt.WithLabelValues(v.Name, strconv.Itoa(v.Version)).Set(v.Progress())
		}
	}
}

// Watch measures how far the runners are behind the head of the log, until ctx
// ends. It asks the store itself, so that a dead subscription shows.
func (m *Metrics) Watch(ctx context.Context, store eventstore.Reader, runners func() []*Runner) {
	behindSince := map[string]time.Time{}
	for ; ctx.Err() == nil; sleep(ctx, headEvery) {
		head, err := store.Head(ctx)
		if err != nil {
			continue
		}
		for _, r := range runners() {
			m.compare(r.Status(), head, behindSince)
		}
	}
}

func (m *Metrics) compare(s Status, head Position, behindSince map[string]time.Time) {
	of := Spec{Name: s.Name, Version: s.Version}.SchemaName()
	if !s.Position.Less(head) {
		delete(behindSince, of)
		m.lagBytes.WithLabelValues(s.Name, strconv.Itoa(s.Version)).Set(0)
		m.lagSeconds.WithLabelValues(s.Name, strconv.Itoa(s.Version)).Set(0)
		return
	}
	if behindSince[of].IsZero() {
		behindSince[of] = time.Now()
	}
	m.lagBytes.WithLabelValues(s.Name, strconv.Itoa(s.Version)).Set(float64(head.Commit - s.Position.Commit))
	m.lagSeconds.WithLabelValues(s.Name, strconv.Itoa(s.Version)).Set(time.Since(behindSince[of]).Seconds())
}
