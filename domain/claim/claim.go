// Package claim decides who owns a value of which there is one in a set: an
// employee number, the reversal of an entry. Each value has a stream of its own.
// An owner takes the value, stores the fact that needs it and confirms; a claim
// that was never confirmed expires. Nothing is deleted: a release is an event.
package claim

import (
	"cmp"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/field"
)

// Category is the category of a claim's stream.
const Category = "claim"

// Stream is the stream of one value, given by the hex HMAC of its normal form:
// a plain hash could be guessed, and the name of a stream cannot be erased.
func Stream(set, hmac string) string { return Category + "-" + set + "-" + hmac }

// Decider is the claim's behaviour.
var Decider = domain.Decider[Command, State, Event]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, fact domain.Recorded[Event]) State { return fact.Event.evolve(s, fact.Recording) },
}

// A Command is one intent towards a claim. Commands of claims come from the
// machinery, never from the wire.
type Command interface{ decide(State) ([]Event, error) }

// State is who owns the value. Without an owner it is free.
type State struct {
	Owner     string
	CommandID uuid.UUID // that took it last
	Expires   time.Time // unless it is confirmed
	Confirmed bool
}

// Free reports whether nobody owns the value.
func (s State) Free() bool { return s.Owner == "" }

// Rules are the stable codes of all refusals, with what each asks for.
var Rules = map[string]string{
	"required":       "owner and time of expiry must be given",
	"taken":          "a value has one owner at a time",
	"claim-lost":     "only who owns the value confirms it",
	"claim-of-other": "only who owns the value releases it",
}

// Take claims the value for an owner until a time, in the name of a command. The
// same command may take it again, for longer.
type Take struct {
	Owner     string
	CommandID uuid.UUID
	Expires   time.Time
}

func (c Take) decide(s State) ([]Event, error) {
	if err := cmp.Or(field.Required("/owner", c.Owner), field.Required("/expires", c.Expires)); err != nil {
		return nil, err
	}
	switch mine := s.Owner == c.Owner; {
	case s.Free(), mine && !s.Confirmed && s.CommandID == c.CommandID && c.Expires.After(s.Expires):
		return []Event{Taken(c)}, nil
	case mine && (s.Confirmed || s.CommandID == c.CommandID):
		return nil, nil
	}
	return nil, &domain.Error{Kind: domain.Taken, Code: "taken", Message: "the value belongs to another; choose a free one"}
}

// Confirm makes the claim last: the fact that needs it is stored.
type Confirm struct{ Owner string }

func (c Confirm) decide(s State) ([]Event, error) {
	switch {
	case s.Free() || s.Owner != c.Owner:
		return nil, domain.Refuse("claim-lost", "", "the claim is not, or no longer, of this owner")
	case s.Confirmed:
		return nil, nil
	}
	return []Event{Confirmed(c)}, nil
}

// Release gives the value back. Reason is a code.
type Release struct{ Owner, Reason string }

func (c Release) decide(s State) ([]Event, error) {
	switch {
	case s.Free():
		return nil, nil
	case s.Owner != c.Owner:
		return nil, domain.Refuse("claim-of-other", "", "the claim is of another owner")
	}
	return []Event{Released(c)}, nil
}
