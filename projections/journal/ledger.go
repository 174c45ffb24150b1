package journal

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/projections"
)

// A ledger is what a batch of events needs to know, and adds.
type ledger struct {
	known   map[subject]*fact // the open ones, nil where there is none
	facts   []*fact           // to be stored, in an order in which one closes before the next opens
	entries []*entry
	entered int // so many of them are folded
	lines   []line
	byID    map[uuid.UUID]*entry // of entries
	undoing []uuid.UUID          // reversals among the entries, of entries of earlier batches

	touched map[*fact]bool
}

func newLedger() *ledger {
	return &ledger{known: map[subject]*fact{}, touched: map[*fact]bool{}, byID: map[uuid.UUID]*entry{}}
}

// expect notes what an event needs to know.
func (l *ledger) expect(e projections.Event) error {
	if about, said := change(e); said != nil {
		l.known[about] = nil
		return nil
	}
	n, isEntry := entryOf(e)
	if !isEntry {
		return fmt.Errorf("event %s of type %s is none that this projection knows", e.ID, e.Type)
	}
	l.known[n.documentMonth()] = nil
	l.entries, l.byID[n.entryID] = append(l.entries, n), n
	return nil
}

// documentMonth is the period in which the entry would stand if it were in time.
func (n *entry) documentMonth() subject { return subject{aPeriod, n.Book, monthOf(n.documentDate)} }

func (l *ledger) load(ctx context.Context, tx pgx.Tx) error {
	subjects := make([]subject, 0, len(l.known))
	for about := range l.known {
		subjects = append(subjects, about)
	}
	rows, err := tx.Query(ctx, `select to_jsonb(f) from book_fact f
		join json_to_recordset($1) as s (kind text, book text, key text) using (kind, book, key)
		where upper_inf(f.recorded)`, subjects)
	if err != nil {
		return err
	}
	facts, err := pgx.CollectRows(rows, pgx.RowTo[*fact])
	for _, f := range facts {
		l.known[f.subject] = f
	}
	return err
}

// enter takes an event in.
func (l *ledger) enter(e projections.Event) error {
	if about, said := change(e); said != nil {
		l.learn(about, said, e)
		return nil
	}
	n := l.entries[l.entered]
	l.entered++
	n.late = n.Period != monthOf(n.documentDate) && l.known[n.documentMonth()].isClosed()
	for _, of := range n.lines {
		l.lines = append(l.lines, line{n, of})
	}
	if n.reverses == uuid.Nil {
		return nil
	}
	if undone := l.byID[n.reverses]; undone != nil {
		undone.reversedBy, undone.reversedAt, undone.touched = n.entryID, n.made.position, n.made
	} else {
		l.undoing = append(l.undoing, n.entryID)
	}
	return nil
}

// learn closes what was known of a subject and opens what is known from now on.
func (l *ledger) learn(about subject, said value, e projections.Event) {
	now := opened(about, said.with(nil), e)
	if was := l.known[about]; was != nil {
		now.Value = was.Value.with(said)
		was.close(e)
		l.keep(was)
	}
	l.known[about] = now
	l.keep(now)
}

func (l *ledger) keep(f *fact) {
	if !l.touched[f] {
		l.touched[f] = true
		l.facts = append(l.facts, f)
	}
}

// store writes the batch. The facts travel as JSON whose names are those of the
// columns: they are few.
func (l *ledger) store(ctx context.Context, tx pgx.Tx) error {
	var writes projections.Writes
	if len(l.facts) > 0 {
		writes.Queue(`insert into book_fact select * from json_populate_recordset(null::book_fact, $1)
			on conflict (kind, book, key, lower(recorded)) do update set
			  recorded = excluded.recorded, recorded_to = excluded.recorded_to, superseded_by = excluded.superseded_by,
			  last_event_id = excluded.last_event_id, last_position = excluded.last_position, last_revision = excluded.last_revision`, l.facts)
	}
	writes.Insert("journal_entry", entryColumns, len(l.entries), func(i int) []any { return l.entries[i].values() })
	writes.Insert("journal_line", lineColumns, len(l.lines), func(i int) []any { return l.lines[i].values() })
	if len(l.undoing) > 0 {
		writes.Queue(`update journal_entry e set reversed_by = r.entry_id, reversed_position = r.position,
			  last_event_id = r.event_id, last_position = r.position, last_revision = r.revision
			from journal_entry r where r.entry_id = any($1) and e.entry_id = r.reverses`, l.undoing)
	}
	return writes.Send(ctx, tx)
}
