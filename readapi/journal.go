package readapi

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/commands/edge"
	"daybook.example/domain"
)

// journalLine is the projection that answers for books, periods and entries.
const journalLine = "journal_line"

func (s *server) journalRoutes() {
	s.bookRoutes()
	const entries = bookPath + "/periods/{period}/entries"
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: entries, Tag: "journal", Action: edge.ReadBooks,
		Summary:     "List the entries of a period up to a day",
		Description: "In the order of their numbers. Late are those whose document is of a month that was closed when they were posted.",
	}, s.entries)
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: entries + "/{entry}", Tag: "journal", Action: edge.ReadBooks,
		Summary: "Read an entry of the journal",
	}, s.entry)
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/reports/trial-balance", Tag: "reports", Action: edge.ReadTrialBalance,
		Summary:     "Add up what moved on each account of a book up to a day",
		Description: "Debits and credits of all entries posted up to the day, in the book's functional currency.",
	}, s.trialBalance)
}

// An Entry is one entry of the journal, or the reversal of one.
type Entry struct {
	ID            uuid.UUID   `json:"id"`
	EntryNo       int         `json:"entry_no" doc:"Gapless in the period, from 1."`
	DocumentDate  string      `json:"document_date" format:"date"`
	PostingDate   string      `json:"posting_date" format:"date"`
	DocumentNo    *string     `json:"document_no,omitempty"`
	SourceStream  *string     `json:"source_stream,omitempty"`
	SourceEventID *uuid.UUID  `json:"source_event_id,omitempty" doc:"The event that it was posted for."`
	Description   *string     `json:"description,omitempty"`
	Late          bool        `json:"late" doc:"The month of its document was closed when it was posted."`
	Reverses      *uuid.UUID  `json:"reverses,omitempty" doc:"The entry that this one undoes."`
	ReasonCode    *string     `json:"reason_code,omitempty"`
	ReversedBy    *uuid.UUID  `json:"reversed_by,omitempty" doc:"The entry that undoes this one, if it was known."`
	EventID       uuid.UUID   `json:"event_id"`
	RecordedAt    time.Time   `json:"recorded_at"`
	Lines         []EntryLine `json:"lines"`
}

// An EntryLine is one side of an entry. Amounts are text at the book's scale.
type EntryLine struct {
	LineNo            int     `json:"line_no"`
	Account           string  `json:"account"`
	Name              string  `json:"name" doc:"Of the account, as known."`
	Debit             string  `json:"debit" doc:"In the book's functional currency."`
	Credit            string  `json:"credit"`
	Currency          string  `json:"currency" doc:"Of the transaction."`
	TransactionDebit  string  `json:"transaction_debit" doc:"In the currency of the transaction."`
	TransactionCredit string  `json:"transaction_credit"`
	FxRate            *string `json:"fx_rate,omitempty"`
	CostCenter        *string `json:"cost_center,omitempty"`
	PartyRef          *string `json:"party_ref,omitempty"`
	TaxCode           *string `json:"tax_code,omitempty"`
	ItemRef           *string `json:"item_ref,omitempty"`
}

// entriesSQL takes the book, the period and the position.
const entriesSQL = `
select e.entry_id, e.entry_no, e.document_date::text, e.posting_date::text, e.document_no, e.source_stream, e.source_event_id, e.description,
  e.late, e.reverses, e.reason_code, case when e.reversed_position <= $3 then e.reversed_by end, e.event_id, e.recorded_at,
  (select json_agg(json_build_object('line_no', l.line_no, 'account', l.account, 'name', coalesce(a.name, ''),
      'debit', l.debit::text, 'credit', l.credit::text, 'currency', l.currency,
      'transaction_debit', l.transaction_debit::text, 'transaction_credit', l.transaction_credit::text, 'fx_rate', l.fx_rate::text,
      'cost_center', l.cost_center, 'party_ref', l.party_ref, 'tax_code', l.tax_code, 'item_ref', l.item_ref) order by l.line_no)
    from api.journal_line l left join accounts a on a.account = l.account
    where l.book = e.book and l.period = e.period and l.entry_no = e.entry_no)
from api.journal_entry e
where e.book = $1 and e.period = $2 and e.position <= $3`

// entriesIn reads the entries of a period that a condition lets through; its
// arguments begin with $4.
func entriesIn(ctx context.Context, tx pgx.Tx, known int64, at PeriodPath, condition string, args ...any) ([]Entry, error) {
	sql := "with accounts as materialized (select account, name from api.accounts_at($1, $3))" + entriesSQL + condition
	rows, err := tx.Query(ctx, sql, append([]any{at.Book, at.Period, known}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Entry])
}

// Entries is what a list of entries is asked by.
type Entries struct {
	PeriodPath
	AsOfParams
	PageParams
	Account    string `query:"account" maxLength:"32" doc:"Entries with a line on this account."`
	DocumentNo string `query:"document_no" maxLength:"200" doc:"Exactly this document number."`
	Late       bool   `query:"late" doc:"Only entries whose document is of a month that was closed when they were posted."`
}

