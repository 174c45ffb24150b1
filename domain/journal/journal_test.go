package journal_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/domaintest"
	. "daybook.example/domain/journal"
)

var (
	may   = period("2025-05")
	june  = period("2025-06")
	first = id(1)
	other = id(2)
	event = uuid.MustParse("00000000-0000-4000-8000-0000000000e1")
	vote  = uuid.MustParse("00000000-0000-4000-8000-0000000000a1")
)

func id(n byte) uuid.UUID { return uuid.UUID{6: 0x40, 8: 0x80, 15: n} }

func day(text string) domain.Date { return domain.MustDate(text) }

func period(text string) domain.Period {
	p, err := domain.ParsePeriod(text)
	if err != nil {
		panic(err)
	}
	return p
}

func eur(amount string) domain.Money { return domain.NewMoney(amount, "EUR") }

func usd(amount string) domain.Money { return domain.NewMoney(amount, "USD") }

func given(t testing.TB, events ...Event) domaintest.Spec[Command, State, Event] {
	return domaintest.For(t, Decider).Given(events...)
}

// theBook is kept in euros and cents; its account 1900 is blocked.
func theBook() book.State {
	return book.State{
		Name: "main", FunctionalCurrency: "EUR", Scale: 2, Revision: 7,
		Accounts: map[string]book.Account{
			"1200": {Name: "Bank", Class: book.Asset, NormalSide: book.Debit, Currency: "EUR"},
			"1400": {Name: "Receivables", Class: book.Asset, NormalSide: book.Debit},
			"1900": {Name: "Suspense", Class: book.Asset, NormalSide: book.Debit, Blocked: true},
			"8400": {Name: "Revenue", Class: book.Income, NormalSide: book.Credit},
		},
	}
}

// inJune is the record of an open period.
func inJune(more ...Event) []Event {
	return append([]Event{PeriodOpened{"main", june, "EUR", may}}, more...)
}

func item(account string, side book.Side, amount domain.Money) LineItem {
	return LineItem{Account: account, Side: side, Amount: amount}
}

// sale is an entry of 119 euros.
func sale(change func(*PostEntry)) PostEntry {
	c := PostEntry{
		EntryID: first, Book: theBook(), PostingDate: day("2025-06-15"), Description: "Sale",
		Lines: []LineItem{item("1400", book.Debit, eur("119")), item("8400", book.Credit, eur("119.0"))},
	}
	change(&c)
	return c
}

func asIs(*PostEntry) {}

func line(no int, account string, side book.Side, amount string) Line {
	return Line{LineNo: no, Account: account, Side: side, Amount: eur(amount), FunctionalAmount: eur(amount)}
}

func sold(id uuid.UUID, number int) EntryPosted {
	return EntryPosted{
		EntryID: id, EntryNo: number, DocumentDate: day("2025-06-15"), PostingDate: day("2025-06-15"), Description: "Sale",
		Lines:        []Line{line(1, "1400", book.Debit, "119.00"), line(2, "8400", book.Credit, "119.00")},
		BookRevision: 7,
	}
}

func soldFor(id uuid.UUID, number int, source Source) EntryPosted {
	e := sold(id, number)
	e.Source = source
	return e
}

func unsold(id uuid.UUID, number int, reverses uuid.UUID, on string) EntryReversed {
	return EntryReversed{
		EntryID: id, EntryNo: number, ReversesEntryID: reverses, PostingDate: day(on), ReasonCode: "wrong-customer",
		Lines: []Line{line(1, "1400", book.Credit, "119.00"), line(2, "8400", book.Debit, "119.00")},
	}
}

func TestOpeningAPeriod(t *testing.T) {
	t.Parallel()
	given(t).When(OpenPeriod{theBook(), june, may}).Then(inJune()...)
	given(t).When(OpenPeriod{Book: theBook(), Period: june}).Then(PeriodOpened{Book: "main", Period: june, FunctionalCurrency: "EUR"})
	given(t, inJune()...).When(OpenPeriod{theBook(), june, may}).Then()
}

