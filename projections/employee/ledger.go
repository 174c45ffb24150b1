package employee

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/domain"
	"daybook.example/projections"
)

// A ledger is a pair of tables of one shape, <name>_assertion and <name>_fact:
// what was said of each entity, and the rectangles of what is believed of it.
type ledger[E domain.Named] struct {
	name   string
	decode func(name string, version int, data []byte) (E, error)
	fold   func() func([]domain.Recorded[E]) ([]belief, error) // for one batch
	cause  func(E) string
}

// A page is what a batch of events needs and adds of a ledger.
type page[E domain.Named] struct {
	ledger[E]
	said   []entry[E]
	before map[uuid.UUID][]domain.Recorded[E] // by entity, in the order of recording

	closed []rectangle // open ones of earlier batches, to be closed
	opened []rectangle
}

// An entry is one event and the entity that it is about.
type entry[E domain.Named] struct {
	entity   uuid.UUID
	recorded projections.Event
	event    E
}

// A rectangle is a belief with the time for which it was believed: from one
// event until another one, if any.
type rectangle struct {
	entity uuid.UUID
	belief
	cause string
	since moment
	until *moment
}

// A moment is an event that opened or closed a rectangle.
type moment struct {
	event    uuid.UUID
	position int64
	revision int64
	label    time.Time
}

func momentOf(e projections.Event) moment {
	return moment{e.ID, e.Pos(), int64(e.Revision), e.Label}
}

func (l ledger[E]) open() *page[E] {
	return &page[E]{ledger: l, before: map[uuid.UUID][]domain.Recorded[E]{}}
}

func (p *page[E]) say(entity uuid.UUID, e projections.Event, event E) {
	p.before[entity] = nil
	p.said = append(p.said, entry[E]{entity, e, event})
}

// sql writes a statement for the ledger's tables; {t} is its name.
func (l ledger[E]) sql(text string) string { return strings.ReplaceAll(text, "{t}", l.name) }

// queueLoad asks for all that was said before of the entities of this batch.
// What is believed of them is no question: it is the fold of that.
func (p *page[E]) queueLoad(reads *pgx.Batch) {
	if len(p.said) == 0 {
		return
	}
	entities := make([]uuid.UUID, 0, len(p.before))
	for entity := range p.before {
		entities = append(entities, entity)
	}
	reads.Queue(p.sql(`select {t}_id, event_id, revision, event_type, schema_version, data
		from {t}_assertion where {t}_id = any($1) order by {t}_id, position`), entities).
		Query(p.load)
}

func (p *page[E]) load(rows pgx.Rows) error {
	var (
		entity, id uuid.UUID
		revision   int64
		name       string
		version    int
		data       []byte
	)
	_, err := pgx.ForEachRow(rows, []any{&entity, &id, &revision, &name, &version, &data}, func() error {
		event, err := p.decode(name, version, data)
		if err != nil {
			return fmt.Errorf("decode what was projected of event %s: %w", id, err)
		}
		p.before[entity] = append(p.before[entity], recorded(id, uint64(revision), event))
		return nil
	})
	return err
}

func recorded[E any](id uuid.UUID, revision uint64, event E) domain.Recorded[E] {
	return domain.Recorded[E]{Recording: domain.Recording{ID: id, Revision: revision}, Event: event}
}

// turn folds the events of the batch one by one and keeps what each changes.
func (p *page[E]) turn() error {
	fold := p.fold()
	open := make(map[uuid.UUID][]rectangle, len(p.before))
	for entity, said := range p.before {
		believed, err := fold(said)
		if err != nil {
			return err
		}
		for _, b := range believed {
			open[entity] = append(open[entity], rectangle{entity: entity, belief: b, since: stored})
		}
	}
	for _, e := range p.said {
		p.before[e.entity] = append(p.before[e.entity], recorded(e.recorded.ID, e.recorded.Revision, e.event))
		believed, err := fold(p.before[e.entity])
		if err != nil {
			return err
		}
		open[e.entity] = p.compare(open[e.entity], believed, e)
	}
	for _, rectangles := range open {
		p.opened = append(p.opened, rectangles...)
	}
	p.opened = slices.DeleteFunc(p.opened, func(r rectangle) bool { return r.since == stored })
	return nil
}

// stored marks a rectangle that an earlier batch opened.
var stored = moment{position: -1}

// compare closes the open rectangles that are no longer believed and opens those
// that are new. A belief that stays as it was keeps its rectangle.
func (p *page[E]) compare(open []rectangle, believed []belief, by entry[E]) []rectangle {
	now := momentOf(by.recorded)
	still := make([]rectangle, 0, len(believed))
	for _, r := range open {
		if slices.Contains(believed, r.belief) {
			still = append(still, r)
			continue
		}
		r.until = &now
		if r.since == stored {
			p.closed = append(p.closed, r)
		} else {
			p.opened = append(p.opened, r)
		}
	}
	kept := len(still)
	for _, b := range believed {
		if !slices.ContainsFunc(still[:kept], func(r rectangle) bool { return r.belief == b }) {
			still = append(still, rectangle{entity: by.entity, belief: b, cause: p.cause(by.event), since: now})
		}
	}
	return still
}

// loader is a page before its entities are read.
type loader interface {
	queueLoad(*pgx.Batch)
	turn() error
}

// load reads what all pages need in one round trip, and folds.
func load(ctx context.Context, tx pgx.Tx, pages ...loader) error {
	reads := &pgx.Batch{}
	for _, p := range pages {
		p.queueLoad(reads)
	}
	if reads.Len() > 0 {
		if err := tx.SendBatch(ctx, reads).Close(); err != nil {
			return err
		}
	}
	for _, p := range pages {
		if err := p.turn(); err != nil {
			return err
		}
	}
	return nil
}
