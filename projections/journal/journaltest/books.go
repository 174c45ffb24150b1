// Package journaltest keeps the books of a small company, as they would be
// recorded, for the tests of whatever reads them.
package journaltest

import (
	"strconv"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/journal"
	"daybook.example/projections/employee/employeetest"
)

// A Book writes the events of one book, decided by the domain, into a company's log.
type Book struct {
	*employeetest.Company
	t       testing.TB
	name    string
	state   book.State
	periods map[domain.Period]journal.State
	entries map[uuid.UUID]journal.Event
}

// Open opens a book in euros, with the accounts cash, receivables and revenue,
// and a period for each month given.
func Open(t testing.TB, c *employeetest.Company, name string, scale int, months ...string) *Book {
	t.Helper()
	b := &Book{c, t, name, book.State{}, map[domain.Period]journal.State{}, map[uuid.UUID]journal.Event{}}
	b.Tell(book.Open{Book: name, FunctionalCurrency: "EUR", Scale: &scale})
	b.Tell(book.OpenAccount{Code: "1000", Name: "Cash", Class: book.Asset})
	b.Tell(book.OpenAccount{Code: "1200", Name: "Receivables", Class: book.Asset})
	b.Tell(book.OpenAccount{Code: "4000", Name: "Revenue", Class: book.Income})
	for _, month := range months {
		b.In(month, journal.OpenPeriod{Book: b.state, Period: period(month)})
	}
	return b
}

func period(month string) domain.Period {
	p, err := domain.ParsePeriod(month)
	if err != nil {
		panic(err)
	}
	return p
}

// Tell sends the book a command.
func (b *Book) Tell(command book.Command) {
	b.t.Helper()
	decided, err := book.Decider.Decide(b.state, command)
	require.NoError(b.t, err)
	for _, event := range decided {
		b.Record(book.Stream(b.name), event)
		recording := domain.Recording{Revision: uint64(len(b.state.Accounts))} // any; the projection does not look
		b.state = book.Decider.Evolve(b.state, domain.Recorded[book.Event]{Recording: recording, Event: event})
	}
}

// In sends a period a command.
func (b *Book) In(month string, command journal.Command) {
	b.t.Helper()
	at := period(month)
	decided, err := journal.Decider.Decide(b.periods[at], command)
	require.NoError(b.t, err)
	require.NotEmpty(b.t, decided)
	for _, event := range decided {
		b.Record(journal.Stream(b.name, at), event)
		b.periods[at] = journal.Decider.Evolve(b.periods[at], domain.Recorded[journal.Event]{Event: event})
		b.keep(event)
	}
}

func (b *Book) keep(event journal.Event) {
	switch e := event.(type) {
	case journal.EntryPosted:
		b.entries[e.EntryID] = e
	case journal.EntryReversed:
		b.entries[e.EntryID] = e
	}
}

// Sell posts revenue against receivables, by a document of a day.
func (b *Book) Sell(documentNo, document, posting, amount string) uuid.UUID {
	b.t.Helper()
	return b.Post(journal.PostEntry{
		DocumentDate: domain.MustDate(document), PostingDate: domain.MustDate(posting), DocumentNo: documentNo, Description: "Sale",
		Lines: []journal.LineItem{
			{Account: "1200", Side: book.Debit, Amount: domain.NewMoney(amount, "EUR")},
			{Account: "4000", Side: book.Credit, Amount: domain.NewMoney(amount, "EUR")},
		},
	})
}

// Post posts an entry in the period of its posting date.
func (b *Book) Post(entry journal.PostEntry) uuid.UUID {
	b.t.Helper()
	entry.EntryID, entry.Book = b.next(), b.state
	b.In(domain.PeriodOf(entry.PostingDate).String(), entry)
	return entry.EntryID
}

// Reverse reverses an entry on a day.
func (b *Book) Reverse(entry uuid.UUID, day string) uuid.UUID {
	b.t.Helper()
	id := b.next()
	b.In(day[:len("2006-01")], journal.ReverseEntry{EntryID: id, Original: b.entries[entry], PostingDate: domain.MustDate(day), ReasonCode: "typo"})
	return id
}

func (b *Book) next() uuid.UUID { return domain.Derive("entry", b.name, strconv.Itoa(len(b.entries))) }

// Totals are what a period's close would state now, and its hash.
func (b *Book) Totals(month string) ([]journal.Total, string) {
	totals := b.periods[period(month)].Totals()
	return totals, journal.Digest(b.name, period(month), b.state.FunctionalCurrency, totals)
}
