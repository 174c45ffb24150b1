package process

import (
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
)

// Event is one fact in the stream of a process instance. The types below are the
// stored format: fields may be added, never renamed or reused; a changed meaning
// is a new event. testdata/stored.golden pins every shape.
//
// Nothing personal is in them and no place in the log: IDs, dates, codes and
// revisions only. That is why no field of an Intent can hold text.
type Event interface {
	domain.Named
	evolve(State, domain.Recording) State
}

// Catalog decodes every event of a process stream.
var Catalog = domain.NewCatalog(
	domain.Is(asEvent[VersionStarted]),
	domain.Is(asEvent[InputReceived]),
	domain.Is(asEvent[CommandRequested]),
	domain.Is(asEvent[CommandConfirmed]),
	domain.Is(asEvent[CommandRejected]),
	domain.Is(asEvent[DeadlineScheduled]),
	domain.Is(asEvent[DeadlineCancelled]),
	domain.Is(asEvent[DeadlineReached]),
	domain.Is(asEvent[Reminded]),
	domain.Is(asEvent[HumanNeeded]),
	domain.Is(asEvent[Finished]),
	domain.Is(asEvent[Retried]),
	domain.Is(asEvent[TakenOver]),
)

func asEvent[E Event](event E) Event { return event }

// A Source is where an event stands in its own stream.
type Source struct {
	EventID  uuid.UUID `json:"event_id"`
	Stream   string    `json:"stream"`
	Revision uint64    `json:"revision"`
}

// VersionStarted says from where on a version of a definition answers what
// happens: after this event. What happened before never makes it act. It stands in
// the stream of the definition itself.
type VersionStarted struct {
	Version int    `json:"version"`
	After   Source `json:"after"`
}

// InputReceived says that the instance has heard of an event, and which version
// of its definition answered. What it decided stands behind it, in one append.
type InputReceived struct {
	Source
	Type    string `json:"event_type"`
	Version int    `json:"version"`
}

// An Intent is a command as the process asks for it. Command is the action by
// which the role table knows it, too.
type Intent struct {
	Command           string      `json:"command"`
	EmployeeID        uuid.UUID   `json:"employee_id"`
	ManagerEmployeeID uuid.UUID   `json:"manager_employee_id,omitzero"`
	EffectiveFrom     domain.Date `json:"effective_from,omitzero"`
	RescindsEventID   uuid.UUID   `json:"rescinds_event_id,omitzero"`
}

// CommandRequested asks for a command. The ID of this event is the ID of the
// command, however often it is sent. One that undoes another names it.
type CommandRequested struct {
	Intent
	Undoes uuid.UUID `json:"undoes,omitzero"`
}

// CommandConfirmed says what a command recorded. Without events there was nothing
// to do. Revision is that of the stream it went to, with it.
type CommandConfirmed struct {
	CommandID uuid.UUID   `json:"command_id"`
	Revision  uint64      `json:"revision"`
	EventIDs  []uuid.UUID `json:"event_ids,omitempty"`
	Version   int         `json:"version"`
}

// CommandRejected says by which rule a command was refused.
type CommandRejected struct {
	CommandID uuid.UUID `json:"command_id"`
	Code      string    `json:"code"`
	Version   int       `json:"version"`
}

// DeadlineScheduled sets a deadline. Those of one key replace each other only
// after they are cancelled.
type DeadlineScheduled struct {
	Key string    `json:"key"`
	At  time.Time `json:"at"` // UTC, microseconds
}

// DeadlineCancelled takes a deadline back.
type DeadlineCancelled struct {
	DeadlineID uuid.UUID `json:"deadline_id"` // of the event that scheduled it
	Key        string    `json:"key"`
}

// DeadlineReached says that a deadline was still open when its time came.
type DeadlineReached struct {
	DeadlineID uuid.UUID `json:"deadline_id"`
	Key        string    `json:"key"`
	Version    int       `json:"version"`
}

// Reminded says that something is due soon.
type Reminded struct {
	Code string      `json:"code"`
	Due  domain.Date `json:"due"`
}

// HumanNeeded says that the process cannot go on by itself, and about whom or
// after which command.
type HumanNeeded struct {
	Code       string    `json:"code"`
	EmployeeID uuid.UUID `json:"employee_id,omitzero"`
	CommandID  uuid.UUID `json:"command_id,omitzero"`
}

