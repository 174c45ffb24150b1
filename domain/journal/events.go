package journal

import (
	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/book"
)

// Event is one fact in a period's stream. The types below are the stored format:
// fields may be added, never renamed or reused; a changed meaning is a new event.
// testdata/stored.golden pins every shape.
type Event interface {
	domain.Named
	evolve(State, domain.Recording) State
}

// Catalog decodes every event of a period's stream.
var Catalog = domain.NewCatalog(
	domain.Is(asEvent[PeriodOpened]),
	domain.Is(asEvent[EntryPosted]),
	domain.Is(asEvent[EntryReversed]),
	domain.Is(asEvent[PeriodSoftClosed]),
	domain.Is(asEvent[PeriodClosed]),
	domain.Is(asEvent[PeriodReopened]),
)

func asEvent[E Event](event E) Event { return event }

// PeriodOpened begins a period of a book. OpeningFrom is the period whose
// closing balances it continues; none for a book's first period.
type PeriodOpened struct {
	Book               string          `json:"book"`
	Period             domain.Period   `json:"period"`
	FunctionalCurrency domain.Currency `json:"functional_currency"`
	OpeningFrom        domain.Period   `json:"opening_from,omitzero"`
}

// EntryPosted is an entry in the journal. BookRevision says which accounts it
// was decided on. All of it is kept in clear for as long as the law keeps books,
// whoever asks to be forgotten: so Description is text about the business, nobody
// is named in it, and a person stands in PartyRef, as an opaque ID.
type EntryPosted struct {
	EntryID      uuid.UUID   `json:"entry_id"`
	EntryNo      int         `json:"entry_no"` // gapless in the period, from 1
	DocumentDate domain.Date `json:"document_date"`
	PostingDate  domain.Date `json:"posting_date"`
	Source       Source      `json:"source,omitzero"`
	Description  string      `json:"description"`
	Lines        []Line      `json:"lines"`
	BookRevision uint64      `json:"book_revision"`
}

// Source says what an entry was posted for: an event of a stream, a document, or
// both.
type Source struct {
	Stream     string    `json:"stream,omitempty"`
	EventID    uuid.UUID `json:"event_id,omitzero"`
	DocumentNo string    `json:"document_no,omitempty"`
}

// A Line is one side of an entry. Amounts are not negative and stand at the
// book's scale; FxRate is the functional currency's units for one of Amount's.
type Line struct {
	LineNo           int            `json:"line_no"` // from 1
	Account          string         `json:"account"`
	Side             book.Side      `json:"side"`
	Amount           domain.Money   `json:"amount"`
	FunctionalAmount domain.Money   `json:"functional_amount"`
	FxRate           domain.Decimal `json:"fx_rate,omitzero"`
	CostCenter       string         `json:"cost_center,omitempty"`
	PartyRef         string         `json:"party_ref,omitempty"`
	TaxCode          string         `json:"tax_code,omitempty"`
	ItemRef          string         `json:"item_ref,omitempty"`
}

// EntryReversed is an entry that undoes another one, perhaps of another period,
// by the same lines on the other sides. It names no book revision, for a reversal
// may touch accounts that are blocked by now.
type EntryReversed struct {
	EntryID         uuid.UUID   `json:"entry_id"`
	EntryNo         int         `json:"entry_no"` // in one row with the entries posted
	ReversesEntryID uuid.UUID   `json:"reverses_entry_id"`
	PostingDate     domain.Date `json:"posting_date"`
	ReasonCode      string      `json:"reason_code"`
	Lines           []Line      `json:"lines"`
}

// PeriodSoftClosed keeps further entries out while the period is being examined.
type PeriodSoftClosed struct{}

// PeriodClosed ends the period. The hash is Digest of the totals.
type PeriodClosed struct {
	TrialBalanceHash string  `json:"trial_balance_hash"` // hex SHA-256
	Totals           []Total `json:"totals"`             // by account code
}

// A Total is what moved on one account in the period, in functional currency.
type Total struct {
	Account string         `json:"account"`
	Debit   domain.Decimal `json:"debit"`
	Credit  domain.Decimal `json:"credit"`
}

// PeriodReopened lets entries in again. Reason is text about the books; nobody
// is named in it.
type PeriodReopened struct {
	ApprovalID uuid.UUID `json:"approval_id"`
	Reason     string    `json:"reason"`
}

// EventType is the stored name.
func (PeriodOpened) EventType() string { return "journal-period-opened" }

// EventType is the stored name.
func (EntryPosted) EventType() string { return "journal-entry-posted" }

// EventType is the stored name.
func (EntryReversed) EventType() string { return "journal-entry-reversed" }

// EventType is the stored name.
func (PeriodSoftClosed) EventType() string { return "journal-period-soft-closed" }

// EventType is the stored name.
func (PeriodClosed) EventType() string { return "journal-period-closed" }

// EventType is the stored name.
func (PeriodReopened) EventType() string { return "journal-period-reopened" }

// EffectiveAt is the day in whose balances the entry counts.
func (e EntryPosted) EffectiveAt() string { return e.PostingDate.String() }

// EffectiveAt is the day in whose balances the reversal counts.
func (e EntryReversed) EffectiveAt() string { return e.PostingDate.String() }

func (e PeriodOpened) evolve(s State, _ domain.Recording) State {
	s.status, s.book, s.period, s.openingFrom = open, e.Book, e.Period, e.OpeningFrom
	s.currency = e.FunctionalCurrency
	return s
}

func (e EntryPosted) evolve(s State, r domain.Recording) State {
	s = s.enter(e.EntryID, e.EntryNo, e.Lines, entry{r.Revision, e.Source.key()})
	if key := e.Source.key(); key != "" {
		s.sources[key] = true
	}
	return s
}

// A source whose entry is reversed in its own period may be posted there again.
// One in a later period does not reach back: post the source anew in that one.
func (e EntryReversed) evolve(s State, r domain.Recording) State {
	s = s.enter(e.EntryID, e.EntryNo, e.Lines, entry{revision: r.Revision})
	s.reversed[e.ReversesEntryID] = true
	delete(s.sources, s.entries[e.ReversesEntryID].source)
	return s
}

// enter counts an entry and its lines.
func (s State) enter(id uuid.UUID, number int, lines []Line, e entry) State {
	if s.entries == nil {
		s.entries, s.reversed = map[uuid.UUID]entry{}, map[uuid.UUID]bool{}
		s.sources, s.totals = map[string]bool{}, map[string]sums{}
	}
	s.entries[id] = e
	s.lastNo = number
	for _, line := range lines {
		s.totals[line.Account] = s.totals[line.Account].add(line.Side, line.FunctionalAmount.Amount)
	}
	return s
}

func (PeriodSoftClosed) evolve(s State, _ domain.Recording) State {
	s.status = softClosed
	return s
}

func (PeriodClosed) evolve(s State, _ domain.Recording) State {
	s.status = closed
	return s
}

func (PeriodReopened) evolve(s State, _ domain.Recording) State {
	s.status = open
	return s
}