func TestPosting(t *testing.T) {
	t.Parallel()
	given(t, inJune()...).When(sale(asIs)).Then(sold(first, 1))
	given(t, inJune(sold(first, 1))...).When(sale(func(c *PostEntry) { c.EntryID = other })).Then(sold(other, 2))
}

func TestALateDocumentIsPostedInTheOpenPeriod(t *testing.T) {
	t.Parallel()
	late := sold(first, 1)
	late.DocumentDate = day("2025-05-30")
	given(t, inJune()...).When(sale(func(c *PostEntry) { c.DocumentDate = day("2025-05-30") })).Then(late)
}

func TestEntriesHaveTheScaleOfTheBook(t *testing.T) {
	t.Parallel()
	c := sale(func(c *PostEntry) {
		c.Book.Scale = 4
		c.Lines = []LineItem{item("1400", book.Debit, eur("0.5")), item("8400", book.Credit, eur("0.50000"))}
	})
	want := sold(first, 1)
	want.Lines = []Line{line(1, "1400", book.Debit, "0.5000"), line(2, "8400", book.Credit, "0.5000")}
	given(t, inJune()...).When(c).Then(want)
}

func TestForeignLinesAndTheLineThatRounds(t *testing.T) {
	t.Parallel()
	rate := domain.MustDecimal("0.91234")
	c := sale(func(c *PostEntry) {
		c.Lines = []LineItem{
			{Account: "1400", Side: book.Debit, Amount: usd("100"), FunctionalAmount: eur("91.23"), FxRate: rate, PartyRef: "customer-7"},
			{Account: "8400", Side: book.Credit, Amount: usd("60"), FunctionalAmount: eur("54.74"), FxRate: rate, TaxCode: "S19", ItemRef: "chair"},
			{Account: "8400", Side: book.Credit, Amount: usd("40"), FunctionalAmount: eur("36.50"), FxRate: rate, CostCenter: "north"},
			{Account: "8400", Side: book.Debit, Amount: usd("0"), FunctionalAmount: eur("0.01")},
		}
	})
	want := sold(first, 1)
	want.Lines = []Line{
		{LineNo: 1, Account: "1400", Side: book.Debit, Amount: usd("100.00"), FunctionalAmount: eur("91.23"), FxRate: rate, PartyRef: "customer-7"},
		{LineNo: 2, Account: "8400", Side: book.Credit, Amount: usd("60.00"), FunctionalAmount: eur("54.74"), FxRate: rate, TaxCode: "S19", ItemRef: "chair"},
		{LineNo: 3, Account: "8400", Side: book.Credit, Amount: usd("40.00"), FunctionalAmount: eur("36.50"), FxRate: rate, CostCenter: "north"},
		{LineNo: 4, Account: "8400", Side: book.Debit, Amount: usd("0.00"), FunctionalAmount: eur("0.01")},
	}
	given(t, inJune()...).When(c).Then(want)
}

func TestASourceIsPostedOnce(t *testing.T) {
	t.Parallel()
	source := Source{"order-7", event, "SO7"}
	again := sale(func(c *PostEntry) {
		c.EntryID, c.Source, c.DocumentNo = other, SourceEvent{"order-7", event}, "SO7"
	})
	given(t, inJune()...).When(again).Then(soldFor(other, 1, source))
	posted := inJune(soldFor(first, 1, source))
	given(t, posted...).When(again).ThenRefused("source-posted", "/source/event_id")
	given(t, append(posted, unsold(id(3), 2, first, "2025-06-16"))...).When(again).Then(soldFor(other, 3, source))

	another := again
	another.Source.EventID = id(9)
	given(t, posted...).When(another).Then(soldFor(other, 2, Source{"order-7", id(9), "SO7"}))
}

func TestReversing(t *testing.T) {
	t.Parallel()
	c := ReverseEntry{EntryID: other, Original: sold(first, 1), ReasonCode: "wrong-customer"}
	given(t, inJune(sold(first, 1))...).When(c).Then(unsold(other, 2, first, "2025-06-15"))
	c.PostingDate = day("2025-06-30")
	given(t, inJune(sold(first, 1))...).When(c).Then(unsold(other, 2, first, "2025-06-30"))
}

