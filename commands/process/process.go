// Package process runs process managers: what the business asks to follow from
// one fact for other streams. A definition is pure: it says which instances a fact
// concerns, and what an instance still has to do. The runtime stores that as one
// append to the instance's own stream, sends the commands asked for, and wakes
// instances at their deadlines.
package process

import (
	"fmt"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/catalog"
	"daybook.example/domain/process"
	"daybook.example/eventstore"
)

// An Event is one of ours, as recorded and as decoded. Personal values in it are
// sealed; no definition needs them.
type Event struct {
	eventstore.Recorded
	Meta    domain.Metadata
	Decoded domain.Named // nil if Err
	Err     error        // why it could not be decoded
}

// decode makes an event of what the store keeps.
func decode(recorded eventstore.Recorded) Event {
	e := Event{Recorded: recorded}
	if e.Err = domain.Unmarshal(recorded.Metadata, &e.Meta); e.Err == nil {
		e.Decoded, e.Err = catalog.Decode(recorded.Type, e.Meta.SchemaVersion, recorded.Data)
	}
	return e
}

// source is how a process stream names the event.
func (e Event) source() process.Source {
	return process.Source{EventID: e.ID, Stream: e.Stream, Revision: e.Revision}
}

// A Target is an instance that an event concerns.
type Target struct {
	ID    uuid.UUID
	Start bool // the instance begins if there is none
}

// A Definition is one process manager. Both functions are pure: they see what the
// log said up to the event, and know no clock.
//
// React looks at where things stand, not at what happened: it compares what should
// be with what is and with what the instance has asked for already. So it is right
// however often it is asked, and after corrections, rescissions and retries too.
type Definition interface {
	Name() string // in kebab case; never changes
	Version() int // from 1; raise it with every change of what it does
	// Route names the instances that an event concerns, which staff has just heard of.
	// An instance hears anyway of what it asked for, and of a person's retry.
	Route(staff *Staff, e Event) []Target
	// React says what an instance has to do, in the order in which it is to be done.
	React(staff *Staff, instance uuid.UUID, own process.State) []process.Event
}

// Definitions are all processes of the house.
func Definitions() []Definition { return []Definition{ManagerLeaves{}, ProbationEnds{}} }

// The commands that processes ask for, by their actions in the role table.
const (
	changeManager = "employees.manager"
	rescindFact   = "employees.rescind"
)

// send asks for a command.
func send(intent process.Intent) process.Event { return process.CommandRequested{Intent: intent} }

// compensate asks for the command that undoes a step: the fact it recorded never was.
func compensate(step process.Step) process.Event {
	return process.CommandRequested{
		Intent: process.Intent{Command: rescindFact, EmployeeID: step.Intent.EmployeeID, RescindsEventID: step.EventIDs[0]},
		Undoes: step.CommandID,
	}
}

// finish ends what is open, unless it has ended in this way already.
func finish(own process.State, outcome string) []process.Event {
	if own.Outcome == outcome && len(own.Needs) == 0 {
		return nil
	}
	return []process.Event{process.Finished{Outcome: outcome}}
}

// unlisted names a command that no dispatcher knows: a programmer's error.
func unlisted(command string) error {
	return fmt.Errorf("no process may ask for the command %q", command)
}
