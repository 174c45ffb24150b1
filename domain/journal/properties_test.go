package journal_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/domaintest"
	. "daybook.example/domain/journal"
)

// TestProperties also shows, for any list of commands: entry numbers have no
// gap, debits equal credits, nothing follows a close but reopening, and no entry
// is reversed twice.
func TestProperties(t *testing.T) {
	t.Parallel()
	domaintest.Properties(t, domaintest.Model[Command, State, Event]{
		Decider: Decider, Catalog: Catalog, Draw: drawCommand,
		Always: func(t *rapid.T, s State, facts []domain.Recorded[Event]) {
			var debit, credit domain.Decimal
			for _, total := range s.Totals() {
				debit, credit = debit.Add(total.Debit), credit.Add(total.Credit)
			}
			require.Zero(t, debit.Compare(credit), "debits equal credits")
			orderly(t, facts)
		},
	})
}

func orderly(t *rapid.T, facts []domain.Recorded[Event]) {
	number, closed, reversed := 0, false, map[any]bool{}
	for _, fact := range facts {
		switch e := fact.Event.(type) {
		case EntryPosted:
			number++
			require.Equal(t, number, e.EntryNo)
			require.False(t, closed)
			require.True(t, june.Contains(e.PostingDate))
		case EntryReversed:
			number++
			require.Equal(t, number, e.EntryNo)
			require.False(t, closed)
			require.False(t, reversed[e.ReversesEntryID])
			reversed[e.ReversesEntryID] = true
		case PeriodClosed:
			require.False(t, closed)
			closed = true
		case PeriodReopened:
			closed = false
		}
	}
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
		EntryID: id(byte(len(facts) + 1)), Book: theBook(), PostingDate: drawDay(t), Description: "drawn",
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
	c := ReverseEntry{EntryID: id(byte(len(facts) + 1)), PostingDate: drawDay(t), ReasonCode: "drawn"}
	if len(facts) > 0 {
		c.Original = rapid.SampledFrom(facts).Draw(t, "original").Event
	}
	return c
}
