package journal_test

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/domaintest"
	. "daybook.example/domain/journal"
)

// TestProperties also shows, for any list of commands: entry numbers have no
// gap, debits equal credits, totals are the sums of the lines, nothing follows a
// close but reopening, and no entry is reversed twice.
func TestProperties(t *testing.T) {
	t.Parallel()
	domaintest.Properties(t, domaintest.Model[Command, State, Event]{
		Decider: Decider, Catalog: Catalog, Draw: drawCommand,
		Always: func(t *rapid.T, s State, facts []domain.Recorded[Event]) {
			m := model{reversed: map[uuid.UUID]bool{}, cents: map[string]int64{}}
			for _, fact := range facts {
				m.follow(t, fact.Event)
			}
			totals := map[string]int64{}
			for _, total := range s.Totals() {
				totals["D "+total.Account] = cents(t, total.Debit)
				totals["C "+total.Account] = cents(t, total.Credit)
			}
			maps.DeleteFunc(totals, func(_ string, moved int64) bool { return moved == 0 })
			maps.DeleteFunc(m.cents, func(_ string, moved int64) bool { return moved == 0 })
			require.Equal(t, m.cents, totals)
		},
	})
}

// A model counts in whole cents, by side and account.
type model struct {
	number   int
	closed   bool
	reversed map[uuid.UUID]bool
	cents    map[string]int64
}

func (m *model) follow(t *rapid.T, event Event) {
	switch e := event.(type) {
	case EntryPosted:
		m.enter(t, e.EntryNo, e.PostingDate, e.Lines)
	case EntryReversed:
		m.enter(t, e.EntryNo, e.PostingDate, e.Lines)
		require.False(t, m.reversed[e.ReversesEntryID])
		m.reversed[e.ReversesEntryID] = true
	case PeriodClosed:
		require.False(t, m.closed)
		m.closed = true
	case PeriodReopened:
		m.closed = false
	case PeriodSoftClosed:
		require.False(t, m.closed)
	}
}

func (m *model) enter(t *rapid.T, number int, posted domain.Date, lines []Line) {
	m.number++
	require.Equal(t, m.number, number)
	require.False(t, m.closed)
	require.True(t, june.Contains(posted))
	balance := int64(0)
	for _, line := range lines {
		moved := cents(t, line.FunctionalAmount.Amount)
		m.cents[string(line.Side)+" "+line.Account] += moved
		if line.Side == book.Credit {
			moved = -moved
		}
		balance += moved
	}
	require.Zero(t, balance, "debits equal credits")
}

func cents(t *rapid.T, amount domain.Decimal) int64 {
	n, err := strconv.ParseInt(strings.Replace(amount.String(), ".", "", 1), 10, 64)
	require.NoError(t, err)
	require.Equal(t, 2, amount.Scale(), "the scale of the book")
	return n
}

// drawCommand mostly draws what can be done, so that lists get somewhere: small
// numbers are drawn more often than large ones.
func drawCommand(t *rapid.T, facts []domain.Recorded[Event]) Command {
	if len(facts) == 0 && !rarely(t, "unopened") {
		return OpenPeriod{Book: theBook(), Period: june}
	}
	switch n := rapid.IntRange(0, 19).Draw(t, "command"); {
	case n < 8:
		return drawEntry(t, facts)
	case n < 13:
		return drawReversal(t, facts)
	case n < 16:
		return ReopenPeriod{vote, rapid.SampledFrom([]string{"late invoice", "late invoice", ""}).Draw(t, "reason")}
	case n == 16:
		return OpenPeriod{Book: theBook(), Period: june}
	case n == 17:
		return SoftClose{}
	}
	return ClosePeriod{}
}

func rarely(t *rapid.T, what string) bool { return rapid.IntRange(0, 19).Draw(t, what) > 17 }

func drawDay(t *rapid.T) domain.Date {
	if rarely(t, "another month") {
		return day("2025-05-31")
	}
	return june.First().AddDays(rapid.IntRange(0, 29).Draw(t, "day"))
}

func drawEntry(t *rapid.T, facts []domain.Recorded[Event]) Command {
	c := PostEntry{
		EntryID: entryID(facts), Book: theBook(), PostingDate: drawDay(t), Description: "drawn",
		DocumentNo: rapid.SampledFrom([]string{"", "", "", "SO1", "SO2"}).Draw(t, "document"),
	}
	for range rapid.IntRange(1, 4).Draw(t, "pairs") {
		c.Lines = append(c.Lines, drawPair(t)...)
	}
	return c
}

// drawPair is a debit and a credit of one amount, sometimes in dollars, where
// cents may stray to another pair.
func drawPair(t *rapid.T) []LineItem {
	amount := fmt.Sprintf("%d.%02d", rapid.IntRange(0, 99).Draw(t, "amount"), rapid.IntRange(0, 99).Draw(t, "cents"))
	debit, credit := item(drawAccount(t), book.Debit, eur(amount)), item(drawAccount(t), book.Credit, eur(amount))
	if rapid.IntRange(0, 3).Draw(t, "dollars") == 3 {
		debit.Amount, debit.FunctionalAmount = usd("100"), eur(amount)
		credit.Amount, credit.FunctionalAmount = usd("100"), eur(amount)
	}
	if rarely(t, "astray") {
		credit.Amount.Amount = credit.Amount.Amount.Add(domain.MustDecimal("0.01"))
	}
	return []LineItem{debit, credit}
}

func drawAccount(t *rapid.T) string {
	if rarely(t, "no entries") {
		return "1900"
	}
	return rapid.SampledFrom([]string{"1400", "8400"}).Draw(t, "account")
}

func drawReversal(t *rapid.T, facts []domain.Recorded[Event]) Command {
	c := ReverseEntry{EntryID: entryID(facts), PostingDate: drawDay(t), ReasonCode: "drawn"}
	if len(facts) > 0 {
		c.Original = rapid.SampledFrom(facts).Draw(t, "original").Event
	}
	return c
}

func entryID(facts []domain.Recorded[Event]) uuid.UUID {
	n := len(facts) + 1
	return uuid.UUID{6: 0x40, 8: 0x80, 14: byte(n >> 8), 15: byte(n)}
}
