package journal_test

import (
	"testing"

	"daybook.example/domain"
	. "daybook.example/domain/journal"
)

// BenchmarkPost decides and folds one entry after another into one period.
func BenchmarkPost(b *testing.B) {
	state := Decider.Fold(State{}, domain.Recorded[Event]{Event: inJune()[0]})
	command := sale(asIs)
	b.ReportAllocs()
	for n := range b.N {
		command.EntryID[0], command.EntryID[1], command.EntryID[2] = byte(n), byte(n>>8), byte(n>>16)
		events, err := Decider.Decide(state, command)
		if err != nil {
			b.Fatal(err)
		}
		state = Decider.Evolve(state, domain.Recorded[Event]{Recording: domain.Recording{Revision: uint64(n)}, Event: events[0]})
	}
}
