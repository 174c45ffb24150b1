package commands

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"daybook.example/domain"
)

// metrics observe each command once, by its name and outcome and by nothing
// that could tell one entity from another.
type metrics struct {
	seconds *prometheus.HistogramVec
	batch   prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "daybook_commands_command_seconds",
			Help:    "Time from a command's arrival at its handler to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}, []string{"command", "outcome"}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "daybook_commands_append_commands",
			Help:    "Commands that were appended together.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}),
	}
	if registry != nil {
		registry.MustRegister(m.seconds, m.batch)
	}
	return m
}

func (m *metrics) observe(command any, answer Answer, err error, took time.Duration) {
	name := strings.TrimPrefix(fmt.Sprintf("%T", command), "*")
	m.seconds.WithLabelValues(name, outcome(answer, err)).Observe(took.Seconds())
}

func outcome(answer Answer, err error) string {
	var refusal *domain.Error
	switch {
	case errors.As(err, &refusal) && refusal.Kind == domain.Unknown:
		return "unknown"
	case refusal != nil:
		return "refused"
	case err != nil:
		return "failed"
	case answer.Repeated:
		return "repeated"
	case len(answer.Events) == 0:
		return "unchanged"
	}
	return "decided"
}
