package journal_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/journal"
	"daybook.example/domain/organisation"
	"daybook.example/projections"
	"daybook.example/projections/employee/employeetest"
	model "daybook.example/projections/journal"
	"daybook.example/projections/journal/journaltest"
	"daybook.example/projections/postgres/postgrestest"
	"daybook.example/projections/projtest"
)

// tables are a company's books, projected.
type tables struct {
	*employeetest.Company
	t    testing.TB
	pool *pgxpool.Pool
}

func project(t testing.TB, c *employeetest.Company, size int) tables {
	t.Helper()
	v := tables{c, t, postgrestest.New(t)}
	c.Project(v.pool, model.New(), size)
	require.Empty(t, v.rows(`select * from check_balance()`))
	return v
}

// rows are the answer to a query, its columns as text.
func (v tables) rows(sql string, args ...any) [][]string {
	v.t.Helper()
	conn, err := v.pool.Acquire(v.t.Context())
	require.NoError(v.t, err)
	defer conn.Release()
	_, err = conn.Exec(v.t.Context(), "set search_path to rm_journal_line_v1")
	require.NoError(v.t, err)
	rows, err := conn.Query(v.t.Context(), sql, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...)
	require.NoError(v.t, err)
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]string, error) {
		texts := make([]string, len(row.RawValues()))
		for i, raw := range row.RawValues() {
			texts[i] = string(raw)
		}
		return texts, nil
	})
	require.NoError(v.t, err)
	return found
}

// balance is the trial balance of the book main, `account debit credit` a line.
func (v tables) balance(day string, known int64) []string {
	v.t.Helper()
	var lines []string
	for _, row := range v.rows(`select account, debit, credit from api.trial_balance('main', $1::date, $2) order by account`, day, known) {
		lines = append(lines, strings.Join(row, " "))
	}
	shown := v.rows(`select account, debit, credit from read.trial_balance('main', $1::date, $2) order by account`, day, known)
	require.Len(v.t, shown, len(lines), "dashboards see the same")
	return lines
}

// busyBooks are books in which everything happens that the projection knows.
func busyBooks(t testing.TB) *employeetest.Company {
	c := employeetest.Found(t)
	c.Record(organisation.Stream, organisation.OrganisationNamed{Name: "Harbour", Zone: "Europe/Berlin", Country: "DE"})
	b := journaltest.Open(t, c, "main", 2, "2025-01", "2025-02", "2025-03")
	first := b.Sell("R1", "2025-01-10", "2025-01-10", "100")
	b.Post(journal.PostEntry{PostingDate: domain.MustDate("2025-01-11"), Description: "Abroad", Source: journal.SourceEvent{Stream: "order-1", EventID: domain.Derive("order")}, Lines: []journal.LineItem{
		{Account: "1000", Side: book.Debit, Amount: domain.NewMoney("11.5", "USD"), FunctionalAmount: domain.NewMoney("10", "EUR"), FxRate: domain.MustDecimal("0.8696"), CostCenter: "7", PartyRef: "C-1", TaxCode: "A", ItemRef: "I"},
		{Account: "4000", Side: book.Credit, Amount: domain.NewMoney("11.5", "USD"), FunctionalAmount: domain.NewMoney("10", "EUR")},
	}})
	c.On("2025-02-03")
	b.Tell(book.RenameAccount{Code: "4000", Name: "Revenue from contracts"})
	b.In("2025-01", journal.SoftClose{})
	b.In("2025-01", journal.ClosePeriod{})
	b.Sell("R2", "2025-01-31", "2025-02-03", "40")
	b.Reverse(first, "2025-02-04")
	c.On("2025-03-01")
	b.In("2025-01", journal.ReopenPeriod{ApprovalID: domain.Derive("approval"), Reason: "late invoice"})
	b.Sell("R3", "2025-01-31", "2025-01-31", "7.25")
	b.In("2025-01", journal.ClosePeriod{})
	b.Tell(book.BlockAccount{Code: "1000"})
	c.Record(organisation.Stream, organisation.OrganisationNamed{Name: "Harbour", Zone: "Pacific/Auckland", Country: "NZ"})
	other := journaltest.Open(t, c, "other", 4, "2025-03")
	other.Sell("R1", "2025-03-01", "2025-03-01", "0.0001")
	return c
}

