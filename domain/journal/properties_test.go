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

func drawCommand(t *rapid.T, facts []domain.Recorded[Event]) Command {
	switch rapid.IntRange(0, 12).Draw(t, "command") {
	case 0, 1:
		return OpenPeriod{Book: theBook(), Period: june}
	case 2:
		return SoftClose{}
	case 3:
		return ClosePeriod{}
	case 4:
		return ReopenPeriod{vote, rapid.SampledFrom([]string{"", "late invoice"}).Draw(t, "reason")}
	case 5, 6:
		return drawReversal(t, facts)
	}
	return drawEntry(t, facts)
}

func drawDay(t *rapid.T) domain.Date {
	return day("2025-05-31").AddDays(rapid.IntRange(0, 31).Draw(t, "day"))
}

func drawEntry(t *rapid.T, facts []domain.Recorded[Event]) Command {
	c := PostEntry{
		EntryID: entryID(facts), Book: theBook(), PostingDate: drawDay(t), Description: "drawn",
		DocumentNo: rapid.SampledFrom([]string{"", "", "SO1", "SO2"}).Draw(t, "document"),
	}
	for range rapid.IntRange(1, 4).Draw(t, "pairs") {
		amount := fmt.Sprintf("%d.%02d", rapid.IntRange(0, 99).Draw(t, "amount"), rapid.IntRange(0, 99).Draw(t, "cents"))
		debit, credit := drawLine(t, book.Debit, amount), drawLine(t, book.Credit, amount)
		c.Lines = append(c.Lines, debit, credit)
	}
	return c
}

// drawLine is mostly in euros: a line in dollars balances by luck alone.
func drawLine(t *rapid.T, side book.Side, amount string) LineItem {
	account := rapid.SampledFrom([]string{"1200", "1400", "1400", "8400", "8400", "1900"}).Draw(t, "account")
	line := item(account, side, eur(amount))
	if rapid.IntRange(0, 9).Draw(t, "foreign") == 0 {
		line.Amount, line.FunctionalAmount = usd(amount), eur(amount)
	}
	return line
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
