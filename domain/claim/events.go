package claim

import (
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
)

// Event is one fact in a claim's stream. The types below are the stored format:
// fields may be added, never renamed or reused; a changed meaning is a new event.
// testdata/stored.golden pins every shape.
type Event interface {
	domain.Named
	evolve(State, domain.Recording) State
}

// Catalog decodes every event of a claim's stream.
var Catalog = domain.NewCatalog(
	domain.Is(asEvent[Taken]),
	domain.Is(asEvent[Confirmed]),
	domain.Is(asEvent[Released]),
)

func asEvent[E Event](event E) Event { return event }

// Taken gives the value to an owner, until it expires or is confirmed.
type Taken struct {
	Owner     string    `json:"owner"` // the stream that holds the fact
	CommandID uuid.UUID `json:"command_id"`
	Expires   time.Time `json:"expires"` // UTC, microseconds
}

// Confirmed makes the claim last.
type Confirmed struct {
	Owner string `json:"owner"`
}

// Released makes the value free.
type Released struct {
	Owner  string `json:"owner"`
	Reason string `json:"reason"` // a code
}

// EventType is the stored name.
func (Taken) EventType() string { return "claim-taken" }

// EventType is the stored name.
func (Confirmed) EventType() string { return "claim-confirmed" }

// EventType is the stored name.
func (Released) EventType() string { return "claim-released" }

func (e Taken) evolve(_ State, _ domain.Recording) State {
	return State{Owner: e.Owner, CommandID: e.CommandID, Expires: e.Expires}
}

func (e Confirmed) evolve(s State, _ domain.Recording) State {
	s.Confirmed = true
	return s
}

func (Released) evolve(State, domain.Recording) State { return State{} }