func TestProjectionKeepsWhatTheRuntimePromises(t *testing.T) {
	t.Parallel()
	projtest.Conformance(t, model.New(), busyBooks(t).Events)
}

func TestGivenAReversalWhenTheBalanceIsAskedForThenItCountsFromItsDayAndItsRecording(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	b := journaltest.Open(t, c, "main", 2, "2025-01", "2025-02")
	entry := b.Sell("R1", "2025-01-10", "2025-01-10", "100")
	c.On("2025-02-20")
	reversal := b.Reverse(entry, "2025-02-01")

	v := project(t, c, 512)

	before, after := c.Known("2025-02-19"), c.Known("2025-02-20")
	sold := []string{"1200 100.00 0.00", "4000 0.00 100.00"}
	require.Equal(t, sold, v.balance("2025-02-28", before), "not known yet")
	require.Equal(t, sold, v.balance("2025-01-31", after), "not posted yet")
	require.Equal(t, []string{"1200 100.00 100.00", "4000 100.00 100.00"}, v.balance("9999-12-31", after))
	require.Empty(t, v.balance("2025-01-09", after), "before the entry")
	require.Empty(t, v.balance("2025-12-31", 0), "before the first event")
	require.Equal(t, [][]string{{entry.String(), reversal.String(), fmt.Sprint(after)}},
		v.rows(`select entry_id, reversed_by, reversed_position from api.journal_entry where reversed_by is not null`))
	require.Equal(t, [][]string{{reversal.String(), entry.String(), "typo"}},
		v.rows(`select entry_id, reverses, reason_code from api.journal_entry where reverses is not null`))
}

func TestGivenADocumentOfAClosedMonthWhenItIsPostedInTheNextThenItIsSeenToBeLate(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 512} {
		v := project(t, busyBooks(t), size)
		require.Equal(t, [][]string{{"2025-02", "1", "R2", "2025-01-31", "2025-02-03"}},
			v.rows(`select period, entry_no, document_no, document_date, posting_date from read.journal_entry where late`))
		known := v.Known("2025-02-03")
		require.Equal(t, [][]string{{"2025-02", "2", "1"}}, v.rows(`select period, entries, late_entries from api.periods_at('main', $1) where late_entries > 0`, known))
	}
}

func TestGivenALatePostingWhenTheMonthIsAskedForAsKnownThenItIsThatOfTheTime(t *testing.T) {
	t.Parallel()
	v := project(t, busyBooks(t), 512)

	require.Equal(t, []string{"1000 10.00 0.00", "1200 100.00 0.00", "4000 0.00 110.00"}, v.balance("2025-01-31", v.Known("2025-02-28")))
	require.Equal(t, []string{"1000 10.00 0.00", "1200 107.25 0.00", "4000 0.00 117.25"}, v.balance("2025-01-31", v.Known("2025-03-01")))
}

func TestGivenAPeriodThatWasReopenedWhenItsStateIsAskedForThenItIsThatOfTheTime(t *testing.T) {
	t.Parallel()
	c := busyBooks(t)
	v := project(t, c, 3)
	who := c.Events[0].Meta.Actor.ID
	states := v.rows(`select value ->> 'state', (value ->> 'trial_balance_hash') is not null, coalesce(value ->> 'closed_by', ''), coalesce(value ->> 'reason', '')
		from book_fact where kind = 'period' and book = 'main' and key = '2025-01' order by lower(recorded)`)

	require.Equal(t, [][]string{
		{"open", "f", "", ""},
		{"soft-closed", "f", "", ""},
		{"closed", "t", who, ""},
		{"open", "f", "", "late invoice"},
		{"closed", "t", who, ""},
	}, states)
	for known, state := range map[string]string{"2025-01-02": "open", "2025-02-03": "closed", "2025-03-01": "closed"} {
		for _, schema := range []string{"api.periods_at('main', $1)", "read.period_status($1)"} {
			require.Equal(t, state, v.rows(`select state from `+schema+` where period = '2025-01'`, v.Known(known))[0][0], "%s on %s", schema, known)
		}
	}
	require.Equal(t, [][]string{{"0"}}, v.rows(`select count(*) from api.periods_at('main', 0)`))
}

