// Package journal decides what is entered into a book: the day book itself. Each
// period of a book is one stream, so its entries are numbered without a gap.
//
// A period is open, soft-closed (no entries, but it may be opened again or
// closed), or closed (nothing but reopening). An entry is never changed: it is
// reversed by a counter-entry, in its own period or in a later one.
//
// Members without a wire form (`json:"-"`) are set by the edge: the IDs of what
// is made, the folded book, and the entry that is to be reversed.
package journal

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/field"
)

// Category is the category of a period's stream.
const Category = "journal"

// Stream is the stream of one period of a book.
func Stream(book string, period domain.Period) string {
	return Category + "-" + book + "_" + period.Compact()
}

// Decider is the period's behaviour.
var Decider = domain.Decider[Command, State, Event]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, fact domain.Recorded[Event]) State { return fact.Event.evolve(s, fact.Recording) },
	Claims: Claims,
	Copy:   State.copied,
}

// A Command is one intent towards a period of a book.
type Command interface{ decide(State) ([]Event, error) }

// State is what later decisions need to know of a period; the lines of its
// entries are not among it.
type State struct {
	status      status
	book        string
	period      domain.Period
	openingFrom domain.Period
	currency    domain.Currency
	lastNo      int
	entries     map[uuid.UUID]entry
	sources     map[string]bool    // whose entry is posted and not reversed in this period
	reversed    map[uuid.UUID]bool // entries of any period that were reversed in this one
	totals      map[string]sums    // by account
}

// copied is for the busiest of streams, which have thousands of entries.
func (s State) copied() State {
	s.entries, s.sources = maps.Clone(s.entries), maps.Clone(s.sources)
	s.reversed, s.totals = maps.Clone(s.reversed), maps.Clone(s.totals)
	return s
}

type status int

const (
	unopened status = iota
	open
	softClosed
	closed
)

type entry struct {
	revision uint64
	source   string // its key
}

// EntryRevision is the revision in the period's stream at which an entry stands:
// an EntryPosted or an EntryReversed.
func (s State) EntryRevision(id uuid.UUID) (revision uint64, exists bool) {
	e, exists := s.entries[id]
	return e.revision, exists
}

// Reversals of one entry happen once in all periods together, so each claims it.
const reversalSet = "reversal"

// Claims names the entry that a reversal takes.
func Claims(_ State, event Event) []domain.Claim {
	if e, ok := event.(EntryReversed); ok {
		return []domain.Claim{{Set: reversalSet, Value: e.ReversesEntryID.String()}}
	}
	return nil
}

// Rules are the stable codes of all refusals, with what each asks for.
var Rules = map[string]string{
	"book-not-open":               "open the book first",
	"period-not-open":             "the period is open",
	"period-soft-closed":          "a soft-closed period takes no entries until it is reopened",
	"period-closed":               "after the close nothing but reopening",
	"period-already-open":         "a period is opened once",
	"period-not-closed":           "only a closed or soft-closed period is reopened",
	"opening-from-later":          "a period continues an earlier one",
	"required":                    "the field must be given",
	"text-invalid":                "text has at most 200 characters, no control characters, and no blanks around it",
	"code-invalid":                "a code has lower-case letters, digits, - and _, at most 64",
	"value-unknown":               "the value is one of those listed",
	"posting-date-outside-period": "the posting date lies in the period",
	"lines-too-few":               "an entry has at least two lines",
	"account-unknown":             "every account is one of the book's",
	"account-blocked":             "a blocked account takes no new entries",
	"account-currency":            "an account that is kept in one currency takes no other",
	"amount-negative":             "amounts are not negative: the side says what they mean",
	"amount-zero":                 "a line moves something",
	"amount-too-large":            "an amount has at most 18 digits before the point",
	"currency-unknown":            "a currency is an ISO 4217 code",
	"scale-exceeded":              "amounts have at most as many decimal places as the book's scale",
	"functional-currency":         "functional amounts are in the book's functional currency",
	"functional-amount-missing":   "a line in another currency states its functional amount",
	"functional-amount-differs":   "a line in the functional currency has the same amount twice",
	"fx-rate-invalid":             "a rate is above zero, and 1 in the functional currency",
	"unbalanced":                  "debits equal credits in each transaction currency",
	"unbalanced-functional":       "debits equal credits in the functional currency",
	"source-posted":               "one source is posted once, unless its entry was reversed",
	"entry-exists":                "an entry is posted once",
	"entry-unknown":               "the entry to be reversed exists",
	"already-reversed":            "an entry is reversed once",
	"reversal-not-reversible":     "a reversal is not reversed",
	"reversal-before-entry":       "a reversal is not posted before its entry",
}

// OpenPeriod begins a period of a book.
type OpenPeriod struct {
	Book        book.State    `json:"-"`
	Period      domain.Period `json:"period"`
	OpeningFrom domain.Period `json:"opening_from,omitzero"` // the period whose balances it continues
}

