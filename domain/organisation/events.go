package organisation

import (
	"github.com/google/uuid"

	"daybook.example/domain"
)

// Event is one fact in the organisation's stream. The types below are the stored
// format: fields may be added, never renamed or reused; a changed meaning is a
// new event. testdata/stored.golden pins every shape.
type Event interface {
	domain.Named
	evolve(State, domain.Recording) State
}

// Catalog decodes every event of the organisation's stream.
var Catalog = domain.NewCatalog(
	domain.Is(asEvent[OrganisationNamed]),
	domain.Is(asEvent[LegalEntityAdded]),
	domain.Is(asEvent[LocationAdded]),
)

func asEvent[E Event](event E) Event { return event }

// OrganisationNamed states name, zone and country.
type OrganisationNamed struct {
	Name    string `json:"name"`
	Zone    string `json:"zone"` // IANA
	Country string `json:"country"`
}

// LegalEntityAdded makes a legal entity known.
type LegalEntityAdded struct {
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name"`
}

// LocationAdded makes a location known.
type LocationAdded struct {
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name"`
}

// EventType is the stored name.
func (OrganisationNamed) EventType() string { return "organisation-named" }

// EventType is the stored name.
func (LegalEntityAdded) EventType() string { return "organisation-legal-entity-added" }

// EventType is the stored name.
func (LocationAdded) EventType() string { return "organisation-location-added" }

func (e OrganisationNamed) evolve(s State, _ domain.Recording) State {
	s.Name, s.zone, s.Country = e.Name, e.Zone, e.Country
	return s
}

func (e LegalEntityAdded) evolve(s State, _ domain.Recording) State {
	if s.LegalEntities == nil {
		s.LegalEntities = map[uuid.UUID]string{}
	}
	s.LegalEntities[e.ID] = e.Name
	return s
}

func (e LocationAdded) evolve(s State, _ domain.Recording) State {
	if s.Locations == nil {
		s.Locations = map[uuid.UUID]string{}
	}
	s.Locations[e.ID] = e.Name
	return s
}