func TestGivenAClosedPeriodWhenItsLinesAreAddedUpThenTheirDigestIsTheOneThatWasRecorded(t *testing.T) {
	t.Parallel()
	v := project(t, busyBooks(t), 512)
	var totals []journal.Total
	for _, row := range v.rows(`select account, sum(debit), sum(credit) from journal_line where book = 'main' and period = '2025-01' group by account order by account`) {
		totals = append(totals, journal.Total{Account: row[0], Debit: domain.MustDecimal(row[1]), Credit: domain.MustDecimal(row[2])})
	}

	digest := journal.Digest("main", domain.PeriodOf(domain.MustDate("2025-01-01")), "EUR", totals)

	require.Equal(t, [][]string{{digest}}, v.rows(`select trial_balance_hash from read.period_status() where book = 'main' and period = '2025-01'`))
}

func TestGivenNamesThatChangedWhenABookIsReadThenTheyAreThoseKnownThen(t *testing.T) {
	t.Parallel()
	v := project(t, busyBooks(t), 2)
	first, last := v.Known("2025-01-02"), v.Known("2025-03-01")

	require.Equal(t, [][]string{{"main", "EUR", "2"}}, v.rows(`select book, functional_currency, scale from api.books_at($1)`, first))
	require.Equal(t, [][]string{{"main", "5"}, {"other", "3"}}, v.rows(`select book, revision from api.books_at($1) order by book`, last))
	name := `select name, blocked from api.accounts_at('main', $1) where account in ('1000', '4000') order by account`
	require.Equal(t, [][]string{{"Cash", "f"}, {"Revenue", "f"}}, v.rows(name, first))
	require.Equal(t, [][]string{{"Cash", "t"}, {"Revenue from contracts", "f"}}, v.rows(name, last))
	require.Equal(t, [][]string{{"Europe/Berlin", "Pacific/Auckland", "UTC"}},
		v.rows(`select api.journal_zone_at($1), api.journal_zone_at($2), api.journal_zone_at(0)`, first, last))
}

func TestGivenALineInAnotherCurrencyWhenItIsReadThenBothAmountsStandAtTheBooksScale(t *testing.T) {
	t.Parallel()
	v := project(t, busyBooks(t), 512)
	require.Equal(t, [][]string{
		{"1000", "10.00", "0.00", "USD", "11.50", "0.00", "0.8696", "7", "C-1", "A", "I", "order-1"},
		{"4000", "0.00", "10.00", "USD", "0.00", "11.50", "", "", "", "", "", "order-1"},
	}, v.rows(`select account, debit, credit, currency, transaction_debit, transaction_credit, fx_rate, cost_center, party_ref, tax_code, item_ref, source_stream
		from read.journal_line join read.journal_entry using (book, period, entry_no) where currency = 'USD' order by line_no`))
	require.Equal(t, [][]string{{"0.0001", "0.0000"}}, v.rows(`select debit, credit from journal_line where book = 'other' and account = '1200'`))
}

func TestGivenTheEventsWhenRowsAreReadThenEachNamesTheLastThatTouchedIt(t *testing.T) {
	t.Parallel()
	c := busyBooks(t)
	v := project(t, c, 4)
	for _, table := range []string{"book_fact", "journal_entry", "journal_line"} {
		for _, row := range v.rows(`select distinct last_event_id, last_position, last_revision from ` + table) {
			i := slices.IndexFunc(c.Events, func(e projections.Event) bool { return e.ID.String() == row[0] })
			require.Equal(t, row[1:], []string{fmt.Sprint(c.Events[i].Pos()), fmt.Sprint(c.Events[i].Revision)}, table)
		}
	}
	require.Equal(t, [][]string{{"0"}}, v.rows(`select count(*) from book_fact where last_position <> coalesce(upper(recorded), lower(recorded))
		or (superseded_by is null) <> upper_inf(recorded) or (recorded_to is null) <> upper_inf(recorded)`))
	require.Equal(t, [][]string{{"0"}}, v.rows(`select count(*) from journal_entry where last_position <> coalesce(reversed_position, position)`))
}

