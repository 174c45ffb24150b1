// Package organisation decides what the organisation is called, where its days
// begin and which legal entities and locations it has. Reports print names, so
// names are facts too.
package organisation

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/field"
)

// Category is the category of the organisation's stream.
const Category = "organisation"

// Stream is the one stream: a log serves one organisation.
const Stream = "organisation"

// DefaultZone is where days begin until the organisation says otherwise.
const DefaultZone = "UTC"

// Decider is the organisation's behaviour.
var Decider = domain.Decider[Command, State, Event]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, fact domain.Recorded[Event]) State { return fact.Event.evolve(s, fact.Recording) },
}

// A Command is one intent towards the organisation.
type Command interface{ decide(State) ([]Event, error) }

// State is what the organisation is now.
type State struct {
	Name          string
	Country       string
	LegalEntities map[uuid.UUID]string // names
	Locations     map[uuid.UUID]string // names

	zone string
}

// Zone is the IANA name of the zone in which the organisation's days begin.
func (s State) Zone() string { return cmp.Or(s.zone, DefaultZone) }

// Today is the organisation's date at an instant.
func (s State) Today(now time.Time) domain.Date {
	zone, err := domain.Zone(s.Zone())
	if err != nil {
		zone = time.UTC // a zone that was in the database once and is no more
	}
	return domain.DateOf(now.In(zone))
}

// Rules are the stable codes of all refusals, with what each asks for.
var Rules = map[string]string{
	"required":        "the field must be given",
	"text-invalid":    "text has at most 200 characters, no control characters, and no blanks around it",
	"zone-unknown":    "a zone is a name of the IANA time zone database",
	"country-unknown": "a country is an ISO 3166 code of two letters",
	"name-taken":      "legal entities have different names, and so have locations",
	"already-added":   "a legal entity or location is added once",
}

// Name says what the organisation is called, in which zone its days begin and
// in which country it is. Without a zone it stays as it was, at first UTC.
type Name struct {
	Name    string `json:"name"`
	Zone    string `json:"zone,omitempty"`
	Country string `json:"country"`
}

func (c Name) decide(s State) ([]Event, error) {
	c.Zone = cmp.Or(c.Zone, s.Zone())
	if err := cmp.Or(
		field.Line("/name", c.Name),
		zone("/zone", c.Zone),
		field.Required("/country", c.Country),
		field.Country("/country", c.Country),
	); err != nil {
		return nil, err
	}
	if s.Name == c.Name && s.zone == c.Zone && s.Country == c.Country {
		return nil, nil
	}
	return []Event{OrganisationNamed(c)}, nil
}

func zone(pointer, name string) error {
	if _, err := domain.Zone(name); err != nil || name == "Local" {
		return domain.Refuse("zone-unknown", pointer, "%.40q is not a zone of the IANA database, such as \"Europe/Berlin\" or \"UTC\"", name)
	}
	return nil
}

// AddLegalEntity makes a legal entity known.
type AddLegalEntity struct {
	ID   uuid.UUID `json:"-"` // domain.EntityID of the command
	Name string    `json:"name"`
}

func (c AddLegalEntity) decide(s State) ([]Event, error) {
	return add(s.LegalEntities, c.ID, c.Name, LegalEntityAdded(c))
}

// AddLocation makes a location known.
type AddLocation struct {
	ID   uuid.UUID `json:"-"` // domain.EntityID of the command
	Name string    `json:"name"`
}

func (c AddLocation) decide(s State) ([]Event, error) {
	return add(s.Locations, c.ID, c.Name, LocationAdded(c))
}

// errNoContext says that the edge left out what only it can know.
var errNoContext = errors.New("organisation: a command came without the ID of what it adds")

// add decides that a thing with a name is known from now on.
func add(known map[uuid.UUID]string, id uuid.UUID, name string, added Event) ([]Event, error) {
	if err := field.Line("/name", name); err != nil {
		return nil, err
	}
	switch was, exists := known[id]; {
	case id == uuid.Nil:
		return nil, errNoContext
	case exists && was == name:
		return nil, nil
	case exists:
		return nil, domain.Refuse("already-added", "", "this was added before, under another name")
	case slices.Contains(slices.Collect(maps.Values(known)), name):
		return nil, domain.Refuse("name-taken", "/name", "another one has this name already; reports could not tell them apart")
	}
	return []Event{added}, nil
}
