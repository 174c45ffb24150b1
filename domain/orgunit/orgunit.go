// Package orgunit decides how a unit of the organisation is called, where it
// belongs and how long it exists. Every change has an effective date; rules hold
// on the folded timeline of all days.
package orgunit

import (
	"cmp"
	"errors"
	"slices"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/field"
)

// Category is the category of an org unit's stream.
const Category = "orgunit"

// Stream is the stream of one org unit.
func Stream(id uuid.UUID) string { return Category + "-" + id.String() }

// Decider is the org unit's behaviour.
var Decider = domain.Decider[Command, State, Event]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, fact domain.Recorded[Event]) State { return fact.Event.evolve(s, fact.Recording) },
}

// A Command is one intent towards an org unit.
type Command interface {
	With(Context) Command // the same command, with what the wire does not bring
	decide(State) ([]Event, error)
}

// A Context is what a command is decided with, beside its wire form.
type Context struct {
	Self  uuid.UUID   // the org unit, as in the stream's name
	Today domain.Date // in the organisation's zone: the effective date of a change without one
}

// State is the org unit's life, by effective date.
type State struct {
	created domain.Date // the first day
	closed  domain.Date // the first day on which it is no more; zero = open
	names   []since[string]
	parents []since[uuid.UUID]
}

// since is a value that holds from a day on until the next one.
type since[T comparable] struct {
	from  domain.Date
	value T
}

// insert places a value behind those of the same day: the last word counts.
func insert[T comparable](line []since[T], from domain.Date, value T) []since[T] {
	i := len(line)
	for i > 0 && line[i-1].from.After(from) {
		i--
	}
	return slices.Insert(line, i, since[T]{from, value})
}

// on is the value in force on a day; zero before the first one.
func on[T comparable](line []since[T], day domain.Date) (value T) {
	for _, v := range line {
		if v.from.After(day) {
			break
		}
		value = v.value
	}
	return value
}

// Exists reports whether there is such a unit on a day.
func (s State) Exists(day domain.Date) bool {
	return !s.created.IsZero() && !day.Before(s.created) && (s.closed.IsZero() || day.Before(s.closed))
}

// Name is what the unit is called on a day.
func (s State) Name(day domain.Date) string { return on(s.names, day) }

// Parent is the unit above on a day; none is the top.
func (s State) Parent(day domain.Date) uuid.UUID { return on(s.parents, day) }

// last is the latest day on which something changes.
func (s State) last() domain.Date {
	latest := s.names[len(s.names)-1].from
	if parent := s.parents[len(s.parents)-1].from; parent.After(latest) {
		return parent
	}
	return latest
}

// open refuses a change on a day outside the unit's life.
func (s State) open(day domain.Date) error {
	switch {
	case s.created.IsZero():
		return domain.Refuse("not-created", "", "there is no such org unit yet: create it first")
	case day.IsZero():
		return field.Required("/effective_from", day)
	case day.Before(s.created):
		return domain.Refuse("effective-before-creation", "/effective_from", "the org unit exists from %s on", s.created)
	case !s.closed.IsZero() && !day.Before(s.closed):
		return domain.Refuse("after-close", "/effective_from", "on %s the org unit is closed already", s.closed)
	}
	return nil
}

// Rules are the stable codes of all refusals, with what each asks for.
var Rules = map[string]string{
	"required":                  "the field must be given",
	"text-invalid":              "text has at most 200 characters, no control characters, and no blanks around it",
	"already-created":           "an org unit is created once",
	"not-created":               "create the org unit first",
	"effective-before-creation": "nothing takes effect before the org unit exists",
	"after-close":               "nothing takes effect after the org unit is closed",
	"change-after-close":        "an org unit is not closed before or on the day of a change that is on record",
	"already-closed":            "an org unit is closed once",
	"parent-self":               "an org unit is not its own parent",
}