// Finished says that there is nothing left to do, until something else happens.
type Finished struct {
	Outcome string `json:"outcome"` // a code
}

// Retried says that an operator has the process try again what was refused.
type Retried struct {
	By         string `json:"by"` // a principal
	ReasonCode string `json:"reason_code"`
}

// TakenOver says that a person goes on by hand: the process does nothing any more.
type TakenOver struct {
	By         string `json:"by"` // a principal
	ReasonCode string `json:"reason_code"`
}

// EventType is the stored name.
func (VersionStarted) EventType() string { return "process-version-started" }

// EventType is the stored name.
func (InputReceived) EventType() string { return "process-input-received" }

// EventType is the stored name.
func (CommandRequested) EventType() string { return "process-command-requested" }

// EventType is the stored name.
func (CommandConfirmed) EventType() string { return "process-command-confirmed" }

// EventType is the stored name.
func (CommandRejected) EventType() string { return "process-command-rejected" }

// EventType is the stored name.
func (DeadlineScheduled) EventType() string { return "process-deadline-scheduled" }

// EventType is the stored name.
func (DeadlineCancelled) EventType() string { return "process-deadline-cancelled" }

// EventType is the stored name.
func (DeadlineReached) EventType() string { return "process-deadline-reached" }

// EventType is the stored name.
func (Reminded) EventType() string { return "process-reminded" }

// EventType is the stored name.
func (HumanNeeded) EventType() string { return "process-human-needed" }

// EventType is the stored name.
func (Finished) EventType() string { return "process-finished" }

// EventType is the stored name.
func (Retried) EventType() string { return "process-retried" }

// EventType is the stored name.
func (TakenOver) EventType() string { return "process-taken-over" }

func (e VersionStarted) evolve(s State, _ domain.Recording) State {
	s.Versions = append(s.Versions, e)
	return s
}

func (e InputReceived) evolve(s State, _ domain.Recording) State {
	s.Last, s.Version = e.Source, e.Version
	return s
}

func (e CommandRequested) evolve(s State, r domain.Recording) State {
	s.Steps = append(s.Steps, Step{CommandID: r.ID, Intent: e.Intent, Undoes: e.Undoes, Answer: Pending})
	s.Outcome = ""
	return s
}

func (e CommandConfirmed) evolve(s State, _ domain.Recording) State {
	s.Version = e.Version
	if step := s.step(e.CommandID); step != nil {
		step.Answer, step.Revision, step.EventIDs = Confirmed, e.Revision, e.EventIDs
		if undone := s.step(step.Undoes); undone != nil {
			undone.Undone = true
		}
	}
	return s
}

func (e CommandRejected) evolve(s State, _ domain.Recording) State {
	s.Version = e.Version
	if step := s.step(e.CommandID); step != nil {
		step.Answer, step.Code = Rejected, e.Code
	}
	return s
}

func (e DeadlineScheduled) evolve(s State, r domain.Recording) State {
	s.Deadlines = append(s.Deadlines, Deadline{ID: r.ID, Key: e.Key, At: e.At})
	s.Outcome = ""
	return s
}

func (e DeadlineCancelled) evolve(s State, _ domain.Recording) State {
	_, s = s.without(e.DeadlineID)
	return s
}

func (e DeadlineReached) evolve(s State, _ domain.Recording) State {
	s.Version = e.Version
	reached, s := s.without(e.DeadlineID)
	if reached.ID != uuid.Nil {
		s.Reached = append(s.Reached, reached)
	}
	return s
}

func (e Reminded) evolve(s State, _ domain.Recording) State {
	s.Reminders = append(s.Reminders, e)
	return s
}

func (e HumanNeeded) evolve(s State, _ domain.Recording) State {
	s.Needs = append(s.Needs, e)
	s.Outcome = ""
	return s
}

func (e Finished) evolve(s State, _ domain.Recording) State {
	s.Outcome, s.Needs = e.Outcome, nil
	return s
}

func (e Retried) evolve(s State, _ domain.Recording) State {
	s.Needs = nil
	for i := range s.Steps {
		if s.Steps[i].Answer == Rejected {
			s.Steps[i].Answer = Withdrawn
		}
	}
	return s
}

func (e TakenOver) evolve(s State, _ domain.Recording) State {
	s.TakenOver, s.Deadlines, s.Needs = &e, nil, nil
	return s
}
