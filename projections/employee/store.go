package employee

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/projections"
)

// store adds what a page adds: what was said, then the rectangles to close, then
// the new ones, for the index allows one open one at a time.
func (p *page[E]) store(writes *projections.Writes) {
	writes.Insert(p.name+"_assertion", p.name+"_id, event_id, position, revision, event_type, schema_version, recorded_at, data",
		len(p.said), func(i int) []any { return p.said[i].values() })
	p.storeClosed(writes)
	slices.SortFunc(p.opened, rectangle.compare)
	writes.Insert(p.name+"_fact", p.name+"_id, "+factColumns, len(p.opened), func(i int) []any { return p.opened[i].values() })
}

func (e entry[E]) values() []any {
	r := e.recorded
	return []any{e.entity, r.ID, r.Pos(), r.Revision, r.Type, r.Meta.SchemaVersion, r.Label, r.Data}
}

const factColumns = `attribute, value, valid, recorded, recorded_from, recorded_to,
	event_id, cause, superseded_by, last_event_id, last_position, last_revision`

func (r rectangle) values() []any {
	last, recorded := r.since, projections.Positions{From: r.since.position}
	var closedAt, superseded any
	if r.until != nil {
		last = *r.until
		recorded.To, closedAt, superseded = last.position, last.label, last.event
	}
	return []any{
		r.entity, r.attribute, json.RawMessage(r.value), projections.Days{From: r.from, To: r.to}, recorded, r.since.label, closedAt,
		r.event, r.cause, superseded, last.event, last.position, last.revision,
	}
}

// storeClosed closes rectangles of earlier batches. That each is there proves
// that the tables still say what the assertions say.
func (p *page[E]) storeClosed(writes *projections.Writes) {
	if len(p.closed) == 0 {
		return
	}
	n := len(p.closed)
	entities, events := make([]uuid.UUID, n), make([]uuid.UUID, n)
	attributes, from := make([]string, n), make([]*string, n) // dates; nil = open
	positions, revisions := make([]int64, n), make([]int64, n)
	labels := make([]time.Time, n)
	for i, r := range p.closed {
		entities[i], attributes[i], from[i] = r.entity, r.attribute, dateText(r.from)
		positions[i], labels[i], events[i], revisions[i] = r.until.position, r.until.label, r.until.event, r.until.revision
	}
	amiss := fmt.Errorf("the %s facts do not match what was said: rebuild the projection", p.name)
	writes.Hit(n, amiss, p.sql(`update {t}_fact f
		set recorded = int8range(lower(f.recorded), c.closed), recorded_to = c.closed_at, superseded_by = c.superseded,
		    last_event_id = c.superseded, last_position = c.closed, last_revision = c.revised
		from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::uuid[], $7::bigint[])
		  as c (entity, attribute, valid_from, closed, closed_at, superseded, revised)
		where f.{t}_id = c.entity and f.attribute = c.attribute and coalesce(lower(f.valid), '-infinity') = coalesce(c.valid_from::date, '-infinity')
		  and upper_inf(f.recorded)`),
		entities, attributes, from, positions, labels, events, revisions)
}

func dateText(d domain.Date) *string {
	if d.IsZero() {
		return nil
	}
	text := d.String()
	return &text
}

// compare orders rectangles so that the same events write the same rows in the
// same order, whatever a map's order is.
func (r rectangle) compare(s rectangle) int {
	if c := slices.Compare(r.entity[:], s.entity[:]); c != 0 {
		return c
	}
	if c := strings.Compare(r.attribute, s.attribute); c != 0 {
		return c
	}
	if r.since.position != s.since.position {
		return int(r.since.position - s.since.position)
	}
	return r.from.Compare(s.from)
}
