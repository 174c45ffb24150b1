package journal

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/field"
)

// PostEntry enters a balanced entry into the period.
type PostEntry struct {
	EntryID      uuid.UUID   `json:"-"` // domain.EntityID of the command
	Book         book.State  `json:"-"`
	DocumentDate domain.Date `json:"document_date,omitzero"` // default: the posting date
	PostingDate  domain.Date `json:"posting_date"`
	Source       SourceEvent `json:"source,omitzero"`
	DocumentNo   string      `json:"document_no,omitempty"`
	Description  string      `json:"description" doc:"About the business. Name nobody: entries stay readable for ever."`
	Lines        []LineItem  `json:"lines"`
}

// SourceEvent names the event that an entry is posted for.
type SourceEvent struct {
	Stream  string    `json:"stream"`
	EventID uuid.UUID `json:"event_id"`
}

// LineItem is a line as the wire brings it: in the functional currency the
// amount is enough.
type LineItem struct {
	Account          string         `json:"account"`
	Side             book.Side      `json:"side" enum:"D,C"`
	Amount           domain.Money   `json:"amount"`
	FunctionalAmount domain.Money   `json:"functional_amount,omitzero"`
	FxRate           domain.Decimal `json:"fx_rate,omitzero"` // units of the functional currency for one of amount's
	CostCenter       string         `json:"cost_center,omitempty"`
	PartyRef         string         `json:"party_ref,omitempty" doc:"An opaque ID, such as a customer's; no name."`
	TaxCode          string         `json:"tax_code,omitempty"`
	ItemRef          string         `json:"item_ref,omitempty"`
}

// errNoContext says that the edge left out what only it can know.
var errNoContext = errors.New("journal: a command came without the ID or the book of its entry")

func (c PostEntry) decide(s State) ([]Event, error) {
	if c.EntryID == uuid.Nil || c.Book.Name == "" {
		return nil, errNoContext
	}
	source := Source{c.Source.Stream, c.Source.EventID, c.DocumentNo}
	if err := cmp.Or(s.accepts(""), c.check(), s.contains(c.PostingDate), s.new(c.EntryID, source)); err != nil {
		return nil, err
	}
	lines, err := c.lines()
	if err != nil {
		return nil, err
	}
	return []Event{EntryPosted{
		EntryID:      c.EntryID,
		EntryNo:      s.lastNo + 1,
		DocumentDate: cmp.Or(c.DocumentDate, c.PostingDate),
		PostingDate:  c.PostingDate,
		Source:       source,
		Description:  c.Description,
		Lines:        lines,
		BookRevision: c.Book.Revision,
	}}, nil
}

// check refuses a malformed head.
func (c PostEntry) check() error {
	err := cmp.Or(
		field.Required("/posting_date", c.PostingDate),
		field.Line("/description", c.Description),
		field.Text("/document_no", c.DocumentNo),
		field.Text("/source/stream", c.Source.Stream),
	)
	if err == nil && c.Source != (SourceEvent{}) {
		err = cmp.Or(field.Required("/source/stream", c.Source.Stream), field.Required("/source/event_id", c.Source.EventID))
	}
	return err
}

// new refuses an entry, or an entry for a source, that the period has already.
func (s State) new(id uuid.UUID, source Source) error {
	if _, exists := s.entries[id]; exists {
		return domain.Refuse("entry-exists", "", "this entry is posted already")
	}
	switch posted := s.sources[source.key()]; {
	case posted && source.EventID != uuid.Nil:
		return domain.Refuse("source-posted", "/source/event_id", "an entry is posted for this event already; reverse it first")
	case posted:
		return domain.Refuse("source-posted", "/document_no", "an entry is posted under this document number already; reverse it first, or name the event that this one is posted for")
	}
	return nil
}

// key is by what an entry's source is known again: the event where one is named,
// for several entries may come from one document; else the document.
func (s Source) key() string {
	switch {
	case s.EventID != uuid.Nil:
		return s.EventID.String()
	case s.DocumentNo != "":
		return "document " + s.DocumentNo
	}
	return ""
}

// lines are the entry's lines at the book's scale, once they are in order.
func (c PostEntry) lines() ([]Line, error) {
	if len(c.Lines) < 2 {
		return nil, domain.Refuse("lines-too-few", "/lines", "an entry has at least two lines")
	}
	lines := make([]Line, len(c.Lines))
	for i, item := range c.Lines {
		line, err := item.line(fmt.Sprintf("/lines/%d", i), c.Book)
		if err != nil {
			return nil, err
		}
		line.LineNo = i + 1
		lines[i] = line
	}
	return lines, balanced(lines)
}

