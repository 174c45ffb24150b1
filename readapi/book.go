package readapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"daybook.example/commands/edge"
	"daybook.example/domain"
)

const bookPath = "/v1/books/{book}"

func (s *server) bookRoutes() {
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/books", Tag: "books", Action: edge.ReadBooks,
		Summary: "List the books",
	}, s.books)
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: bookPath, Tag: "books", Action: edge.ReadBooks,
		Summary: "Read a book",
	}, s.book)
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: bookPath + "/accounts", Tag: "books", Action: edge.ReadBooks,
		Summary: "List the accounts of a book",
	}, s.accounts)
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: bookPath + "/periods", Tag: "books", Action: edge.ReadBooks,
		Summary:     "List the periods of a book with their state",
		Description: "An open period takes entries; a soft-closed one is being examined; a closed one shows the hash of its totals, which its entries must add up to.",
	}, s.periods)
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: bookPath + "/periods/{period}", Tag: "books", Action: edge.ReadBooks,
		Summary: "Read a period of a book",
	}, s.period)
}

// BookPath names a book.
type BookPath struct {
	Book string `path:"book" maxLength:"32"`
}

// A Book is what never changes of a book. Its accounts and periods do.
type Book struct {
	Book               string    `json:"book"`
	FunctionalCurrency string    `json:"functional_currency"`
	Scale              int       `json:"scale" doc:"Decimal places of every amount in the book."`
	RecordedAt         time.Time `json:"recorded_at" doc:"When the book was opened."`

	revision int64
}

// A BookRecord is one book as known.
type BookRecord struct {
	AsOf
	Book
	Revision *int64 `json:"revision,omitempty" doc:"Of the book's stream; only of what is known now."`
}

const booksSQL = `select book, functional_currency, scale, recorded_at, revision from api.books_at($1) `

func scanBook(row pgx.CollectableRow) (b Book, err error) {
	err = row.Scan(&b.Book, &b.FunctionalCurrency, &b.Scale, &b.RecordedAt, &b.revision)
	return b, err
}

// Books is what a list of books is asked by.
type Books struct {
	KnownParams
	PageParams
}

func (s *server) books(ctx context.Context, in *Books) (*answer[Page[Book]], error) {
	after, err := in.cursor("books")
	if err != nil {
		return nil, err
	}
	return asKnown(ctx, s, journalLine, in.KnownParams, func(ctx context.Context, tx *reading, at AsOf) (Page[Book], error) {
		rows, err := tx.Query(ctx, booksSQL+`where book > $2 order by book limit $3`, at.Known, after.Key, in.Limit+1)
		if err != nil {
			return Page[Book]{}, err
		}
		books, err := pgx.CollectRows(rows, scanBook)
		return pageOf(at, in.PageParams, "books", books, func(b Book) cursor { return cursor{Key: b.Book} }), err
	})
}

// bookAt is a book as known, or that it is unknown.
func bookAt(ctx context.Context, tx pgx.Tx, known int64, name string) (Book, error) {
	rows, err := tx.Query(ctx, booksSQL+`where book = $2`, known, name)
	if err != nil {
		return Book{}, err
	}
	book, err := pgx.CollectExactlyOneRow(rows, scanBook)
	if errors.Is(err, pgx.ErrNoRows) {
		err = &domain.Error{Kind: domain.NotFound, Code: "book-unknown", Message: "no such book was known at that time; the list of books says which there are"}
	}
	return book, err
}

// OneBook is what one book is asked by.
type OneBook struct {
	BookPath
	KnownParams
}

func (s *server) book(ctx context.Context, in *OneBook) (*answer[BookRecord], error) {
	record, err := asKnown(ctx, s, journalLine, in.KnownParams, func(ctx context.Context, tx *reading, at AsOf) (BookRecord, error) {
		book, err := bookAt(ctx, tx, at.Known, in.Book)
		record := BookRecord{AsOf: at, Book: book}
		if at.Current {
			record.Revision = &book.revision
		}
		return record, err
	})
	if err != nil {
		return nil, err
	}
	return record.tagged(record.Body.AsOf, record.Body.Book.revision), nil
}

// BookParts is what the accounts or the periods of a book are asked by.
type BookParts struct {
	BookPath
	KnownParams
	PageParams
}

// An Account is a line of a book's chart of accounts.
type Account struct {
	Account    string  `json:"account"`
	Name       string  `json:"name"`
	Class      string  `json:"class" enum:"asset,liability,equity,income,expense"`
	NormalSide string  `json:"normal_side" enum:"D,C"`
	Currency   *string `json:"currency,omitempty" doc:"Of every line; absent where any will do."`
	Blocked    bool    `json:"blocked" doc:"Takes no new entries."`
}