// Create makes an org unit known.
type Create struct {
	Context       Context     `json:"-"`
	Name          string      `json:"name"`
	Parent        uuid.UUID   `json:"parent,omitzero"`         // none = the top
	EffectiveFrom domain.Date `json:"effective_from,omitzero"` // default: today
}

// errNoContext says that the edge left out what only it can know.
var errNoContext = errors.New("orgunit: a command came without its context")

func (c Create) decide(s State) ([]Event, error) {
	if c.Context.Self == uuid.Nil {
		return nil, errNoContext
	}
	created := OrgUnitCreated{c.Name, c.Parent, cmp.Or(c.EffectiveFrom, c.Context.Today)}
	if err := cmp.Or(
		field.Line("/name", c.Name),
		notSelf(c.Context.Self, c.Parent),
		field.Required("/effective_from", created.EffectiveFrom),
	); err != nil {
		return nil, err
	}
	if !s.created.IsZero() {
		return nil, domain.Refuse("already-created", "", "this org unit exists from %s on; rename or move it", s.created)
	}
	return []Event{created}, nil
}

func notSelf(self, parent uuid.UUID) error {
	if parent != uuid.Nil && parent == self {
		return domain.Refuse("parent-self", "/parent", "an org unit is not its own parent")
	}
	return nil
}

// Rename gives the org unit another name from a day on.
type Rename struct {
	Context       Context     `json:"-"`
	Name          string      `json:"name"`
	EffectiveFrom domain.Date `json:"effective_from,omitzero"` // default: today
}

func (c Rename) decide(s State) ([]Event, error) {
	from := cmp.Or(c.EffectiveFrom, c.Context.Today)
	if err := cmp.Or(field.Line("/name", c.Name), s.open(from)); err != nil {
		return nil, err
	}
	if s.Name(from) == c.Name {
		return nil, nil
	}
	return []Event{OrgUnitRenamed{c.Name, from}}, nil
}

// Move puts the org unit under another one from a day on.
type Move struct {
	Context       Context     `json:"-"`
	Parent        uuid.UUID   `json:"parent,omitzero"`         // none = the top
	EffectiveFrom domain.Date `json:"effective_from,omitzero"` // default: today
}

func (c Move) decide(s State) ([]Event, error) {
	if c.Context.Self == uuid.Nil {
		return nil, errNoContext
	}
	from := cmp.Or(c.EffectiveFrom, c.Context.Today)
	if err := cmp.Or(notSelf(c.Context.Self, c.Parent), s.open(from)); err != nil {
		return nil, err
	}
	if s.Parent(from) == c.Parent {
		return nil, nil
	}
	return []Event{OrgUnitMoved{c.Parent, from}}, nil
}

// Close ends the org unit: on the effective date it is no more.
type Close struct {
	Context       Context     `json:"-"`
	EffectiveFrom domain.Date `json:"effective_from,omitzero"` // default: today
}

func (c Close) decide(s State) ([]Event, error) {
	from := cmp.Or(c.EffectiveFrom, c.Context.Today)
	if !s.closed.IsZero() {
		if from == s.closed {
			return nil, nil
		}
		return nil, domain.Refuse("already-closed", "", "this org unit is closed from %s on", s.closed)
	}
	if err := s.open(from); err != nil {
		return nil, err
	}
	if last := s.last(); !from.After(last) {
		return nil, domain.Refuse("change-after-close", "/effective_from", "on %s the org unit is created, renamed or moved; close it from a later day on", last)
	}
	return []Event{OrgUnitClosed{from}}, nil
}

// With hands the context over.
func (c Create) With(ctx Context) Command { c.Context = ctx; return c }

// With hands the context over.
func (c Rename) With(ctx Context) Command { c.Context = ctx; return c }

// With hands the context over.
func (c Move) With(ctx Context) Command { c.Context = ctx; return c }

// With hands the context over.
func (c Close) With(ctx Context) Command { c.Context = ctx; return c }