func TestDebitsAreCreditsOnEveryDayAsKnownAtEveryPosition(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := employeetest.Found(t)
	b := journaltest.Open(t, c, "main", 2, "2025-01", "2025-02")
	var posted []uuid.UUID
	for i := range 80 {
		if len(posted) > 0 && random.IntN(3) == 0 {
			b.Reverse(posted[0], "2025-02-28")
			posted = posted[1:]
			continue
		}
		day := fmt.Sprintf("2025-%02d-%02d", 1+random.IntN(2), 1+random.IntN(28))
		posted = append(posted, b.Sell(fmt.Sprint("R", i), day, day, fmt.Sprintf("%d.%02d", random.IntN(1e9), 1+random.IntN(99))))
	}

	v := project(t, c, 1+random.IntN(len(c.Events)))

	require.Equal(t, [][]string{{"0", "t"}}, v.rows(`select count(*) filter (where b.debit <> b.credit), count(*) > 80
		from (select distinct posting_date as day from journal_line) d cross join (select distinct position as known from journal_entry) k
		cross join lateral (select sum(debit) as debit, sum(credit) as credit from api.trial_balance('main', d.day, k.known)) b`))
	totals, _ := b.Totals("2025-01")
	for i, row := range v.rows(`select account, sum(debit), sum(credit) from journal_line where period = '2025-01' group by account order by account`) {
		require.Equal(t, []string{totals[i].Account, totals[i].Debit.String(), totals[i].Credit.String()}, row, "the domain's own totals")
	}
}

func TestTenThousandEntriesAreProjectedInSeconds(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	b := journaltest.Open(t, c, "main", 4, "2025-01")
	for i := range 10_000 {
		b.Sell(fmt.Sprint("R", i), "2025-01-10", "2025-01-10", "1.0001")
	}
	pool := postgrestest.New(t)

	begin := time.Now()
	c.Project(pool, model.New(), 4096)
	took := time.Since(begin)

	t.Logf("10000 entries in %s", took)
	require.Less(t, took, 20*time.Second)
	v := tables{c, t, pool}
	require.Equal(t, []string{"1200 10001.0000 0.0000", "4000 0.0000 10001.0000"}, v.balance("2025-01-31", c.Known("2025-01-02")))
}

func TestGivenAnyTimeZoneWhenEventsAreProjectedThenTheTablesAreTheSame(t *testing.T) {
	t.Parallel()
	c := busyBooks(t)
	dump := func(v tables) (all [][]string) {
		for _, table := range []string{"book_fact", "journal_entry", "journal_line"} {
			all = append(all, v.rows(`select t::text from `+table+` t order by t::text collate "C"`)...)
		}
		return all
	}
	want := dump(project(t, c, len(c.Events)))
	for _, zone := range []string{"Pacific/Kiritimati", "America/Los_Angeles"} {
		pool := postgrestest.New(t)
		config := pool.Config()
		config.ConnConfig.RuntimeParams["timezone"] = zone
		there, err := pgxpool.NewWithConfig(t.Context(), config)
		require.NoError(t, err)
		defer there.Close()
		c.Project(there, model.New(), 2)
		require.Equal(t, want, dump(tables{c, t, pool}), zone)
	}
}

func TestGivenADashboardWhenItReadsTheStableNamesThenItSeesTheBooksAndNothingElse(t *testing.T) {
	t.Parallel()
	c := busyBooks(t)
	program, report := postgrestest.Pair(t)
	c.Project(program, model.New(), 512)
	for query, rows := range map[string]int{
		`select * from read.journal_line`:                                                                      12,
		`select * from read.journal_entry where late`:                                                          1,
		`select * from read.trial_balance('main', '2025-12-31')`:                                               3,
		`select * from read.account_movement('other')`:                                                         2,
		`select * from read.accounts() where blocked`:                                                          1,
		`select * from read.books(0)`:                                                                          0,
		`select * from read.period_status() where state = 'closed'`:                                            1,
		`select * from read.period_status(read.journal_position_at('2025-01-02 12:00Z')) where state = 'open'`: 3,
	} {
		found, err := report.Query(t.Context(), query)
		require.NoError(t, err, query)
		all, err := pgx.CollectRows(found, func(pgx.CollectableRow) (struct{}, error) { return struct{}{}, nil })
		require.NoError(t, err, query)
		require.Len(t, all, rows, query)
	}
	for _, query := range []string{`select * from rm_journal_line_v1.journal_line`, `select * from api.journal_line`} {
		_, err := report.Exec(t.Context(), query)
		require.ErrorContains(t, err, "permission denied", query)
	}
}