func (c OpenPeriod) decide(s State) ([]Event, error) {
	switch {
	case c.Book.Name == "":
		return nil, domain.Refuse("book-not-open", "", "there is no such book yet: open it first")
	case c.Period.IsZero():
		return nil, field.Required("/period", c.Period)
	case !c.OpeningFrom.IsZero() && !c.OpeningFrom.First().Before(c.Period.First()):
		return nil, domain.Refuse("opening-from-later", "/opening_from", "%s continues an earlier period", c.Period)
	case s.status == unopened:
		return []Event{PeriodOpened{c.Book.Name, c.Period, c.Book.FunctionalCurrency, c.OpeningFrom}}, nil
	case s.status == open && s.openingFrom == c.OpeningFrom:
		return nil, nil
	}
	return nil, domain.Refuse("period-already-open", "", "the period %s was opened before; if it is closed, reopen it", c.Period)
}

// accepts refuses entries into a period that is not open.
func (s State) accepts(pointer string) error {
	switch s.status {
	case open:
		return nil
	case softClosed:
		return domain.Refuse("period-soft-closed", pointer, "the period %s is soft-closed: reopen it, or post in an open one; the book's periods say which are", s.period)
	case closed:
		return domain.Refuse("period-closed", pointer, "the period %s is closed: reopen it, or post in an open one; the book's periods say which are", s.period)
	}
	return domain.Refuse("period-not-open", pointer, "the period is not open: open it, or post in an open one; the book's periods say which are")
}

func (s State) contains(day domain.Date) error {
	if !s.period.Contains(day) {
		return domain.Refuse("posting-date-outside-period", "/posting_date", "the posting date lies in the period %s", s.period)
	}
	return nil
}

// SoftClose keeps further entries out while the period is being examined.
type SoftClose struct{}

func (c SoftClose) decide(s State) ([]Event, error) {
	if s.status == softClosed {
		return nil, nil
	}
	if err := s.accepts(""); err != nil {
		return nil, err
	}
	return []Event{PeriodSoftClosed{}}, nil
}

// ClosePeriod ends the period with its totals and their hash.
type ClosePeriod struct{}

func (c ClosePeriod) decide(s State) ([]Event, error) {
	switch s.status {
	case unopened:
		return nil, s.accepts("")
	case closed:
		return nil, nil
	}
	totals := s.Totals()
	return []Event{PeriodClosed{Digest(s.book, s.period, s.currency, totals), totals}}, nil
}

// ReopenPeriod lets entries into a closed or soft-closed period again.
type ReopenPeriod struct {
	ApprovalID uuid.UUID `json:"approval_id"`
	Reason     string    `json:"reason" doc:"About the books. Name nobody: it stays readable for ever."`
}

func (c ReopenPeriod) decide(s State) ([]Event, error) {
	switch s.status {
	case unopened:
		return nil, s.accepts("")
	case open:
		return nil, domain.Refuse("period-not-closed", "", "the period %s is open", s.period)
	}
	if err := cmp.Or(field.Required("/approval_id", c.ApprovalID), field.Line("/reason", c.Reason)); err != nil {
		return nil, err
	}
	return []Event{PeriodReopened(c)}, nil
}

// sums are what moved on an account.
type sums struct{ debit, credit domain.Decimal }

func (t sums) add(side book.Side, amount domain.Decimal) sums {
	if side == book.Debit {
		t.debit = t.debit.Add(amount)
	} else {
		t.credit = t.credit.Add(amount)
	}
	return t
}

func (t sums) balanced() bool { return t.debit.Compare(t.credit) == 0 }

// Totals are the period's movements so far, by account code.
func (s State) Totals() []Total {
	totals := make([]Total, 0, len(s.totals))
	for _, account := range slices.Sorted(maps.Keys(s.totals)) {
		moved := s.totals[account]
		scale := max(moved.debit.Scale(), moved.credit.Scale())
		totals = append(totals, Total{account, atScale(moved.debit, scale), atScale(moved.credit, scale)})
	}
	return totals
}

// atScale pads d to a scale that is known to hold it.
func atScale(d domain.Decimal, scale int) domain.Decimal {
	padded, err := d.At(scale)
	if err != nil {
		panic(err)
	}
	return padded
}

// Digest is the hex SHA-256 of a period's totals in canonical text: a line
// `book period currency`, then per account, in byte order of the codes, a line
// `account debit credit`, each line with its line feed. Anyone can compute it
// from a printed trial balance with sha256sum.
func Digest(book string, period domain.Period, currency domain.Currency, totals []Total) string {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s %s %s\n", book, period, string(currency))
	for _, total := range totals {
		fmt.Fprintf(hash, "%s %s %s\n", total.Account, total.Debit, total.Credit)
	}
	return hex.EncodeToString(hash.Sum(nil))
}
