package journal

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/journal"
	"daybook.example/projections"
)

// A place is the period of a book, as its stream names it.
type place struct{ Book, Period string }

// placeOf reads a stream's name: journal-<book>_<yyyymm>.
func placeOf(e projections.Event) place {
	name, compact, _ := strings.Cut(strings.TrimPrefix(e.Stream, journal.Category+"-"), "_")
	if len(compact) == len("200601") {
		compact = compact[:4] + "-" + compact[4:]
	}
	return place{name, compact}
}

// bookOf reads a stream's name: book-<book>.
func bookOf(e projections.Event) string { return strings.TrimPrefix(e.Stream, book.Category+"-") }

// An entry is a row of journal_entry.
type entry struct {
	place
	entryNo       int
	entryID       uuid.UUID
	documentDate  domain.Date
	postingDate   domain.Date
	source        journal.Source
	description   string
	late          bool
	reverses      uuid.UUID
	reasonCode    string
	reversedBy    uuid.UUID
	reversedAt    int64
	made, touched moment

	lines []journal.Line
}

const entryColumns = `book, period, entry_no, entry_id, document_date, posting_date, document_no, source_stream, source_event_id,
	description, late, reverses, reason_code, reversed_by, reversed_position, event_id, position, revision, recorded_at,
	last_event_id, last_position, last_revision`

func (n *entry) values() []any {
	return []any{
		n.Book, n.Period, n.entryNo, n.entryID, n.documentDate, n.postingDate,
		projections.OrNull(n.source.DocumentNo), projections.OrNull(n.source.Stream), projections.OrNull(n.source.EventID),
		projections.OrNull(n.description), n.late, projections.OrNull(n.reverses), projections.OrNull(n.reasonCode), projections.OrNull(n.reversedBy), projections.OrNull(n.reversedAt),
		n.made.event, n.made.position, n.made.revision, n.made.label,
		n.touched.event, n.touched.position, n.touched.revision,
	}
}

// A line is a row of journal_line: one of an entry's.
type line struct {
	of *entry
	journal.Line
}

const lineColumns = `book, period, entry_no, line_no, account, debit, credit, currency, transaction_debit, transaction_credit, fx_rate,
	cost_center, party_ref, tax_code, item_ref, posting_date, last_event_id, last_position, last_revision`

// values are the line's, each with its amounts on the side where they stand and a
// zero of the same scale on the other.
func (l line) values() []any {
	debit, credit := sides(l.Side, l.FunctionalAmount.Amount)
	paid, received := sides(l.Side, l.Amount.Amount)
	n := l.of
	return []any{
		n.Book, n.Period, n.entryNo, l.LineNo, l.Account, debit, credit, string(l.Amount.Currency), paid, received, projections.OrNull(l.FxRate),
		projections.OrNull(l.CostCenter), projections.OrNull(l.PartyRef), projections.OrNull(l.TaxCode), projections.OrNull(l.ItemRef), n.postingDate,
		n.made.event, n.made.position, n.made.revision,
	}
}

// A moment is the event that made a row, or touched it last.
type moment struct {
	event    uuid.UUID
	position int64
	revision uint64
	label    time.Time
}

func momentOf(e projections.Event) moment { return moment{e.ID, e.Pos(), e.Revision, e.Label} }

// entryOf is the entry that an event makes, if it makes one.
func entryOf(e projections.Event) (*entry, bool) {
	now := momentOf(e)
	n := &entry{place: placeOf(e), made: now, touched: now}
	switch event := e.Decoded.(type) {
	case journal.EntryPosted:
		n.entryNo, n.entryID, n.lines = event.EntryNo, event.EntryID, event.Lines
		n.documentDate, n.postingDate, n.source, n.description = event.DocumentDate, event.PostingDate, event.Source, event.Description
		return n, true
	case journal.EntryReversed:
		n.entryNo, n.entryID, n.lines = event.EntryNo, event.EntryID, event.Lines
		n.documentDate, n.postingDate = event.PostingDate, event.PostingDate
		n.reverses, n.reasonCode = event.ReversesEntryID, event.ReasonCode
		return n, true
	}
	return nil, false
}

func sides(side book.Side, amount domain.Decimal) (debit, credit domain.Decimal) {
	if side == book.Credit {
		return amount.Zero(), amount
	}
	return amount, amount.Zero()
}
