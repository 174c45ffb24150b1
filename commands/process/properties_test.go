package process

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
	"daybook.example/domain/employee"
	"daybook.example/domain/process"
	"daybook.example/eventstore"
)

// A world is a company whose people do anything that the domain lets them, and
// whose processes are driven as the runtime drives them: without a store, in an
// order that is drawn.
type world struct {
	*rapid.T
	definitions []Definition
	staff       *Staff
	people      map[uuid.UUID]employee.State
	revisions   map[string]uint64
	events      int
	late        []Event // recorded, and not heard of yet
	own         map[string]process.State
	askers      map[uuid.UUID]Target      // of a command
	made        map[uuid.UUID][]uuid.UUID // events, by employee
	moves       int
}

var crowd = []uuid.UUID{chief, head, lead, ada, ben}

func (w *world) record(stream string, event domain.Named) Event {
	w.events++
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[8:], uint64(w.events))
	e := Event{Recorded: eventstore.Recorded{ID: id, Stream: stream, Revision: w.revisions[stream], Type: event.EventType()}, Decoded: event}
	e.Meta.RecordedAt = day("2026-01-15").Time()
	w.revisions[stream]++
	return e
}

// command is one to an employee; what it records is heard of later.
func (w *world) command(id, command uuid.UUID, c employee.Command) (events []Event, err error) {
	decided, err := employee.Decider.Decide(w.people[id], c.With(employee.Context{Self: id, Subject: id, Today: day("2026-01-15"), Import: true}))
	if err != nil {
		return nil, err
	}
	for _, event := range decided {
		e := w.record(employee.Stream(id), event)
		e.Meta.CommandID = command
		recording := domain.Recording{ID: e.ID, Revision: e.Revision}
		w.people[id] = employee.Decider.Evolve(w.people[id], domain.Recorded[employee.Event]{Recording: recording, Event: event})
		w.made[id] = append(w.made[id], e.ID)
		events = append(events, e)
	}
	w.late = append(w.late, events...)
	return events, nil
}

// found hires everybody, each under one of those before.
func (w *world) found() {
	for i, id := range crowd {
		var above uuid.UUID
		if i > 0 {
			above = crowd[rapid.IntRange(0, i-1).Draw(w.T, "above")]
		}
		_, err := w.command(id, uuid.Nil, hireOf(id, above, day("2025-01-01")))
		require.NoError(w.T, err)
	}
}

func hireOf(id, above uuid.UUID, on domain.Date) employee.Hire {
	position := &employee.ChangePosition{PositionID: id, OrgUnitID: id, JobTitle: "Clerk", LocationID: id, CostCenter: "1"}
	return employee.Hire{
		PersonalData: employee.PersonalData{BirthDate: day("1990-01-01"), WorkEmail: "a@b.example"},
		Engagement:   employee.Engagement{EmployeeNo: id.String(), LegalEntityID: id, HireDate: on, EmploymentType: employee.Permanent, ManagerEmployeeID: above, Position: position},
	}
}

// act lets somebody do something.
func (w *world) act() {
	id, other := rapid.SampledFrom(crowd).Draw(w.T, "who"), rapid.SampledFrom(crowd).Draw(w.T, "other")
	on := day("2026-01-01").AddDays(30 * rapid.IntRange(0, 11).Draw(w.T, "month"))
	fact := id
	if n := len(w.made[id]); n > 0 { // of late ones first
		fact = w.made[id][n-1-min(n-1, rapid.IntRange(0, 5).Draw(w.T, "fact"))]
	}
	hire := hireOf(id, other, on)
	_, _ = w.command(id, uuid.Nil, rapid.SampledFrom([]employee.Command{
		hire, employee.Rehire{Engagement: hire.Engagement}, employee.Terminate{LastDay: on, Ground: employee.Resignation}, employee.Terminate{LastDay: on, Ground: employee.Resignation},
		employee.ChangeManager{ManagerEmployeeID: other, EffectiveFrom: on}, employee.Rescind{RescindsEventID: fact, ReasonText: "x"},
		employee.Correct{CorrectsEventID: fact, ReasonText: "x", Termination: &employee.Terminate{LastDay: on}},
		employee.Correct{CorrectsEventID: fact, ReasonText: "x", Manager: &employee.ChangeManager{ManagerEmployeeID: other}},
	}).Draw(w.T, "command"))
}

