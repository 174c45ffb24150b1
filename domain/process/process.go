// Package process holds what a process manager records: one stream for each
// instance, which is its inbox (what it has heard of), its outbox (the commands it
// asks for, with their answers) and its diary (deadlines, reminders, calls for a
// person). What a process decides is commands/process; here is what its stream
// means and what a person may do with an instance.
package process

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/field"
)

// Category is the category of a process stream.
const Category = "process"

// DefinitionStream is the stream in which the versions of a definition start.
func DefinitionStream(name string) string { return Category + "-" + name }

// Stream is the stream of one instance of a definition.
func Stream(name string, id uuid.UUID) string { return DefinitionStream(name) + "-" + id.String() }

// Instance reads what Stream wrote.
func Instance(stream string) (name string, id uuid.UUID, ok bool) {
	rest, ok := strings.CutPrefix(stream, Category+"-")
	cut := len(rest) - len(uuid.Nil.String()) - 1
	if !ok || cut < 1 || rest[cut] != '-' {
		return "", uuid.Nil, false
	}
	id, err := uuid.Parse(rest[cut+1:])
	return rest[:cut], id, err == nil
}

// Decider is the behaviour of a process stream.
var Decider = domain.Decider[Command, State, Event]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, fact domain.Recorded[Event]) State { return fact.Event.evolve(s, fact.Recording) },
}

// A Command is one intent towards an instance.
type Command interface{ decide(State) ([]Event, error) }

// An Answer is what became of a command that was asked for.
type Answer string

// The answers. A withdrawn one was refused, and may be asked for anew.
const (
	Pending   Answer = "pending"
	Confirmed Answer = "confirmed"
	Rejected  Answer = "rejected"
	Withdrawn Answer = "withdrawn"
)

// A Step is one command that was asked for.
type Step struct {
	CommandID uuid.UUID
	Intent    Intent
	Undoes    uuid.UUID // the command that this one undoes
	Answer    Answer
	Code      string      // of the rule that refused it
	Revision  uint64      // of the stream it went to
	EventIDs  []uuid.UUID // that it recorded
	Undone    bool
}

// A Deadline is one that is open, or was when its time came.
type Deadline struct {
	ID  uuid.UUID
	Key string
	At  time.Time
}

// A Status is where an instance stands.
type Status string

// The statuses.
const (
	Running    Status = "running"     // something is asked for or awaited
	NeedsHuman Status = "needs-human" // it cannot go on by itself
	IsFinished Status = "finished"    // nothing is left to do
	ByHand     Status = "taken-over"  // a person goes on
)

// CompensationFailed is the code of a call for a person after a command that was
// to undo another was refused. Until then the instance rests.
const CompensationFailed = "compensation-failed"

// State is what an instance knows of itself.
type State struct {
	Version   int    // of the definition that answered last
	Last      Source // the last input
	Steps     []Step // in the order in which they were asked for
	Deadlines []Deadline
	Reached   []Deadline
	Reminders []Reminded
	Needs     []HumanNeeded
	Outcome   string
	TakenOver *TakenOver
	Versions  []VersionStarted // in a definition's own stream
}

// Status is where the instance stands.
func (s State) Status() Status {
	switch {
	case s.TakenOver != nil:
		return ByHand
	case len(s.Needs) > 0:
		return NeedsHuman
	case s.Outcome != "":
		return IsFinished
	}
	return Running
}

// Rests reports whether the instance only listens: a person goes on with it, or
// has to mend what could not be undone.
func (s State) Rests() bool {
	failed := func(n HumanNeeded) bool { return n.Code == CompensationFailed }
	return s.TakenOver != nil || slices.ContainsFunc(s.Needs, failed)
}

// Needed reports whether a person was called for this already.
func (s State) Needed(n HumanNeeded) bool { return slices.Contains(s.Needs, n) }

func (s State) step(command uuid.UUID) *Step {
	if command == uuid.Nil {
		return nil
	}
	at := slices.IndexFunc(s.Steps, func(step Step) bool { return step.CommandID == command })
	if at < 0 {
		return nil
	}
	return &s.Steps[at]
}

// without is the state without an open deadline, which it returns.
func (s State) without(deadline uuid.UUID) (Deadline, State) {
	at := slices.IndexFunc(s.Deadlines, func(d Deadline) bool { return d.ID == deadline })
	if at < 0 {
		return Deadline{}, s
	}
	gone := s.Deadlines[at]
	s.Deadlines = slices.Delete(s.Deadlines, at, at+1)
	return gone, s
}

// copied is the state with nothing in common that evolve would change.
func (s State) copied() State {
	s.Steps, s.Deadlines, s.Reached = slices.Clone(s.Steps), slices.Clone(s.Deadlines), slices.Clone(s.Reached)
	s.Reminders, s.Needs, s.Versions = slices.Clip(s.Reminders), slices.Clip(s.Needs), slices.Clip(s.Versions)
	return s
}

