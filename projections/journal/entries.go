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
type place struct {
	Book   string `json:"book"`
	Period string `json:"period"`
}

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
	EntryNo       int         `json:"entry_no"`
	EntryID       uuid.UUID   `json:"entry_id"`
	DocumentDate  domain.Date `json:"document_date"`
	PostingDate   domain.Date `json:"posting_date"`
	DocumentNo    string      `json:"document_no,omitempty"`
	SourceStream  string      `json:"source_stream,omitempty"`
	SourceEventID uuid.UUID   `json:"source_event_id,omitzero"`
	Description   string      `json:"description,omitempty"`
	Late          bool        `json:"late"`
	Reverses      uuid.UUID   `json:"reverses,omitzero"`
	ReasonCode    string      `json:"reason_code,omitempty"`
	EventID       uuid.UUID   `json:"event_id"`
	Position      int64       `json:"position"`
	Revision      int64       `json:"revision"`
	RecordedAt    time.Time   `json:"recorded_at"`
	last

	lines []journal.Line
}

// A line is a row of journal_line.
type line struct {
	place
	EntryNo           int             `json:"entry_no"`
	LineNo            int             `json:"line_no"`
	Account           string          `json:"account"`
	Debit             domain.Decimal  `json:"debit"`
	Credit            domain.Decimal  `json:"credit"`
	Currency          domain.Currency `json:"currency"`
	TransactionDebit  domain.Decimal  `json:"transaction_debit"`
	TransactionCredit domain.Decimal  `json:"transaction_credit"`
	FxRate            domain.Decimal  `json:"fx_rate,omitzero"`
	CostCenter        string          `json:"cost_center,omitempty"`
	PartyRef          string          `json:"party_ref,omitempty"`
	TaxCode           string          `json:"tax_code,omitempty"`
	ItemRef           string          `json:"item_ref,omitempty"`
	PostingDate       domain.Date     `json:"posting_date"`
	last
}

// entryOf is the entry that an event makes, if it makes one.
func entryOf(e projections.Event) (entry, bool) {
	row := entry{place: placeOf(e), EventID: e.ID, Position: e.Pos(), Revision: int64(e.Revision), RecordedAt: e.Label, last: lastOf(e)}
	switch event := e.Decoded.(type) {
	case journal.EntryPosted:
		row.EntryNo, row.EntryID, row.lines = event.EntryNo, event.EntryID, event.Lines
		row.DocumentDate, row.PostingDate, row.Description = event.DocumentDate, event.PostingDate, event.Description
		row.DocumentNo, row.SourceStream, row.SourceEventID = event.Source.DocumentNo, event.Source.Stream, event.Source.EventID
		return row, true
	case journal.EntryReversed:
		row.EntryNo, row.EntryID, row.lines = event.EntryNo, event.EntryID, event.Lines
		row.DocumentDate, row.PostingDate = event.PostingDate, event.PostingDate
		row.Reverses, row.ReasonCode = event.ReversesEntryID, event.ReasonCode
		return row, true
	}
	return row, false
}

// rows are the entry's lines, each with its amounts on the side where they stand
// and a zero of the same scale on the other.
func (n entry) rows() []line {
	rows := make([]line, len(n.lines))
	for i, l := range n.lines {
		row := line{
			place: n.place, EntryNo: n.EntryNo, LineNo: l.LineNo, Account: l.Account, Currency: l.Amount.Currency, FxRate: l.FxRate,
			CostCenter: l.CostCenter, PartyRef: l.PartyRef, TaxCode: l.TaxCode, ItemRef: l.ItemRef, PostingDate: n.PostingDate, last: n.last,
		}
		row.Debit, row.Credit = sides(l.Side, l.FunctionalAmount.Amount)
		row.TransactionDebit, row.TransactionCredit = sides(l.Side, l.Amount.Amount)
		rows[i] = row
	}
	return rows
}

func sides(side book.Side, amount domain.Decimal) (debit, credit domain.Decimal) {
	none := amount.Sub(amount)
	if side == book.Credit {
		return none, amount
	}
	return amount, none
}