// hear hands the next event over.
func (w *world) hear() {
	if len(w.late) == 0 {
		return
	}
	e := w.late[0]
	w.late = w.late[1:]
	w.staff.Apply(e)
	for _, d := range w.definitions {
		targets := d.Route(w.staff, e)
		if asker, asked := w.askers[e.Meta.CommandID]; asked {
			targets = append(targets, asker)
		}
		for _, target := range targets {
			stream := process.Stream(d.Name(), target.ID)
			if own, begun := w.own[stream]; (begun || target.Start) && own.Last.EventID != e.ID {
				w.react(d, stream, target.ID, process.Receive{Input: process.InputReceived{Source: e.source(), Type: e.Type, Version: 1}, Last: own.Last.EventID})
			}
		}
	}
}

func (w *world) react(d Definition, stream string, id uuid.UUID, command process.Command) {
	reaction := func(own process.State) []process.Event { return d.React(w.staff, id, own) }
	switch c := command.(type) {
	case process.Receive:
		c.React = reaction
		command = c
	case process.Settle:
		c.React, c.Last = reaction, w.own[stream].Last.EventID
		command = c
	}
	decided, err := process.Decider.Decide(w.own[stream], command)
	require.NoError(w.T, err)
	for _, event := range decided {
		e := w.record(stream, event)
		w.own[stream] = process.Decider.Evolve(w.own[stream], domain.Recorded[process.Event]{Recording: domain.Recording{ID: e.ID}, Event: event})
	}
}

// answer carries the first open command of some instance out.
func (w *world) answer() bool {
	for _, d := range w.definitions {
		for _, id := range crowd {
			stream := process.Stream(d.Name(), id)
			for _, step := range w.own[stream].Steps {
				if step.Answer == process.Pending {
					w.settle(d, stream, id, step)
					return true
				}
			}
		}
	}
	return false
}

func (w *world) settle(d Definition, stream string, id uuid.UUID, step process.Step) {
	command, err := commandOf(step.Intent)
	require.NoError(w.T, err)
	w.askers[step.CommandID] = Target{ID: id}
	events, err := w.command(step.Intent.EmployeeID, step.CommandID, command)
	var refusal *domain.Error
	if errors.As(err, &refusal) {
		for len(w.late) > 0 { // as the runtime does before a refusal counts
			w.hear()
		}
		w.react(d, stream, id, process.Settle{CommandID: step.CommandID, As: process.CommandRejected{CommandID: step.CommandID, Code: refusal.Code, Version: 1}})
		return
	}
	require.NoError(w.T, err)
	confirmed := process.CommandConfirmed{CommandID: step.CommandID, Revision: w.revisions[employee.Stream(step.Intent.EmployeeID)] - 1, Version: 1}
	for _, e := range events {
		confirmed.EventIDs = append(confirmed.EventIDs, e.ID)
	}
	w.moves++
	require.Less(w.T, w.moves, 1000, "it comes to an end")
	w.react(d, stream, id, process.Settle{CommandID: step.CommandID, As: confirmed})
}

// settleAll lets everything come to rest.
func (w *world) settleAll() {
	for len(w.late) > 0 || w.answer() {
		w.hear()
	}
}

// Whatever people do, in whatever order it is heard of and answered: the processes
// come to rest, and then nobody reports to somebody who is gone, unless a person
// was called about it; nothing stands that was done for an end that is none.
func TestProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &world{T: t, definitions: Definitions(), staff: NewStaff(), people: map[uuid.UUID]employee.State{}, revisions: map[string]uint64{}, own: map[string]process.State{}, askers: map[uuid.UUID]Target{}, made: map[uuid.UUID][]uuid.UUID{}}
		w.found()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				w.act()
			case 2:
				w.hear()
			case 3:
				w.answer()
			}
		}
		w.settleAll()
		for _, manager := range crowd {
			own := w.own[process.Stream(leave, manager)]
			from, gone := w.staff.Gone(manager)
			if gone && !own.Rests() {
				for _, report := range w.staff.ReportsFrom(manager, from) {
					require.Equal(t, process.NeedsHuman, own.Status(), "%s reports to %s, who is gone from %s on", report.Employee, manager, from)
				}
			}
			for _, step := range own.Steps {
				require.NotEqual(t, process.Pending, step.Answer)
				stands := step.Undoes == uuid.Nil && !step.Undone && len(step.EventIDs) > 0 && w.staff.Says(step.Intent.EmployeeID, step.EventIDs[0])
				if stands && !own.Rests() {
					require.False(t, w.staff.Employed(manager, step.Intent.EffectiveFrom), "%s was moved for a day on which %s is there", step.Intent.EmployeeID, manager)
				}
			}
			// Who waits for a person is not told when somebody above comes back: a retry finds out.
			if _, begun := w.own[process.Stream(leave, manager)]; begun && own.Status() != process.NeedsHuman {
				require.Empty(t, (ManagerLeaves{}).React(w.staff, manager, own), "nothing is left to do")
			}
		}
	})
}
