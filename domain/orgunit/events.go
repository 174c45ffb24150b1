package orgunit

import (
	"github.com/google/uuid"

	"daybook.example/domain"
)

// Event is one fact in an org unit's stream. The types below are the stored
// format: fields may be added, never renamed or reused; a changed meaning is a
// new event. testdata/stored.golden pins every shape.
type Event interface {
	domain.Named
	domain.Effective
	evolve(State, domain.Recording) State
}

// Catalog decodes every event of an org unit's stream.
var Catalog = domain.NewCatalog(
	domain.Is(asEvent[OrgUnitCreated]),
	domain.Is(asEvent[OrgUnitRenamed]),
	domain.Is(asEvent[OrgUnitMoved]),
	domain.Is(asEvent[OrgUnitClosed]),
)

func asEvent[E Event](event E) Event { return event }

// OrgUnitCreated makes the org unit known; without a parent it stands at the top.
type OrgUnitCreated struct {
	Name          string      `json:"name"`
	Parent        uuid.UUID   `json:"parent,omitzero"`
	EffectiveFrom domain.Date `json:"effective_from"`
}

// OrgUnitRenamed states the name from a day on.
type OrgUnitRenamed struct {
	Name          string      `json:"name"`
	EffectiveFrom domain.Date `json:"effective_from"`
}

// OrgUnitMoved states the parent from a day on; none is the top.
type OrgUnitMoved struct {
	Parent        uuid.UUID   `json:"parent,omitzero"`
	EffectiveFrom domain.Date `json:"effective_from"`
}

// OrgUnitClosed states the first day on which the org unit is no more.
type OrgUnitClosed struct {
	EffectiveFrom domain.Date `json:"effective_from"`
}

// EventType is the stored name.
func (OrgUnitCreated) EventType() string { return "orgunit-created" }

// EventType is the stored name.
func (OrgUnitRenamed) EventType() string { return "orgunit-renamed" }

// EventType is the stored name.
func (OrgUnitMoved) EventType() string { return "orgunit-moved" }

// EventType is the stored name.
func (OrgUnitClosed) EventType() string { return "orgunit-closed" }

// EffectiveAt is the day from which the fact holds.
func (e OrgUnitCreated) EffectiveAt() string { return e.EffectiveFrom.String() }

// EffectiveAt is the day from which the fact holds.
func (e OrgUnitRenamed) EffectiveAt() string { return e.EffectiveFrom.String() }

// EffectiveAt is the day from which the fact holds.
func (e OrgUnitMoved) EffectiveAt() string { return e.EffectiveFrom.String() }

// EffectiveAt is the day from which the fact holds.
func (e OrgUnitClosed) EffectiveAt() string { return e.EffectiveFrom.String() }

func (e OrgUnitCreated) evolve(s State, _ domain.Recording) State {
	s.created = e.EffectiveFrom
	s.names = insert(s.names, e.EffectiveFrom, e.Name)
	s.parents = insert(s.parents, e.EffectiveFrom, e.Parent)
	return s
}

func (e OrgUnitRenamed) evolve(s State, _ domain.Recording) State {
	s.names = insert(s.names, e.EffectiveFrom, e.Name)
	return s
}

func (e OrgUnitMoved) evolve(s State, _ domain.Recording) State {
	s.parents = insert(s.parents, e.EffectiveFrom, e.Parent)
	return s
}

func (e OrgUnitClosed) evolve(s State, _ domain.Recording) State {
	s.closed = e.EffectiveFrom
	return s
}
