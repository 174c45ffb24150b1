package employee

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/employee"
	"daybook.example/domain/organisation"
	"daybook.example/domain/orgunit"
	"daybook.example/projections"
)

// A belief is what a fold says of one attribute: the valid side of a rectangle.
// A zero date is open.
type belief struct {
	attribute string
	value     string // JSON; personal values are references
	from, to  domain.Date
	event     uuid.UUID // by which it is believed
}

// entityOf is the ID in the name of an event's stream.
func entityOf(e projections.Event) (uuid.UUID, error) {
	_, text, _ := strings.Cut(e.Stream, "-")
	id, err := uuid.Parse(text)
	if err != nil {
		return id, fmt.Errorf("the stream of event %s does not name its entity", e.ID)
	}
	return id, nil
}

// stated is what a fact's value depends on: a spell's end changes that of its
// beginning.
type stated struct {
	attribute  employee.Attribute
	event      uuid.UUID
	employment employee.Employment // or zero
}

// employeeFold folds with the domain's own timeline, and writes each value once
// however often it is believed anew.
func employeeFold() func([]employee.Assertion) ([]belief, error) {
	values := map[stated]string{}
	return func(said []employee.Assertion) ([]belief, error) {
		facts := employee.Timeline(said)
		believed := make([]belief, len(facts))
		for i, fact := range facts {
			by := stated{attribute: fact.Attribute, event: fact.EventID}
			by.employment, _ = fact.Value.(employee.Employment)
			value, known := values[by]
			if !known {
				text, err := domain.Marshal(fact.Value)
				if err != nil {
					return nil, err
				}
				value = string(text)
				values[by] = value
			}
			believed[i] = belief{string(fact.Attribute), value, fact.From, fact.To, fact.EventID}
		}
		return believed, nil
	}
}

func employeeCause(event employee.Event) string { return string(employee.CauseOf(event)) }

func changed(domain.Named) string { return string(employee.Changed) }

// organisationEntity is what an event of the organisation or of an org unit is
// about; the organisation itself is the zero ID, for there is one.
func organisationEntity(e projections.Event) (uuid.UUID, error) {
	switch event := e.Decoded.(type) {
	case organisation.OrganisationNamed:
		return uuid.Nil, nil
	case organisation.LegalEntityAdded:
		return event.ID, nil
	case organisation.LocationAdded:
		return event.ID, nil
	case orgunit.Event:
		return entityOf(e)
	}
	return uuid.Nil, fmt.Errorf("event %s of type %s is none that this projection knows", e.ID, e.Type)
}

func decodeOrganisation(name string, version int, data []byte) (domain.Named, error) {
	event, err := organisation.Catalog.Decode(name, version, data)
	if errors.Is(err, domain.ErrUnknownType) {
		return orgunit.Catalog.Decode(name, version, data)
	}
	return event, err
}

func organisationFold() func([]domain.Recorded[domain.Named]) ([]belief, error) {
	return organisationBeliefs
}

// organisationBeliefs folds what was said of the organisation, of a legal
// entity, a location or an org unit. Only org units have effective dates: the
// rest is believed of all days, from its recording on.
func organisationBeliefs(said []domain.Recorded[domain.Named]) ([]belief, error) {
	var lines []belief
	var closed domain.Date
	for _, a := range said {
		from, end := organisationSays(a.Event, func(from domain.Date, attribute string, value any) {
			text, _ := domain.Marshal(value) // strings and UUIDs
			lines = append(lines, belief{attribute, string(text), from, domain.Date{}, a.ID})
		})
		if end {
			closed = from
		}
	}
	slices.SortStableFunc(lines, func(a, b belief) int {
		return cmp.Or(cmp.Compare(a.attribute, b.attribute), a.from.Compare(b.from))
	})
	return holdUntilNext(lines, closed), nil
}

// organisationSays names the attributes that an event states, and when it ends
// an org unit.
func organisationSays(event domain.Named, say func(domain.Date, string, any)) (from domain.Date, end bool) {
	switch e := event.(type) {
	case organisation.OrganisationNamed:
		say(from, "organisation.name", e.Name)
		say(from, "organisation.zone", e.Zone)
		say(from, "organisation.country", e.Country)
	case organisation.LegalEntityAdded:
		say(from, "legal_entity.name", e.Name)
	case organisation.LocationAdded:
		say(from, "location.name", e.Name)
	case orgunit.OrgUnitCreated:
		say(e.EffectiveFrom, "org_unit.name", e.Name)
		say(e.EffectiveFrom, "org_unit.parent", parent(e.Parent))
	case orgunit.OrgUnitRenamed:
		say(e.EffectiveFrom, "org_unit.name", e.Name)
	case orgunit.OrgUnitMoved:
		say(e.EffectiveFrom, "org_unit.parent", parent(e.Parent))
	case orgunit.OrgUnitClosed:
		return e.EffectiveFrom, true
	}
	return from, false
}

// parent is null at the top.
func parent(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

// holdUntilNext lets each line hold until the next of its attribute, or the
// close. Of two on one day the later recorded one, which stands behind, holds.
func holdUntilNext(lines []belief, closed domain.Date) []belief {
	held := lines[:0]
	for i, line := range lines {
		line.to = closed
		if i+1 < len(lines) && lines[i+1].attribute == line.attribute {
			line.to = lines[i+1].from
			if line.to == line.from {
				continue
			}
		}
		held = append(held, line)
	}
	return held
}
