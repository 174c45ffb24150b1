package projections

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"daybook.example/eventstore"
)

// Metrics are those of all runners of a process. No label holds an ID.
type Metrics struct {
	lagBytes   *prometheus.GaugeVec
	lagSeconds *prometheus.GaugeVec
	events     *prometheus.CounterVec
	batch      *prometheus.HistogramVec
	seconds    *prometheus.HistogramVec
	retries    *prometheus.CounterVec
	states     *prometheus.GaugeVec
}

// NewMetrics registers the metrics of the runners.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	by := []string{"projection"}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "daybook_projections_" + name, Help: help}, append(by, labels...))
	}
	m := &Metrics{
		lagBytes:   gauge("lag_bytes", "Bytes of the log between the head and the checkpoint."),
		lagSeconds: gauge("lag_seconds", "Age of the last applied event while behind, else 0."),
		states:     gauge("state", "1 for the state that the runner is in.", "state"),
		events:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "daybook_projections_events_total", Help: "Events applied."}, by),
		retries:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "daybook_projections_retries_total", Help: "Runs begun again."}, by),
		batch:      prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "daybook_projections_batch_events", Help: "Events per batch.", Buckets: prometheus.ExponentialBuckets(1, 4, 7)}, by),
		seconds:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "daybook_projections_batch_seconds", Help: "Time from a batch to its commit.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, by),
	}
	if registry != nil {
		registry.MustRegister(m.lagBytes, m.lagSeconds, m.states, m.events, m.retries, m.batch, m.seconds)
	}
	return m
}

func (m *Metrics) state(s Status) {
	if m == nil {
		return
	}
	for _, state := range []State{Starting, Standby, Running, Retrying, Halted, Stopped} {
		value := 0.0
		if state == s.State {
			value = 1
		}
		m.states.WithLabelValues(s.Name, string(state)).Set(value)
	}
}

func (m *Metrics) retried(name string) {
	if m != nil {
		m.retries.WithLabelValues(name).Inc()
	}
}

func (m *Metrics) applied(name string, events int, took time.Duration, at checkpoint, head eventstore.Position) {
	if m == nil {
		return
	}
	m.events.WithLabelValues(name).Add(float64(events))
	m.batch.WithLabelValues(name).Observe(float64(events))
	m.seconds.WithLabelValues(name).Observe(took.Seconds())
	m.lag(name, at.at, head)
}

func (m *Metrics) lag(name string, at, head eventstore.Position) {
	behind := 0.0
	if at.Less(head) {
		behind = float64(head.Commit - at.Commit)
	}
	m.lagBytes.WithLabelValues(name).Set(behind)
}

// Watch compares the head of the log with every runner, so that a dead feed
// shows as lag, until ctx ends.
func (m *Metrics) Watch(ctx context.Context, store eventstore.Reader, runners []*Runner) {
	since := make(map[string]time.Time)
	for ; ctx.Err() == nil; sleep(ctx, headEvery) {
		head, err := store.Head(ctx)
		if err != nil {
			continue
		}
		for _, r := range runners {
			s := r.Status()
			m.lag(s.Name, s.Position, head)
			if !s.Position.Less(head) {
				delete(since, s.Name)
				m.lagSeconds.WithLabelValues(s.Name).Set(0)
				continue
			}
			if since[s.Name].IsZero() {
				since[s.Name] = time.Now()
			}
			m.lagSeconds.WithLabelValues(s.Name).Set(time.Since(since[s.Name]).Seconds())
		}
	}
}
