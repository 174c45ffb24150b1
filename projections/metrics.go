package projections

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"daybook.example/eventstore/subscription"
)

// Metrics are those of all runners of a process. No label holds an ID. A nil one
// counts nothing.
type Metrics struct {
	registry                    prometheus.Registerer
	state, standby, rebuilt     *prometheus.GaugeVec
	events, retries             *prometheus.CounterVec
	batchEvents, batchSeconds   *prometheus.HistogramVec
	applySeconds, commitSeconds *prometheus.HistogramVec
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
		registry:      registry,
		rebuilt:       gauge("rebuild_ratio", "How much of the log a version that is being built holds, from 0 to 1."),
		state:         gauge("state", "1 for the state that the runner is in.", "state"),
		events:        counter("events_total", "Events applied."),
		retries:       counter("retries_total", "Times that a runner had to begin again."),
		standby:       gauge("standby_seconds", "How long this process has stood by for the holder, the process that owns the projection.", "holder"),
		batchEvents:   histogram("batch_events", "Events in a batch.", 1, 4, 7),
		batchSeconds:  histogram("batch_seconds", "Time from a batch's arrival to its commit.", 0.001, 2, 14),
		applySeconds:  histogram("apply_seconds", "Time that a batch's projection took, with its statements.", 0.001, 2, 14),
		commitSeconds: histogram("commit_seconds", "Time that a batch's commit took.", 0.0001, 2, 14),
	}
	registry.MustRegister(m.state, m.rebuilt, m.events, m.retries, m.standby, m.batchEvents, m.batchSeconds, m.applySeconds, m.commitSeconds)
	return m
}

// Feed registers the metrics of the feed that the runners share.
func (m *Metrics) Feed(feed *subscription.Feed) {
	gauge := func(name, help string, value func(subscription.FeedStats) int) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "daybook_projections_feed_" + name, Help: help},
			func() float64 { return float64(value(feed.Stats())) }))
	}
	counter := func(name, help string, value func(subscription.FeedStats) uint64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "daybook_projections_feed_" + name, Help: help},
			func() float64 { return float64(value(feed.Stats())) }))
	}
	gauge("events", "Events held ready for the runners.", func(s subscription.FeedStats) int { return s.Events })
	gauge("bytes", "Bytes of these events.", func(s subscription.FeedStats) int { return s.Bytes })
	gauge("sharing", "Runners that share what is read.", func(s subscription.FeedStats) int { return s.Sharing })
	gauge("alone", "Runners that are too far behind and read alone.", func(s subscription.FeedStats) int { return s.Alone })
	counter("detours_total", "Times that a runner began to read alone.", func(s subscription.FeedStats) uint64 { return s.Detours })
	counter("reconnects_total", "Times that the subscription to the event store was lost and made again.", func(s subscription.FeedStats) uint64 { return s.Reconnects })
}

func (m *Metrics) show(s Status) {
	if m == nil {
		return
	}
	for _, state := range []State{Starting, Standby, Running, Retrying, Halted, Paused, Stopped} {
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

// stoodBy shows for whom a runner has stood by, and how long; nobody: it does not.
func (m *Metrics) stoodBy(of Spec, holder string, d time.Duration) {
	if m == nil {
		return
	}
	version := strconv.Itoa(of.Version)
	m.standby.DeletePartialMatch(prometheus.Labels{"projection": of.Name, "version": version})
	if holder != "" {
		m.standby.WithLabelValues(of.Name, version, holder).Set(d.Seconds())
	}
}

func (m *Metrics) applied(of Spec, events int, took time.Duration, parts timing) {
	if m == nil {
		return
	}
	version := strconv.Itoa(of.Version)
	m.events.WithLabelValues(of.Name, version).Add(float64(events))
	m.batchEvents.WithLabelValues(of.Name, version).Observe(float64(events))
	m.batchSeconds.WithLabelValues(of.Name, version).Observe(took.Seconds())
	m.applySeconds.WithLabelValues(of.Name, version).Observe(parts.apply.Seconds())
	m.commitSeconds.WithLabelValues(of.Name, version).Observe(parts.commit.Seconds())
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