func (i LineItem) line(at string, b book.State) (Line, error) {
	if err := cmp.Or(i.check(at), i.onAccount(at, b), i.money(at, b)); err != nil {
		return Line{}, err
	}
	i.FunctionalAmount = cmp.Or(i.FunctionalAmount, i.Amount)
	i.Amount.Amount = atScale(i.Amount.Amount, b.Scale)
	i.FunctionalAmount.Amount = atScale(i.FunctionalAmount.Amount, b.Scale)
	return Line{
		Account: i.Account, Side: i.Side, Amount: i.Amount, FunctionalAmount: i.FunctionalAmount, FxRate: i.FxRate,
		CostCenter: i.CostCenter, PartyRef: i.PartyRef, TaxCode: i.TaxCode, ItemRef: i.ItemRef,
	}, nil
}

func (i LineItem) check(at string) error {
	return cmp.Or(
		field.Required(at+"/account", i.Account),
		field.Required(at+"/side", i.Side),
		field.OneOf(at+"/side", i.Side, book.Debit, book.Credit),
		field.Text(at+"/cost_center", i.CostCenter),
		field.Text(at+"/party_ref", i.PartyRef),
		field.Text(at+"/tax_code", i.TaxCode),
		field.Text(at+"/item_ref", i.ItemRef),
	)
}

func (i LineItem) onAccount(at string, b book.State) error {
	account, exists := b.Accounts[i.Account]
	switch {
	case !exists:
		return domain.Refuse("account-unknown", at+"/account", "the book has no such account: open it first")
	case account.Blocked:
		return domain.Refuse("account-blocked", at+"/account", "the account takes no new entries: post to another one")
	case account.Currency != "" && account.Currency != i.Amount.Currency:
		return domain.Refuse("account-currency", at+"/amount/currency", "the account is kept in %s", string(account.Currency))
	}
	return nil
}

// money checks both amounts and the rate between them.
func (i LineItem) money(at string, b book.State) error {
	functional := i.Amount.Currency == b.FunctionalCurrency
	if err := i.Amount.Check(at+"/amount", b.Scale); err != nil {
		return err
	}
	if i.FunctionalAmount.IsZero() && !functional {
		return domain.Refuse("functional-amount-missing", at+"/functional_amount", "a line in %s states its amount in %s too", string(i.Amount.Currency), string(b.FunctionalCurrency))
	}
	other := cmp.Or(i.FunctionalAmount, i.Amount)
	if err := other.Check(at+"/functional_amount", b.Scale); err != nil {
		return err
	}
	return cmp.Or(
		sized(at, i.Amount, other),
		i.counterpart(at, other, b.FunctionalCurrency, functional),
		i.rate(at, functional),
	)
}

// amountMax leaves room for the sum of a million lines: totals must fit a Decimal.
var amountMax = domain.MustDecimal("999999999999999999.999999")

// sized refuses amounts that are negative or too large, and a line that moves
// nothing. A rounding line may have a functional amount alone.
func sized(at string, amount, functional domain.Money) error {
	switch {
	case amount.Amount.Compare(amountMax) > 0:
		return domain.Refuse("amount-too-large", at+"/amount/amount", "an amount has at most 18 digits before the point")
	case functional.Amount.Compare(amountMax) > 0:
		return domain.Refuse("amount-too-large", at+"/functional_amount/amount", "an amount has at most 18 digits before the point")
	case amount.Amount.Sign() < 0:
		return domain.Refuse("amount-negative", at+"/amount/amount", "an amount is not negative: choose the other side")
	case functional.Amount.Sign() < 0:
		return domain.Refuse("amount-negative", at+"/functional_amount/amount", "an amount is not negative: choose the other side")
	case amount.Amount.Sign() == 0 && functional.Amount.Sign() == 0:
		return domain.Refuse("amount-zero", at+"/amount/amount", "the line moves nothing: leave it out")
	}
	return nil
}

func (i LineItem) counterpart(at string, other domain.Money, currency domain.Currency, functional bool) error {
	switch {
	case other.Currency != currency:
		return domain.Refuse("functional-currency", at+"/functional_amount/currency", "the book's functional currency is %s", string(currency))
	case functional && other.Amount.Compare(i.Amount.Amount) != 0:
		return domain.Refuse("functional-amount-differs", at+"/functional_amount/amount", "in the functional currency both amounts are the same: leave one out")
	}
	return nil
}