func TestReversingAnEntryOfAnotherPeriod(t *testing.T) {
	t.Parallel()
	july := PeriodOpened{"main", period("2025-07"), "EUR", june}
	c := ReverseEntry{EntryID: other, Original: sold(first, 1), PostingDate: day("2025-07-01"), ReasonCode: "wrong-customer"}
	require.Equal(t, period("2025-07"), c.Period())
	given(t, july).When(c).Then(unsold(other, 1, first, "2025-07-01"))
	given(t, july, unsold(other, 1, first, "2025-07-01")).When(ReverseEntry{
		EntryID: id(3), Original: sold(first, 1), PostingDate: day("2025-07-02"), ReasonCode: "wrong-customer",
	}).ThenRefused("already-reversed", "")
}

func TestAReversalBelongsToItsPostingDate(t *testing.T) {
	t.Parallel()
	require.Equal(t, june, ReverseEntry{Original: sold(first, 1)}.Period())
	require.Equal(t, domain.Period{}, ReverseEntry{}.Period())
}

func TestABlockedAccountCanBeClearedByReversal(t *testing.T) {
	t.Parallel()
	entry := sold(first, 1)
	entry.Lines[0].Account = "1900"
	want := unsold(other, 2, first, "2025-06-15")
	want.Lines[0].Account = "1900"
	given(t, inJune(entry)...).When(ReverseEntry{EntryID: other, Original: entry, ReasonCode: "wrong-customer"}).Then(want)
}

func TestReversalsClaimTheirEntry(t *testing.T) {
	t.Parallel()
	require.Equal(t, []domain.Claim{{Set: "reversal", Value: first.String()}}, Claims(State{}, unsold(other, 2, first, "2025-06-15")))
	require.Empty(t, Claims(State{}, sold(first, 1)))
}

func TestClosing(t *testing.T) {
	t.Parallel()
	given(t, inJune()...).When(SoftClose{}).Then(PeriodSoftClosed{})
	given(t, inJune(PeriodSoftClosed{})...).When(SoftClose{}).Then()
	totals := []Total{
		{"1400", domain.MustDecimal("238.00"), domain.MustDecimal("119.00")},
		{"8400", domain.MustDecimal("119.00"), domain.MustDecimal("238.00")},
	}
	entries := inJune(sold(first, 1), sold(other, 2), unsold(id(3), 3, first, "2025-06-20"))
	closed := PeriodClosed{Digest("main", june, "EUR", totals), totals}
	given(t, entries...).When(ClosePeriod{}).Then(closed)
	given(t, append(entries, PeriodSoftClosed{})...).When(ClosePeriod{}).Then(closed)
	given(t, append(entries, closed)...).When(ClosePeriod{}).Then()
	given(t, inJune()...).When(ClosePeriod{}).Then(PeriodClosed{Digest("main", june, "EUR", nil), []Total{}})
}

// TestDigestIsThatOfThePrintedTotals compares with
// printf 'main 2025-06 EUR\n1400 238.00 119.00\n8400 119.00 238.00\n' | sha256sum
func TestDigestIsThatOfThePrintedTotals(t *testing.T) {
	t.Parallel()
	totals := given(t, inJune(sold(first, 1), sold(other, 2), unsold(id(3), 3, first, "2025-06-20"))...).State().Totals()
	require.Equal(t, "2699b12aa9664c11fca3cf34b1465f4f24ed188afd8dcb19c9c65e497f7ef879", Digest("main", june, "EUR", totals))
}

func TestReopening(t *testing.T) {
	t.Parallel()
	reopened := PeriodReopened{vote, "late invoice"}
	for _, closed := range []Event{PeriodClosed{}, PeriodSoftClosed{}} {
		given(t, inJune(closed)...).When(ReopenPeriod{vote, "late invoice"}).Then(reopened)
		given(t, inJune(closed, reopened)...).When(sale(asIs)).Then(sold(first, 1))
	}
}

