// Package domain holds what every aggregate shares: the shape of a decider, the
// catalog of stored events and the words of the business. It is pure: no clock,
// no randomness, no I/O. Whatever comes from outside arrives in a command.
package domain

import (
	"time"

	"github.com/google/uuid"
)

// A Recording says which fact an event is: corrections name facts by it.
// RecordedAt takes no part in decisions.
type Recording struct {
	ID         uuid.UUID
	Revision   uint64
	RecordedAt time.Time
}

// A Recorded event is a fact of one stream.
type Recorded[E any] struct {
	Recording
	Event E
}

// A Decider is the whole behaviour of one kind of stream, as three pure parts.
// Initial is a zero value: Evolve makes the maps it needs, so that no two
// streams share one. Evolve may change its state in place; Decide never does.
// Claims, where set, names what an event needs to be unique across streams. Copy,
// for states of long streams, returns a state that shares nothing with its
// original that Evolve changes: with one, those who lose a race need not fold anew.
type Decider[C, S, E any] struct {
	Initial S
	Decide  func(S, C) ([]E, error)
	Evolve  func(S, Recorded[E]) S
	Claims  func(S, E) []Claim
	Copy    func(S) S
}

// Fold replays facts over a state.
func (d Decider[C, S, E]) Fold(state S, facts ...Recorded[E]) S {
	for _, fact := range facts {
		state = d.Evolve(state, fact)
	}
	return state
}

// A Claim is a value that may have one owner at a time in its set. Release
// says that the event gives it back.
type Claim struct {
	Set     string
	Value   string
	Release bool
}