var one = domain.MustDecimal("1")

func (i LineItem) rate(at string, functional bool) error {
	given := i.FxRate != domain.Decimal{}
	if given && (i.FxRate.Sign() <= 0 || functional && i.FxRate.Compare(one) != 0) {
		return domain.Refuse("fx-rate-invalid", at+"/fx_rate", "a rate is above zero, and 1 in the functional currency")
	}
	return nil
}

// balanced refuses lines whose debits are not their credits, in any transaction
// currency or in the functional one.
func balanced(lines []Line) error {
	transaction, functional := map[domain.Currency]sums{}, sums{}
	for _, line := range lines {
		currency := line.Amount.Currency
		transaction[currency] = transaction[currency].add(line.Side, line.Amount.Amount)
		functional = functional.add(line.Side, line.FunctionalAmount.Amount)
	}
	for _, currency := range slices.Sorted(maps.Keys(transaction)) {
		if sum := transaction[currency]; !sum.balanced() {
			return domain.Refuse("unbalanced", "/lines", "debits are %s %s, credits %s", sum.debit, string(currency), sum.credit)
		}
	}
	if !functional.balanced() {
		return domain.Refuse("unbalanced-functional", "/lines", "in functional currency debits are %s, credits %s; add a line that rounds, with amount 0 in the transaction currency", functional.debit, functional.credit)
	}
	return nil
}

// ReverseEntry undoes an entry by a counter-entry. It is decided in the period
// of its posting date: see Period.
type ReverseEntry struct {
	EntryID     uuid.UUID   `json:"-"`                     // of the counter-entry: domain.EntityID of the command
	Original    Event       `json:"-"`                     // the entry to be reversed, of this book; none = it does not exist
	PostingDate domain.Date `json:"posting_date,omitzero"` // default: that of the entry
	ReasonCode  string      `json:"reason_code"`
}

// Period is where the reversal belongs; none if neither it nor its entry says so.
func (c ReverseEntry) Period() domain.Period {
	day := c.PostingDate
	if original, ok := c.Original.(EntryPosted); ok {
		day = cmp.Or(day, original.PostingDate)
	}
	if day.IsZero() {
		return domain.Period{}
	}
	return domain.PeriodOf(day)
}

// A reversal may touch accounts that are blocked by now: nothing else could take
// back what stands on them.
func (c ReverseEntry) decide(s State) ([]Event, error) {
	if c.EntryID == uuid.Nil {
		return nil, errNoContext
	}
	original, err := c.original()
	if err != nil {
		return nil, err
	}
	day := cmp.Or(c.PostingDate, original.PostingDate)
	if err := cmp.Or(
		s.accepts("/posting_date"),
		s.contains(day),
		field.Required("/reason_code", c.ReasonCode),
		field.Code("/reason_code", c.ReasonCode),
		s.new(c.EntryID, Source{}),
	); err != nil {
		return nil, err
	}
	switch {
	case s.reversed[original.EntryID]:
		return nil, domain.Refuse("already-reversed", "", "the entry is reversed already; post it anew if it was right")
	case day.Before(original.PostingDate):
		return nil, domain.Refuse("reversal-before-entry", "/posting_date", "the entry is posted on %s; its reversal is not earlier", original.PostingDate)
	}
	return []Event{EntryReversed{
		EntryID:         c.EntryID,
		EntryNo:         s.lastNo + 1,
		ReversesEntryID: original.EntryID,
		PostingDate:     day,
		ReasonCode:      c.ReasonCode,
		Lines:           opposite(original.Lines),
	}}, nil
}

func (c ReverseEntry) original() (EntryPosted, error) {
	switch original := c.Original.(type) {
	case EntryPosted:
		return original, nil
	case EntryReversed:
		return EntryPosted{}, domain.Refuse("reversal-not-reversible", "", "this entry is a reversal: post the original anew instead")
	}
	return EntryPosted{}, &domain.Error{Kind: domain.NotFound, Code: "entry-unknown", Message: "there is no such entry in this period"}
}

func opposite(lines []Line) []Line {
	counter := slices.Clone(lines)
	for i := range counter {
		counter[i].Side = counter[i].Side.Other()
	}
	return counter
}
