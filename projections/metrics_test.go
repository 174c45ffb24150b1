package projections_test

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore/eventstoretest"
	"daybook.example/projections"
)

// gauge is the value of a metric with the given labels, if there is one.
func gauge(t *testing.T, registry *prometheus.Registry, name string, labels map[string]string) (value float64, found bool) {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			matches := 0
			for _, label := range metric.GetLabel() {
				if labels[label.GetName()] == label.GetValue() {
					matches++
				}
			}
			if family.GetName() == name && matches == len(labels) {
				return metric.GetGauge().GetValue() + metric.GetCounter().GetValue(), true
			}
		}
	}
	return 0, false
}

func TestADeadProjectorShowsAsLag(t *testing.T) {
	t.Parallel()
	h := open(t)
	require.NoError(t, projections.Prepare(t.Context(), h.pool, h.log, counting{name: "counting"}))
	registry := prometheus.NewRegistry()
	metrics := projections.NewMetrics(registry)
	health := projections.NewHealth(projections.HealthOptions{Pool: h.pool, Store: h.Reader, Registry: registry, Every: tick})
	runner := projections.NewRunner(projections.Options{Pool: h.pool, Store: h.Client, Logger: eventstoretest.Quiet, Metrics: metrics}, counting{name: "counting"})
	_, last := h.put("claim-test-0", taken())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go health.Watch(ctx)

	counting := map[string]string{"projection": "counting"}
	lag := func() float64 {
		bytes, _ := gauge(t, registry, "daybook_projections_lag_bytes", counting)
		return bytes
	}
	require.Eventually(t, func() bool { return lag() > 0 }, patience, tick, "it was never run")
	state, _ := gauge(t, registry, "daybook_projections_state", map[string]string{"projection": "counting", "state": "starting"})
	require.EqualValues(t, 1, state)

	go func() { _ = runner.Run(ctx) }()
	h.wait(runner, last)
	require.Eventually(t, func() bool { return lag() == 0 }, patience, tick)
	applied, _ := gauge(t, registry, "daybook_projections_events_total", counting)
	require.EqualValues(t, 2, applied, "the name of the log is an event too")
}
