package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/domain"
	"daybook.example/domain/catalog"
	"daybook.example/domain/employee"
	"daybook.example/domain/organisation"
	"daybook.example/domain/orgunit"
	"daybook.example/projections"
)

// fullEvery is how often a version holds the whole state.
const fullEvery = 50

// theOrganisation knows the zone in which a recorded time has its day.
var theOrganisation = key{"organisation", organisation.Stream}

// A page is what a batch of events needs of the tables and adds to them.
type page struct {
	subjects map[int64]subject // by the event's position
	entities map[key]*entity   // those that the batch touches or looks at
	dated    []key

	versions   []versionRow
	assertions []assertionRow
	touched    []key // in order of first touch

	zone     *time.Location // by zoneName; looking one up takes a file
	zoneName json.RawMessage
}

// An entity is its latest state, and what was said of it where that has effective
// dates.
type entity struct {
	stored   bool // it has a row in entity_state
	version  int64
	state    fields
	last     last
	career   career // of an employee
	orgUnits []domain.Recorded[orgunit.Event]
}

func newPage(events []projections.Event) *page {
	p := &page{subjects: make(map[int64]subject, len(events)), entities: map[key]*entity{}}
	p.look(theOrganisation)
	for _, e := range events {
		s := subjectOf(e)
		p.subjects[e.Pos()] = s
		if s.finding != "" {
			continue
		}
		if p.look(s.key) && s.dated {
			p.dated = append(p.dated, s.key)
		}
		if other, ok := reversed(e); ok {
			p.look(other)
		}
		if other, ok := documentPeriod(e); ok {
			p.look(other)
		}
	}
	return p
}

// look asks for an entity; it reports whether nobody did before.
func (p *page) look(k key) bool {
	if p.entities[k] != nil {
		return false
	}
	p.entities[k] = &entity{state: fields{}}
	return true
}

// queueLoad asks for the states of all entities, and for what was said of those
// with effective dates.
func (p *page) queueLoad(reads *pgx.Batch) {
	kinds, ids := columns(slices.Collect(maps.Keys(p.entities)))
	reads.Queue(`select entity_kind, entity_id, version, state from entity_state
		where (entity_kind, entity_id) in (select * from unnest($1::text[], $2::text[]))`, kinds, ids).Query(p.loadStates)
	if len(p.dated) == 0 {
		return
	}
	kinds, ids = columns(p.dated)
	reads.Queue(`select entity_kind, entity_id, event_id, revision, event_type, schema_version, data from entity_assertion
		where (entity_kind, entity_id) in (select * from unnest($1::text[], $2::text[])) order by position`, kinds, ids).Query(p.loadAssertions)
}

func columns(keys []key) (kinds, ids []string) {
	for _, k := range keys {
		kinds, ids = append(kinds, k.Kind), append(ids, k.Entity)
	}
	return kinds, ids
}

func (p *page) loadStates(rows pgx.Rows) error {
	var k key
	var version int64
	var state []byte
	_, err := pgx.ForEachRow(rows, []any{&k.Kind, &k.Entity, &version, &state}, func() error {
		found := p.entities[k]
		found.stored, found.version = true, version
		return json.Unmarshal(state, &found.state)
	})
	return err
}

func (p *page) loadAssertions(rows pgx.Rows) error {
	var k key
	var id uuid.UUID
	var revision int64
	var eventType string
	var schemaVersion int
	var data []byte
	_, err := pgx.ForEachRow(rows, []any{&k.Kind, &k.Entity, &id, &revision, &eventType, &schemaVersion, &data}, func() error {
		event, err := catalog.Decode(eventType, schemaVersion, data)
		if err != nil {
			return fmt.Errorf("decode what was projected of event %s: %w", id, err)
		}
		p.entities[k].say(domain.Recording{ID: id, Revision: uint64(revision)}, event)
		return nil
	})
	return err
}

// say adds what was said.
func (e *entity) say(r domain.Recording, event domain.Named) {
	switch event := event.(type) {
	case employee.Event:
		e.career.said = append(e.career.said, employee.Assertion{Recording: r, Event: event})
	case orgunit.Event:
		e.orgUnits = append(e.orgUnits, domain.Recorded[orgunit.Event]{Recording: r, Event: event})
	}
}

// next is what an event makes of the entity.
func (e *entity) next(s subject, r domain.Recording, event domain.Named) (folded, error) {
	switch event := event.(type) {
	case employee.Event:
		return e.career.fold(employee.Assertion{Recording: r, Event: event})
	case orgunit.Event:
		return foldOrgUnit(e.orgUnits, domain.Recorded[orgunit.Event]{Recording: r, Event: event}), nil
	}
	after := maps.Clone(e.state)
	maps.Copy(after, s.says)
	return folded{changes: changesOf(e.state, after), state: after}, nil
}

// record folds one event into its row.
func (p *page) record(e projections.Event) logRow {
	s := p.subjects[e.Pos()]
	s.documentNo = p.documentNo(e, s)
	row := logRow{Event: e, subject: s, periodState: p.lateFor(e, s)}
	if !e.Meta.RecordedAt.IsZero() {
		row.recordedOn = p.dayOf(e.Meta.RecordedAt)
	}
	if s.finding == "" {
		changes, err := p.turn(e, s)
		if err != nil {
			row.finding = undecodable
		} else {
			row.changes = changes
		}
	}
	return row
}

// turn makes the next version of the event's entity.
func (p *page) turn(e projections.Event, s subject) ([]change, error) {
	entity := p.entities[s.key]
	recording := domain.Recording{ID: e.ID, Revision: e.Revision}
	next, err := entity.next(s, recording, e.Decoded)
	if err != nil {
		return nil, err
	}
	version := versionRow{
		key: s.key, revision: e.Revision, version: entity.version + 1, patch: patchOf(entity.state, next.state),
		recordedAt: e.Meta.RecordedAt, last: lastOf(e),
	}
	if version.version%fullEvery == 0 {
		version.state = next.state
	}
	p.versions = append(p.versions, version)
	if s.dated {
		entity.say(recording, e.Decoded)
		entity.career.facts = next.facts
		p.assertions = append(p.assertions, assertionRow{e, s.key})
	}
	if entity.last == (last{}) {
		p.touched = append(p.touched, s.key)
	}
	entity.version, entity.state, entity.last = version.version, next.state, lastOf(e)
	return next.changes, nil
}

// dayOf is the day of a recorded time in the organisation's zone, as known then.
func (p *page) dayOf(recordedAt time.Time) domain.Date {
	known := p.entities[theOrganisation].state["zone"]
	if p.zone == nil || !bytes.Equal(known, p.zoneName) {
		var name string
		_ = json.Unmarshal(known, &name) // none yet: UTC
		zone, err := domain.Zone(name)
		if err != nil {
			zone = time.UTC
		}
		p.zone, p.zoneName = zone, known
	}
	return domain.DateOf(recordedAt.In(p.zone))
}

// text is a text member of an entity's state.
func (p *page) text(k key, path string) string {
	var text string
	if entity := p.entities[k]; entity != nil {
		_ = json.Unmarshal(flat(entity.state, nil)[path], &text) // none: none
	}
	return text
}
