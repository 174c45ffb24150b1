// Package operation decides what operators put on record about the running of
// Daybook itself, so that no admin action has a path around the log.
package operation

import (
	"cmp"
	"errors"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/field"
)

// Category is the category of the operators' stream.
const Category = "operations"

// Stream is the one stream of what operators did.
const Stream = "operations"

// LogStream is the stream that names the log; the last event in it counts.
const LogStream = "log"

// Decider is the behaviour of the operators' record.
var Decider = domain.Decider[Command, State, Event]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, fact domain.Recorded[Event]) State { return fact.Event.evolve(s, fact.Recording) },
}

// A Command is one intent of an operator.
type Command interface{ decide(State) ([]Event, error) }

// State is what is on record.
type State struct {
	demo   *DemoStarted
	waived map[waiver]bool
	begun  bool
}

type waiver struct {
	projection string
	event      uuid.UUID
}

// Demo is how the log's demo company was made; none if the log is a real one.
func (s State) Demo() (DemoStarted, bool) {
	if s.demo == nil {
		return DemoStarted{}, false
	}
	return *s.demo, true
}

// Waived reports whether a projection may pass an event that it cannot apply.
func (s State) Waived(projection string, event uuid.UUID) bool {
	return s.waived[waiver{projection, event}]
}

// Rules are the stable codes of all refusals, with what each asks for.
var Rules = map[string]string{
	"required":       "the field must be given",
	"text-invalid":   "text has at most 200 characters, no control characters, and no blanks around it",
	"code-invalid":   "a code has lower-case letters, digits, - and _, at most 64",
	"not-a-demo":     "a log is a demo from its first event on, or never",
	"demo-differs":   "a demo is continued as it began",
	"dates-reversed": "the simulated clock runs forwards",
	"not-halted-at":  "an event is waived once a projection is halted at it, not before",
}

// WaiveEvent lets a projection pass the event that it is halted at. Nobody can
// waive what has not failed: it would be passed unseen.
type WaiveEvent struct {
	Operator   string    `json:"-"` // the principal who asks
	Projection string    `json:"-"`
	HaltedAt   uuid.UUID `json:"-"` // the event that the projection is halted at; zero: none
	EventID    uuid.UUID `json:"event_id"`
	Reason     string    `json:"reason"` // about the event; nobody is named in it
}

// errNoContext says that the edge left out what only it can know.
var errNoContext = errors.New("operation: a command came without its operator or its projection")

func (c WaiveEvent) decide(s State) ([]Event, error) {
	if c.Operator == "" || c.Projection == "" {
		return nil, errNoContext
	}
	if err := cmp.Or(
		field.Required("/event_id", c.EventID),
		field.Line("/reason", c.Reason),
	); err != nil {
		return nil, err
	}
	switch {
	case s.Waived(c.Projection, c.EventID):
		return nil, nil
	case c.HaltedAt == uuid.Nil:
		return nil, domain.Refuse("not-halted-at", "/event_id", "the projection %s is not halted: an event is waived once it has failed", c.Projection)
	case c.HaltedAt != c.EventID:
		return nil, domain.Refuse("not-halted-at", "/event_id", "the projection %s is halted at event %s: waive that one", c.Projection, c.HaltedAt)
	}
	return []Event{ProjectionEventWaived{c.Projection, c.EventID, c.Reason, c.Operator}}, nil
}

// StartDemo says in a log's first event that the company in it is invented and
// its clock was simulated at first.
type StartDemo struct {
	Seed uint32      `json:"seed"`
	From domain.Date `json:"from"` // the simulated clock's first day
	To   domain.Date `json:"to"`   // its last one; after it, time is real
}

func (c StartDemo) decide(s State) ([]Event, error) {
	if err := cmp.Or(field.Required("/from", c.From), field.Required("/to", c.To)); err != nil {
		return nil, err
	}
	started := DemoStarted(c)
	switch {
	case c.To.Before(c.From):
		return nil, domain.Refuse("dates-reversed", "/to", "the simulated clock runs forwards: to is not before from")
	case s.demo != nil && *s.demo == started:
		return nil, nil
	case s.demo != nil:
		return nil, domain.Refuse("demo-differs", "", "this demo began with seed %d; continue it with the same one", s.demo.Seed)
	case s.begun:
		return nil, domain.Refuse("not-a-demo", "", "this log is a real one: start a demo in another folder")
	}
	return []Event{started}, nil
}

// RestoreLog puts on record that a backup took the log's place, and that all
// behind its last event is lost.
type RestoreLog struct {
	LastEventID uuid.UUID `json:"-"` // the last event in the backup, as its manifest says
	ReasonCode  string    `json:"reason_code"`
}

func (c RestoreLog) decide(State) ([]Event, error) {
	if err := cmp.Or(
		field.Required("/last_event_id", c.LastEventID),
		field.Required("/reason_code", c.ReasonCode),
		field.Code("/reason_code", c.ReasonCode),
	); err != nil {
		return nil, err
	}
	return []Event{LogRestored(c)}, nil
}
