package employee

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"daybook.example/domain"
)

// store queues what a page adds: what was said, then the rectangles to close,
// then the new ones, for the index allows one open one at a time.
func (p *page[E]) store(writes *pgx.Batch) {
	p.storeSaid(writes)
	p.storeClosed(writes)
	p.storeOpened(writes)
}

func (p *page[E]) storeSaid(writes *pgx.Batch) {
	if len(p.said) == 0 {
		return
	}
	n := len(p.said)
	entities, ids := make([]uuid.UUID, n), make([]uuid.UUID, n)
	positions, revisions := make([]int64, n), make([]int64, n)
	names, versions := make([]string, n), make([]int32, n)
	labels, data := make([]time.Time, n), make([][]byte, n)
	for i, e := range p.said {
		entities[i], ids[i], positions[i], revisions[i] = e.entity, e.recorded.ID, e.recorded.Pos(), int64(e.recorded.Revision)
		names[i], versions[i], labels[i], data[i] = e.recorded.Type, int32(e.recorded.Meta.SchemaVersion), e.recorded.Label, e.recorded.Data
	}
	writes.Queue(p.sql(`insert into {t}_assertion ({t}_id, event_id, position, revision, event_type, schema_version, recorded_at, data)
		select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::int[], $7::timestamptz[], $8::bytea[])`),
		entities, ids, positions, revisions, names, versions, labels, data)
}

// columns are the rectangles of a page as arrays, one for each column.
type columns struct {
	entities                   []uuid.UUID
	attributes, values         []string
	from, to                   []*string // dates; nil = open
	opened                     []int64
	closed                     []*int64
	openedAt                   []time.Time
	closedAt                   []*time.Time
	events                     []uuid.UUID
	causes                     []string
	superseded                 []*uuid.UUID
	lastEvents                 []uuid.UUID
	lastPositions, lastRevised []int64
}

func columnsOf(rectangles []rectangle) (c columns) {
	for _, r := range rectangles {
		c.entities = append(c.entities, r.entity)
		c.attributes, c.values = append(c.attributes, r.attribute), append(c.values, r.value)
		c.from, c.to = append(c.from, dateText(r.from)), append(c.to, dateText(r.to))
		c.opened, c.openedAt = append(c.opened, r.since.position), append(c.openedAt, r.since.label)
		c.events, c.causes = append(c.events, r.event), append(c.causes, r.cause)
		last := r.since
		if r.until != nil {
			last = *r.until
			c.closed, c.closedAt, c.superseded = append(c.closed, &last.position), append(c.closedAt, &last.label), append(c.superseded, &last.event)
		} else {
			c.closed, c.closedAt, c.superseded = append(c.closed, nil), append(c.closedAt, nil), append(c.superseded, nil)
		}
		c.lastEvents = append(c.lastEvents, last.event)
		c.lastPositions, c.lastRevised = append(c.lastPositions, last.position), append(c.lastRevised, last.revision)
	}
	return c
}

func dateText(d domain.Date) *string {
	if d.IsZero() {
		return nil
	}
	text := d.String()
	return &text
}

// storeClosed closes rectangles of earlier batches. That each is there proves
// that the tables still say what the assertions say.
func (p *page[E]) storeClosed(writes *pgx.Batch) {
	if len(p.closed) == 0 {
		return
	}
	c := columnsOf(p.closed)
	writes.Queue(p.sql(`update {t}_fact f
		set recorded = int8range(lower(f.recorded), c.closed), recorded_to = c.closed_at, superseded_by = c.superseded,
		    last_event_id = c.superseded, last_position = c.closed, last_revision = c.revised
		from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::uuid[], $7::bigint[])
		  as c (entity, attribute, valid_from, closed, closed_at, superseded, revised)
		where f.{t}_id = c.entity and f.attribute = c.attribute and coalesce(lower(f.valid), '-infinity') = coalesce(c.valid_from::date, '-infinity')
		  and upper_inf(f.recorded)`),
		c.entities, c.attributes, c.from, c.closed, c.closedAt, c.superseded, c.lastRevised).
		Exec(func(tag pgconn.CommandTag) error {
			if tag.RowsAffected() != int64(len(p.closed)) {
				return fmt.Errorf("the %s facts do not match what was said: rebuild the projection", p.name)
			}
			return nil
		})
}

func (p *page[E]) storeOpened(writes *pgx.Batch) {
	if len(p.opened) == 0 {
		return
	}
	slices.SortFunc(p.opened, rectangle.compare)
	c := columnsOf(p.opened)
	writes.Queue(p.sql(`insert into {t}_fact ({t}_id, attribute, value, valid, recorded, recorded_from, recorded_to,
		  event_id, cause, superseded_by, last_event_id, last_position, last_revision)
		select entity, attribute, value::jsonb, daterange(valid_from::date, valid_to::date), int8range(opened, closed), opened_at, closed_at,
		  event, cause, superseded, last_event, last_position, last_revision
		from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::timestamptz[], $9::timestamptz[],
		  $10::uuid[], $11::text[], $12::uuid[], $13::uuid[], $14::bigint[], $15::bigint[])
		  as c (entity, attribute, value, valid_from, valid_to, opened, closed, opened_at, closed_at,
		    event, cause, superseded, last_event, last_position, last_revision)`),
		c.entities, c.attributes, c.values, c.from, c.to, c.opened, c.closed, c.openedAt, c.closedAt,
		c.events, c.causes, c.superseded, c.lastEvents, c.lastPositions, c.lastRevised)
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