func (s *server) entries(ctx context.Context, in *Entries) (*answer[Page[Entry]], error) {
	list := fmt.Sprintf("entries of %s %s", in.Book, in.Period)
	after, err := in.cursor(list)
	if err != nil {
		return nil, err
	}
	last, err := strconv.Atoi(cmp.Or(after.Key, "0"))
	if err != nil {
		return nil, badParameter("cursor", "this is not the next of a page of this list; begin without a cursor")
	}
	return asOf(ctx, s, journalLine, in.AsOfParams, func(ctx context.Context, tx *reading, at AsOf) (Page[Entry], error) {
		if _, err := periodAt(ctx, tx, at.Known, in.PeriodPath); err != nil {
			return Page[Entry]{}, err
		}
		found, err := entriesIn(ctx, tx, at.Known, in.PeriodPath, ` and e.posting_date <= $4::date and e.entry_no > $5
			and ($6 = '' or e.document_no = $6) and (e.late or not $9)
			and ($7 = '' or exists (select from api.journal_line l
				where l.book = e.book and l.period = e.period and l.entry_no = e.entry_no and l.account = $7))
			order by e.entry_no limit $8`, at.ValidAt.String(), last, in.DocumentNo, in.Account, in.Limit+1, in.Late)
		return pageOf(at, in.PageParams, list, found, func(e Entry) cursor { return cursor{Key: strconv.Itoa(e.EntryNo)} }), err
	})
}

// OneEntry is what one entry is asked by.
type OneEntry struct {
	PeriodPath
	Entry uuid.UUID `path:"entry"`
	KnownParams
}

// An EntryRecord is one entry as known.
type EntryRecord struct {
	AsOf
	Entry
}

func (s *server) entry(ctx context.Context, in *OneEntry) (*answer[EntryRecord], error) {
	return asKnown(ctx, s, journalLine, in.KnownParams, func(ctx context.Context, tx *reading, at AsOf) (EntryRecord, error) {
		if _, err := periodAt(ctx, tx, at.Known, in.PeriodPath); err != nil {
			return EntryRecord{}, err
		}
		found, err := entriesIn(ctx, tx, at.Known, in.PeriodPath, ` and e.entry_id = $4`, in.Entry)
		if err == nil && len(found) == 0 {
			err = &domain.Error{Kind: domain.NotFound, Code: "entry-unknown", Message: "no such entry of the period was known at that time"}
		}
		if err != nil {
			return EntryRecord{}, err
		}
		return EntryRecord{at, found[0]}, nil
	})
}

// TrialBalanceParams is what a trial balance is asked by.
type TrialBalanceParams struct {
	AsOfParams
	Book string `query:"book" required:"true" maxLength:"32"`
}

// ever is a position at which all is known. A report on a book that was opened
// later than known is empty; one on a book that never was is refused.
const ever = math.MaxInt64

// A TrialBalance is what moved in a book up to a day.
type TrialBalance struct {
	AsOf
	Book     string          `json:"book"`
	Currency string          `json:"currency" doc:"The book's functional currency."`
	Items    []TrialMovement `json:"items"`
	Totals   TrialTotals     `json:"totals"`
}

// A TrialMovement is what moved on one account.
type TrialMovement struct {
	Account string `json:"account"`
	Name    string `json:"name" doc:"As known."`
	Debit   string `json:"debit"`
	Credit  string `json:"credit"`
}

// TrialTotals are the sums of both sides, which are equal.
type TrialTotals struct {
	Debit  string `json:"debit"`
	Credit string `json:"credit"`
}

func (s *server) trialBalance(ctx context.Context, in *TrialBalanceParams) (*answer[TrialBalance], error) {
	return asOf(ctx, s, journalLine, in.AsOfParams, func(ctx context.Context, tx *reading, at AsOf) (TrialBalance, error) {
		book, err := bookAt(ctx, tx, ever, in.Book)
		report := TrialBalance{AsOf: at, Book: in.Book, Currency: book.FunctionalCurrency}
		if err != nil {
			return report, err
		}
		rows, err := tx.Query(ctx, `select account, name, debit::text, credit::text from api.trial_balance($1, $2::date, $3) order by account`,
			in.Book, at.ValidAt.String(), at.Known)
		if err != nil {
			return report, err
		}
		if report.Items, err = pgx.CollectRows(rows, pgx.RowToStructByPos[TrialMovement]); err != nil {
			return report, err
		}
		report.Totals, err = totals(report.Items, book.Scale)
		return report, err
	})
}

// totals adds up both sides at the book's scale.
func totals(items []TrialMovement, scale int) (TrialTotals, error) {
	var debit, credit domain.Decimal
	for _, item := range items {
		d, err := domain.ParseDecimal(item.Debit)
		if err != nil {
			return TrialTotals{}, err
		}
		c, err := domain.ParseDecimal(item.Credit)
		if err != nil {
			return TrialTotals{}, err
		}
		debit, credit = debit.Add(d), credit.Add(c)
	}
	debit, err := debit.At(scale)
	if err != nil {
		return TrialTotals{}, err
	}
	credit, err = credit.At(scale)
	return TrialTotals{debit.String(), credit.String()}, err
}
