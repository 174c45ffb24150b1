package employee_test

import (
	"testing"

	. "daybook.example/domain/employee"
)

// BenchmarkTimeline folds the record of everyShape: 16 events.
func BenchmarkTimeline(b *testing.B) {
	all := record(everyShape()...)
	b.ReportAllocs()
	for b.Loop() {
		Timeline(all)
	}
}

// BenchmarkDecide decides one change of pay on the same record.
func BenchmarkDecide(b *testing.B) {
	state := given(b, everyShape()...).State()
	change := pay("7000", "2024-10-01").With(ctx)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decider.Decide(state, change); err != nil {
			b.Fatal(err)
		}
	}
}