// A Reaction says what a definition makes of a state: events that ask for
// commands, set and cancel deadlines, remind, call for a person, or finish.
type Reaction func(State) []Event

// with is an event followed by the reaction to it.
func (s State) with(event Event, react Reaction) []Event {
	after := event.evolve(s.copied(), domain.Recording{})
	if after.Rests() {
		return []Event{event}
	}
	return append([]Event{event}, react(after)...)
}

// Rules are the stable codes of all refusals, with what each asks for.
var Rules = map[string]string{
	"required":       "the field must be given",
	"code-invalid":   "a code has lower-case letters, digits, - and _, at most 64",
	"taken-over":     "a person goes on with this instance by hand",
	"moved-on":       "what an instance does is decided upon the last input that it has received",
	"version-behind": "the versions of a definition start in order",
}

// errNoContext says that the edge left out what only it can know.
var errNoContext = errors.New("process: a command came without its principal")

// StartVersion lets a version of a definition begin. It comes from the machinery.
type StartVersion struct{ VersionStarted }

func (c StartVersion) decide(s State) ([]Event, error) {
	last := 0
	if n := len(s.Versions); n > 0 {
		last = s.Versions[n-1].Version
	}
	switch {
	case c.Version == last:
		return nil, nil
	case c.Version < last:
		return nil, domain.Refuse("version-behind", "", "version %d of this process has run on this log, and this program has version %d: run the newer program", last, c.Version)
	}
	return []Event{c.VersionStarted}, nil
}

// Receive hands an instance an event that concerns it, with the last one it had
// when that was decided. It comes from the machinery.
type Receive struct {
	Input InputReceived
	Last  uuid.UUID
	React Reaction
}

func (c Receive) decide(s State) ([]Event, error) {
	if err := s.lastIs(c.Last); err != nil {
		return nil, err
	}
	return s.with(c.Input, c.React), nil
}

// lastIs refuses a reaction of who has not heard of what the instance has: it would
// look at less than what was answered already.
func (s State) lastIs(input uuid.UUID) error {
	if s.Last.EventID == input {
		return nil
	}
	return &domain.Error{Kind: domain.Conflict, Code: "moved-on", Message: "the instance has heard of another event meanwhile; look again"}
}

// Settle puts the answer to a command on record, with the last input that was known
// when it came. It comes from the machinery.
type Settle struct {
	Last      uuid.UUID
	CommandID uuid.UUID
	As        Event // CommandConfirmed or CommandRejected
	React     Reaction
}

func (c Settle) decide(s State) ([]Event, error) {
	step := s.step(c.CommandID)
	if step == nil || step.Answer != Pending {
		return nil, nil
	}
	if err := s.lastIs(c.Last); err != nil {
		return nil, err
	}
	if _, refused := c.As.(CommandRejected); refused && step.Undoes != uuid.Nil {
		return []Event{c.As, HumanNeeded{Code: CompensationFailed, EmployeeID: step.Intent.EmployeeID, CommandID: c.CommandID}}, nil
	}
	return s.with(c.As, c.React), nil
}

// Reach says that the time of a deadline has come. It comes from the machinery;
// one that is not open any more is passed over.
type Reach struct {
	Last       uuid.UUID // as in Settle
	DeadlineID uuid.UUID
	Version    int
	React      Reaction
}

func (c Reach) decide(s State) ([]Event, error) {
	open, _ := s.copied().without(c.DeadlineID)
	if open.ID == uuid.Nil {
		return nil, nil
	}
	if err := s.lastIs(c.Last); err != nil {
		return nil, err
	}
	return s.with(DeadlineReached{c.DeadlineID, open.Key, c.Version}, c.React), nil
}

// Retry has a process try again what was refused.
type Retry struct {
	By         string `json:"-"` // the principal who asks
	ReasonCode string `json:"reason_code"`
}

func (c Retry) decide(s State) ([]Event, error) {
	if err := because(c.By, c.ReasonCode); err != nil {
		return nil, err
	}
	if s.TakenOver != nil {
		return nil, domain.Refuse("taken-over", "", "%s has taken this instance over: it goes on by hand", s.TakenOver.By)
	}
	refused := func(step Step) bool { return step.Answer == Rejected }
	if len(s.Needs) == 0 && !slices.ContainsFunc(s.Steps, refused) {
		return nil, nil
	}
	return []Event{Retried(c)}, nil
}

// TakeOver takes an instance from the process: a person goes on by hand.
type TakeOver struct {
	By         string `json:"-"` // the principal who asks
	ReasonCode string `json:"reason_code"`
}

func (c TakeOver) decide(s State) ([]Event, error) {
	if err := because(c.By, c.ReasonCode); err != nil {
		return nil, err
	}
	if s.TakenOver != nil {
		return nil, nil
	}
	return []Event{TakenOver(c)}, nil
}

func because(by, code string) error {
	if by == "" {
		return errNoContext
	}
	return cmp.Or(field.Required("/reason_code", code), field.Code("/reason_code", code))
}
