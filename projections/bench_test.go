package projections_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/projections"
	"daybook.example/projections/audit"
	"daybook.example/projections/journal"
	"daybook.example/projections/projtest"
)

// BenchmarkOneEvent commits batches of one event, in turns on a connection of the
// writer's own, in three round trips, and behind a pooler, in two more; and the
// same for a projection that takes nothing of it, in one round trip and in three. It
// reports the medians, which hold on a busy machine.
func BenchmarkOneEvent(b *testing.B) {
	for name, p := range map[string]projections.Projection{"taken": audit.New(), "nothing taken": journal.New()} {
		b.Run(name, func(b *testing.B) {
			own := newLine(b, p, projections.Ownership{Owner: "bench"})
			pooled := newLine(b, p, projections.Ownership{Owner: "bench", Unlocked: true})
			for b.Loop() {
				own.apply(b)
				pooled.apply(b)
			}
			b.ReportMetric(own.median(), "own-us")
			b.ReportMetric(pooled.median(), "pooled-us")
			b.ReportMetric(own.median()/pooled.median(), "own/pooled")
		})
	}
}

// A line of events is applied one by one.
type line struct {
	log    *projtest.Log
	at     time.Time
	writer *projections.Writer
	took   []time.Duration
}

func newLine(b *testing.B, p projections.Projection, o projections.Ownership) *line {
	writer, err := projections.Claim(b.Context(), projtest.Empty(b, p).Pool, p, o)
	require.NoError(b, err)
	b.Cleanup(writer.Close)
	return &line{log: projtest.NewLog(b), at: noon, writer: writer}
}

func (l *line) apply(b *testing.B) {
	l.at = l.at.Add(time.Second)
	events := l.log.Append(l.at, "claim-test-0", taken())
	began := time.Now()
	require.NoError(b, l.writer.Apply(b.Context(), events, events[0].Position))
	l.took = append(l.took, time.Since(began))
}

func (l *line) median() float64 {
	return float64(slices.Sorted(slices.Values(l.took))[len(l.took)/2].Nanoseconds()) / 1000
}