func TestEntriesAreFoundByRevision(t *testing.T) {
	t.Parallel()
	state := given(t, inJune(sold(first, 1), unsold(other, 2, first, "2025-06-20"))...).State()
	for entry, want := range map[uuid.UUID]uint64{first: 1, other: 2} {
		revision, exists := state.EntryRevision(entry)
		require.True(t, exists)
		require.Equal(t, want, revision)
	}
	_, exists := state.EntryRevision(id(9))
	require.False(t, exists)
	_, exists = State{}.EntryRevision(first)
	require.False(t, exists)
}

func TestStreamNames(t *testing.T) {
	t.Parallel()
	require.Equal(t, "journal-main_202506", Stream("main", june))
}

func TestWithoutContextNothingIsDecided(t *testing.T) {
	t.Parallel()
	for _, c := range []Command{
		sale(func(c *PostEntry) { c.EntryID = uuid.Nil }),
		sale(func(c *PostEntry) { c.Book = book.State{} }),
		ReverseEntry{Original: sold(first, 1), ReasonCode: "wrong-customer"},
	} {
		_, err := Decider.Decide(given(t, inJune(sold(first, 1))...).State(), c)
		require.ErrorContains(t, err, "without the ID or the book")
	}
}

func TestStoredShapes(t *testing.T) {
	t.Parallel()
	foreign := sold(other, 2)
	foreign.Source = Source{"order-7", event, "SO7"}
	foreign.Lines = []Line{
		{LineNo: 1, Account: "1400", Side: book.Debit, Amount: usd("100.00"), FunctionalAmount: eur("91.23"), FxRate: domain.MustDecimal("0.9123"), CostCenter: "north", PartyRef: "customer-7", TaxCode: "S19", ItemRef: "chair & table"},
		{LineNo: 2, Account: "8400", Side: book.Credit, Amount: usd("100.00"), FunctionalAmount: eur("91.23")},
	}
	domaintest.Stored[Event](t, Catalog,
		PeriodOpened{"main", june, "EUR", may},
		PeriodOpened{Book: "main", Period: may, FunctionalCurrency: "EUR"},
		sold(first, 1),
		soldFor(id(4), 2, Source{DocumentNo: "PO7"}),
		foreign,
		unsold(id(3), 3, first, "2025-06-20"),
		PeriodSoftClosed{},
		PeriodClosed{Digest("main", june, "EUR", nil), []Total{}},
		PeriodReopened{vote, "late invoice"},
		PeriodClosed{Digest("main", june, "EUR", nil), []Total{{"1400", domain.MustDecimal("119.00"), domain.MustDecimal("0.00")}}},
	)
	domaintest.EveryEventIsListed(t, Catalog)
	domaintest.WireForm[Command](t, OpenPeriod{}, PostEntry{}, ReverseEntry{}, SoftClose{}, ClosePeriod{}, ReopenPeriod{})
	domaintest.WireForm[any](t, LineItem{}, SourceEvent{})
}

// TestTotalsOfTheLargestAmountsAreStored would fail if a sum outgrew a Decimal:
// then a period could be closed but never read again.
func TestTotalsOfTheLargestAmountsAreStored(t *testing.T) {
	t.Parallel()
	state := given(t, inJune()...).State()
	largest := sale(func(c *PostEntry) {
		c.Lines = nil
		for range 100 {
			c.Lines = append(c.Lines, item("1400", book.Debit, eur("999999999999999999.99")), item("8400", book.Credit, eur("999999999999999999.99")))
		}
	})
	events, err := Decider.Decide(state, largest)
	require.NoError(t, err)
	state = Decider.Fold(state, domain.Recorded[Event]{Event: events[0]})
	closing, err := Decider.Decide(state, ClosePeriod{})
	require.NoError(t, err)
	data, err := domain.Encode(closing[0])
	require.NoError(t, err)
	back, err := Catalog.Decode(closing[0].EventType(), 1, data)
	require.NoError(t, err)
	require.Equal(t, closing[0], back)
}
