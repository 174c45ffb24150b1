package process

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/employee"
	"daybook.example/domain/process"
	"daybook.example/eventstore"
)

// A story is what happened before a definition is asked: pure, without a store.
type story struct {
	t          testing.TB
	definition Definition
	staff      *Staff
	events     int
	revisions  map[string]uint64
	own        map[uuid.UUID]process.State
	last       Event
}

// A fact is one thing that happens in a story.
type fact func(*story)

// given tells what happened.
func given(t testing.TB, d Definition, facts ...fact) *story {
	s := &story{t: t, definition: d, staff: NewStaff(), revisions: map[string]uint64{}, own: map[uuid.UUID]process.State{}}
	for _, f := range facts {
		f(s)
	}
	return s
}

// when tells what happens now.
func (s *story) when(f fact) *story {
	f(s)
	return s
}

// starts requires the last event to start exactly these instances.
func (s *story) starts(want ...uuid.UUID) *story {
	s.t.Helper()
	var started []uuid.UUID
	for _, target := range s.definition.Route(s.staff, s.last) {
		if target.Start && !slices.Contains(started, target.ID) {
			started = append(started, target.ID)
		}
	}
	require.ElementsMatch(s.t, want, started)
	return s
}

// tells requires the last event to concern an instance.
func (s *story) tells(id uuid.UUID) *story {
	s.t.Helper()
	require.True(s.t, slices.ContainsFunc(s.definition.Route(s.staff, s.last), func(t Target) bool { return t.ID == id }))
	return s
}

// then requires an instance to do exactly this; it is on record afterwards.
func (s *story) then(id uuid.UUID, want ...process.Event) *story {
	s.t.Helper()
	got := s.definition.React(s.staff, id, s.own[id])
	require.Equal(s.t, want, got)
	for _, event := range got {
		s.record(id, event)
	}
	return s
}

// eventID is the ID of the n-th event of a story, from 1.
func eventID(n int) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

func (s *story) recorded(stream string, event domain.Named) Event {
	s.events++
	place := uint64(s.events * 100)
	e := Event{Recorded: eventstore.Recorded{
		ID: eventID(s.events), Stream: stream, Revision: s.revisions[stream], Position: eventstore.Position{Commit: place, Prepare: place}, Type: event.EventType(),
	}, Meta: domain.Metadata{RecordedAt: day("2026-01-15").Time()}, Decoded: event}
	s.revisions[stream]++
	s.last = e
	return e
}

func (s *story) record(id uuid.UUID, event process.Event) {
	e := s.recorded(process.Stream(s.definition.Name(), id), event)
	s.own[id] = process.Decider.Evolve(s.own[id], domain.Recorded[process.Event]{Recording: domain.Recording{ID: e.ID}, Event: event})
}

// told is an event of an employee.
func told(id uuid.UUID, event employee.Event) fact {
	return func(s *story) { s.staff.Apply(s.recorded(employee.Stream(id), event)) }
}

// noted is an event of an instance's own stream.
func noted(id uuid.UUID, event process.Event) fact {
	return func(s *story) { s.record(id, event) }
}

// confirmed carries an instance's first open command out: its event is heard of
// now, or later by the fact that is returned.
func confirmed(id uuid.UUID) fact {
	return func(s *story) {
		arrive := s.carryOut(id)
		arrive()
	}
}

// carryOut records the answer to an instance's first open command.
func (s *story) carryOut(id uuid.UUID) (arrive func()) {
	s.t.Helper()
	at := slices.IndexFunc(s.own[id].Steps, func(step process.Step) bool { return step.Answer == process.Pending })
	require.GreaterOrEqual(s.t, at, 0, "nothing is asked for")
	step := s.own[id].Steps[at]
	var event employee.Event = employee.ManagerAssigned{ManagerEmployeeID: step.Intent.ManagerEmployeeID, EffectiveFrom: step.Intent.EffectiveFrom}
	if step.Intent.Command == rescindFact {
		event = employee.FactRescinded{RescindsEventID: step.Intent.RescindsEventID}
	}
	made := s.recorded(employee.Stream(step.Intent.EmployeeID), event)
	s.record(id, process.CommandConfirmed{CommandID: step.CommandID, Revision: made.Revision, EventIDs: []uuid.UUID{made.ID}, Version: 1})
	return func() { s.staff.Apply(made); s.last = made }
}

func rejected(id uuid.UUID, code string) fact {
	return func(s *story) {
		at := slices.IndexFunc(s.own[id].Steps, func(step process.Step) bool { return step.Answer == process.Pending })
		require.GreaterOrEqual(s.t, at, 0, "nothing is asked for")
		s.record(id, process.CommandRejected{CommandID: s.own[id].Steps[at].CommandID, Code: code, Version: 1})
	}
}

func day(text string) domain.Date { return domain.MustDate(text) }

// hired takes somebody on, under a manager if one is named.
func hired(id uuid.UUID, from string, manager ...uuid.UUID) fact {
	return func(s *story) {
		told(id, employee.EmployeeHired{Terms: employee.Terms{HireDate: day(from)}})(s)
		for _, m := range manager {
			told(id, employee.ManagerAssigned{ManagerEmployeeID: m, EffectiveFrom: day(from)})(s)
		}
	}
}

func leaves(id uuid.UUID, last string) fact {
	return told(id, employee.EmploymentTerminated{LastDay: day(last)})
}

// rescinded takes back the n-th event of the story.
func rescinded(id uuid.UUID, n int) fact {
	return told(id, employee.FactRescinded{RescindsEventID: eventID(n)})
}
