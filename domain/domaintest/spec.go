// Package domaintest states decisions as given, when, then.
package domaintest

import (
	"encoding/binary"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
)

// A Spec checks one decision.
type Spec[C, S, E any] struct {
	t     testing.TB
	d     domain.Decider[C, S, E]
	facts []domain.Recorded[E]
	cmd   C
}

// For begins a specification of a decider.
func For[C, S, E any](t testing.TB, d domain.Decider[C, S, E]) Spec[C, S, E] {
	return Spec[C, S, E]{t: t, d: d}
}

// FactID is the ID of the i-th fact of a Spec, from 0, for corrections to name.
func FactID(i int) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[8:], uint64(i)+1)
	return id
}

// Given states what was recorded before.
func (s Spec[C, S, E]) Given(events ...E) Spec[C, S, E] {
	s.facts = nil
	for i, event := range events {
		recording := domain.Recording{ID: FactID(i), Revision: uint64(i)}
		s.facts = append(s.facts, domain.Recorded[E]{Recording: recording, Event: event})
	}
	return s
}

// When states what is asked for.
func (s Spec[C, S, E]) When(cmd C) Spec[C, S, E] {
	s.cmd = cmd
	return s
}

// Then requires exactly these events to be decided; none means nothing to do.
func (s Spec[C, S, E]) Then(want ...E) {
	s.t.Helper()
	got, err := s.decide()
	require.NoError(s.t, err)
	require.Equal(s.t, want, got)
}

// ThenRefused requires a refusal with this code and field.
func (s Spec[C, S, E]) ThenRefused(code, field string) {
	s.t.Helper()
	got, err := s.decide()
	require.Empty(s.t, got, "a refusal decides nothing")
	require.ErrorIs(s.t, err, domain.Code(code))
	var refusal *domain.Error
	require.ErrorAs(s.t, err, &refusal)
	require.Equal(s.t, field, refusal.Field)
}

func (s Spec[C, S, E]) decide() ([]E, error) {
	return s.d.Decide(s.State(), s.cmd)
}

// State is what the facts given fold to.
func (s Spec[C, S, E]) State() S { return s.d.Fold(s.d.Initial, s.facts...) }