func (s *server) accounts(ctx context.Context, in *BookParts) (*answer[Page[Account]], error) {
	return partsOf(ctx, s, in, "accounts", `select account, name, class, normal_side, currency, blocked from api.accounts_at($1, $2)
		where account > $3 order by account limit $4`, func(a Account) cursor { return cursor{Key: a.Account} })
}

// A Period is an accounting month of a book.
type Period struct {
	Period           string    `json:"period" doc:"YYYY-MM"`
	State            string    `json:"state" enum:"open,soft-closed,closed"`
	Since            time.Time `json:"since" doc:"When it came into this state."`
	OpeningFrom      *string   `json:"opening_from,omitempty" doc:"The period whose balances it continues."`
	ClosedBy         *string   `json:"closed_by,omitempty"`
	TrialBalanceHash *string   `json:"trial_balance_hash,omitempty" doc:"Hex SHA-256 of the totals at the close."`
	ApprovalID       *string   `json:"approval_id,omitempty" doc:"By which it was reopened."`
	Reason           *string   `json:"reason,omitempty" doc:"Why it was reopened."`
	Entries          int64     `json:"entries"`
	LateEntries      int64     `json:"late_entries" doc:"Whose document is of a month that was closed when they were posted."`
	Revision         int64     `json:"revision" doc:"Of the period's stream, as known."`
}

const periodsSQL = `select period, state, since, opening_from, closed_by, trial_balance_hash, approval_id::text, reason, entries, late_entries, revision
	from api.periods_at($1, $2) `

func (s *server) periods(ctx context.Context, in *BookParts) (*answer[Page[Period]], error) {
	return partsOf(ctx, s, in, "periods", periodsSQL+`where period > $3 order by period limit $4`,
		func(p Period) cursor { return cursor{Key: p.Period} })
}

// partsOf answers with a page of what a book consists of. The query takes the
// book, the position, the key of the last page, and a limit.
func partsOf[T any](ctx context.Context, s *server, in *BookParts, list, sql string, key func(T) cursor) (*answer[Page[T]], error) {
	list += " of " + in.Book
	after, err := in.cursor(list)
	if err != nil {
		return nil, err
	}
	return asKnown(ctx, s, journalLine, in.KnownParams, func(ctx context.Context, tx *reading, at AsOf) (Page[T], error) {
		if _, err := bookAt(ctx, tx, at.Known, in.Book); err != nil {
			return Page[T]{}, err
		}
		rows, err := tx.Query(ctx, sql, in.Book, at.Known, after.Key, in.Limit+1)
		if err != nil {
			return Page[T]{}, err
		}
		parts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
		return pageOf(at, in.PageParams, list, parts, key), err
	})
}

// PeriodPath names a period of a book.
type PeriodPath struct {
	BookPath
	Period string `path:"period" maxLength:"7" doc:"YYYY-MM"`
}

// OnePeriod is what one period is asked by.
type OnePeriod struct {
	PeriodPath
	KnownParams
}

// A PeriodRecord is one period as known.
type PeriodRecord struct {
	AsOf
	Period
}

func (s *server) period(ctx context.Context, in *OnePeriod) (*answer[PeriodRecord], error) {
	record, err := asKnown(ctx, s, journalLine, in.KnownParams, func(ctx context.Context, tx *reading, at AsOf) (PeriodRecord, error) {
		period, err := periodAt(ctx, tx, at.Known, in.PeriodPath)
		return PeriodRecord{at, period}, err
	})
	if err != nil {
		return nil, err
	}
	return record.tagged(record.Body.AsOf, record.Body.Revision), nil
}

// periodAt is a period as known, or that it, or its book, is unknown.
func periodAt(ctx context.Context, tx pgx.Tx, known int64, at PeriodPath) (Period, error) {
	if _, err := bookAt(ctx, tx, known, at.Book); err != nil {
		return Period{}, err
	}
	rows, err := tx.Query(ctx, periodsSQL+`where period = $3`, at.Book, known, at.Period)
	if err != nil {
		return Period{}, err
	}
	period, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Period])
	if errors.Is(err, pgx.ErrNoRows) {
		err = &domain.Error{Kind: domain.NotFound, Code: "period-unknown", Message: "no such period of the book was known at that time; the book's periods say which there are"}
	}
	return period, err
}
