package operation

import (
	"github.com/google/uuid"

	"daybook.example/domain"
)

// Event is one fact in the operators' stream. The types below are the stored
// format: fields may be added, never renamed or reused; a changed meaning is a
// new event. testdata/stored.golden pins every shape.
type Event interface {
	domain.Named
	evolve(State, domain.Recording) State
}

// Catalog decodes every event of the operators' stream, and the one of the
// stream that names the log.
var Catalog = domain.NewCatalog(
	domain.Is(asEvent[ProjectionEventWaived]),
	domain.Is(asEvent[DemoStarted]),
	domain.Is(asEvent[LogRestored]),
	domain.Is(asEvent[LogNamed]),
)

func asEvent[E Event](event E) Event { return event }

// ProjectionEventWaived lets a projection pass an event that it cannot apply.
// Reason is text about the event; nobody is named in it.
type ProjectionEventWaived struct {
	Projection string    `json:"projection"`
	EventID    uuid.UUID `json:"event_id"`
	Reason     string    `json:"reason"`
	Operator   string    `json:"operator"` // a principal
}

// DemoStarted is the first event of a demo's log.
type DemoStarted struct {
	Seed uint32      `json:"seed"`
	From domain.Date `json:"from"`
	To   domain.Date `json:"to"`
}

// LogRestored says that a backup took the log's place, and which event was the
// last one in it.
type LogRestored struct {
	LastEventID uuid.UUID `json:"last_event_id"`
	ReasonCode  string    `json:"reason_code"`
}

// LogNamed names the log: positions and checkpoints mean nothing on another one.
type LogNamed struct {
	LogID uuid.UUID `json:"log_id"`
}

// EventType is the stored name.
func (ProjectionEventWaived) EventType() string { return "projection-event-waived" }

// EventType is the stored name.
func (DemoStarted) EventType() string { return "operations-demo-started" }

// EventType is the stored name.
func (LogRestored) EventType() string { return "log-restored" }

// EventType is the stored name.
func (LogNamed) EventType() string { return "log-named" }

func (e ProjectionEventWaived) evolve(s State, _ domain.Recording) State {
	if s.waived == nil {
		s.waived = map[waiver]bool{}
	}
	s.waived[waiver{e.Projection, e.EventID}] = true
	s.begun = true
	return s
}

func (e DemoStarted) evolve(s State, _ domain.Recording) State {
	s.demo, s.begun = &e, true
	return s
}

func (LogRestored) evolve(s State, _ domain.Recording) State {
	s.begun = true
	return s
}

// The name of the log takes no part in what operators decide.
func (LogNamed) evolve(s State, _ domain.Recording) State { return s }
