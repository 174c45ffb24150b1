package readapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/domain/book"
	"daybook.example/domain/journal"
	"daybook.example/domain/organisation"
	"daybook.example/projections/employee/employeetest"
	"daybook.example/projections/journal/journaltest"
)

// books is a company that closed January before its last invoice came.
func books(t testing.TB) (c *employeetest.Company, first, reversal uuid.UUID) {
	c = employeetest.Found(t)
	c.Record(organisation.Stream, organisation.OrganisationNamed{Name: "Harbour", Zone: "Pacific/Auckland", Country: "NZ"})
	b := journaltest.Open(t, c, "main", 2, "2025-01", "2025-02")
	first = b.Sell("R1", "2025-01-10", "2025-01-10", "100")
	b.Post(journal.PostEntry{PostingDate: domain.MustDate("2025-01-11"), Description: "Abroad", Lines: []journal.LineItem{
		{Account: "1000", Side: book.Debit, Amount: domain.NewMoney("11.5", "USD"), FunctionalAmount: domain.NewMoney("10", "EUR"), CostCenter: "7"},
		{Account: "4000", Side: book.Credit, Amount: domain.NewMoney("11.5", "USD"), FunctionalAmount: domain.NewMoney("10", "EUR")},
	}})
	c.On("2025-02-03")
	b.In("2025-01", journal.ClosePeriod{})
	b.Sell("R2", "2025-01-31", "2025-02-03", "40")
	c.On("2025-02-10")
	reversal = b.Reverse(first, "2025-02-10")
	b.Tell(book.RenameAccount{Code: "4000", Name: "Revenue from contracts"})
	return c, first, reversal
}

// sums are the lines of a trial balance, `account name debit credit`.
func (r reply) sums() (lines []string) {
	for i := range r.at("items").([]any) {
		item := func(name string) any { return r.at("items", i, name) }
		lines = append(lines, fmt.Sprintf("%s %s %s %s", item("account"), item("name"), item("debit"), item("credit")))
	}
	return lines
}

func TestGivenAReversalWhenATrialBalanceIsReadThenItIsThatOfTheDayAsKnown(t *testing.T) {
	t.Parallel()
	c, _, _ := books(t)
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-02-09"))
	for _, want := range []struct {
		query string
		sum   string
		lines []string
	}{
		{"&valid_at=2025-01-31&known_at=2025-02-03T12:00:00Z", "110.00", []string{"1000 Cash 10.00 0.00", "1200 Receivables 100.00 0.00", "4000 Revenue 0.00 110.00"}},
		{"&valid_at=2025-02-10&known_at=2025-02-03T12:00:00Z", "150.00", []string{"1000 Cash 10.00 0.00", "1200 Receivables 140.00 0.00", "4000 Revenue 0.00 150.00"}},
		{"&valid_at=9999-12-31", "250.00", []string{"1000 Cash 10.00 0.00", "1200 Receivables 140.00 100.00", "4000 Revenue from contracts 100.00 150.00"}},
		{"", "250.00", []string{"1000 Cash 10.00 0.00", "1200 Receivables 140.00 100.00", "4000 Revenue from contracts 100.00 150.00"}}, // it is the 10th in Auckland
		{"&valid_at=2025-01-09", "0.00", nil},
		{"&known_at=2025-01-01T00:00:00Z", "0.00", nil},
	} {
		got := s.ok(access.Auditor, "/v1/reports/trial-balance?book=main"+want.query)
		require.Equal(t, want.lines, got.sums(), want.query)
		require.Equal(t, want.sum, got.at("totals", "debit"), want.query)
		require.Equal(t, want.sum, got.at("totals", "credit"), want.query)
		require.Equal(t, "main", got.at("book"))
		require.NotEmpty(t, got.at("position"))
		require.NotEmpty(t, got.at("known_at"))
	}
	require.Equal(t, "2025-02-10", s.ok(access.Auditor, "/v1/reports/trial-balance?book=main").at("valid_at"))
	require.Equal(t, "Pacific/Auckland", s.ok(access.Auditor, "/v1/reports/trial-balance?book=main").at("zone"))
}

func TestGivenAClosedPeriodWhenPeriodsAreReadThenTheyShowWhichAreOpen(t *testing.T) {
	t.Parallel()
	c, _, _ := books(t)
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-03-01"))

	now := s.ok(access.Finance, "/v1/books/main/periods")

	require.Equal(t, "closed", now.at("items", 0, "state"))
	require.Equal(t, c.Events[0].Meta.Actor.ID, now.at("items", 0, "closed_by"))
	require.Len(t, now.at("items", 0, "trial_balance_hash"), 64)
	require.EqualValues(t, 2, now.at("items", 0, "entries"))
	require.Equal(t, "open", now.at("items", 1, "state"))
	require.EqualValues(t, 1, now.at("items", 1, "late_entries"))
	then := s.ok(access.Finance, "/v1/books/main/periods?known_at=2025-01-02T12:00:00Z")
	require.Equal(t, "open", then.at("items", 0, "state"))
	one := s.ok(access.Finance, "/v1/books/main/periods/2025-01")
	require.Equal(t, now.at("items", 0, "trial_balance_hash"), one.at("trial_balance_hash"))
	require.Equal(t, `"3"`, one.header.Get("ETag"))
}

func TestGivenEntriesWhenAPeriodIsReadThenTheyComeInPagesWithTheirLines(t *testing.T) {
	t.Parallel()
	c, first, reversal := books(t)
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-03-01"))
	const january, february = "/v1/books/main/periods/2025-01/entries", "/v1/books/main/periods/2025-02/entries"

	page := s.ok(access.Integrator, january+"?limit=1")
	require.Equal(t, first.String(), page.at("items", 0, "id"))
	require.Equal(t, reversal.String(), page.at("items", 0, "reversed_by"))
	rest := s.ok(access.Integrator, january+"?limit=1&cursor="+url.QueryEscape(page.at("next").(string)))
	require.Nil(t, rest.at("next"))
	require.EqualValues(t, 2, rest.at("items", 0, "entry_no"))
	require.Equal(t, map[string]any{
		"line_no": 1.0, "account": "1000", "name": "Cash", "debit": "10.00", "credit": "0.00", "currency": "USD",
		"transaction_debit": "11.50", "transaction_credit": "0.00", "cost_center": "7",
	}, rest.at("items", 0, "lines", 0))

	late := s.ok(access.Integrator, february+"?document_no=R2")
	require.Len(t, late.at("items"), 1)
	require.Equal(t, true, late.at("items", 0, "late"))
	require.Equal(t, "2025-01-31", late.at("items", 0, "document_date"))
	require.Equal(t, late.at("items"), s.ok(access.Integrator, february+"?late=true").at("items"))
	require.Len(t, s.ok(access.Integrator, january+"?late=true").at("items"), 0)
	require.Len(t, s.ok(access.Integrator, january+"?account=1000").at("items"), 1)
	require.Len(t, s.ok(access.Integrator, february+"?account=1000").at("items"), 0)
	require.Len(t, s.ok(access.Integrator, february+"?valid_at=2025-02-09").at("items"), 1, "the reversal is posted a day later")

	one := s.ok(access.Integrator, february+"/"+reversal.String())
	require.Equal(t, first.String(), one.at("reverses"))
	require.Equal(t, "typo", one.at("reason_code"))
	require.Nil(t, s.ok(access.Integrator, january+"/"+first.String()+"?known_at=2025-02-03T12:00:00Z").at("reversed_by"))
	require.Equal(t, http.StatusNotFound, s.get(access.Integrator, february+"/"+reversal.String()+"?known_at=2025-02-03T12:00:00Z").status)
	require.Equal(t, http.StatusNotFound, s.get(access.Integrator, february+"/"+first.String()).status, "it stands in January")
}

func TestGivenABookWhenItIsReadThenItsRevisionIsItsETag(t *testing.T) {
	t.Parallel()
	c, _, _ := books(t)
	journaltest.Open(t, c, "zeta", 4)
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-03-01"))

	got := s.ok(access.Auditor, "/v1/books/main")
	require.Equal(t, `"4"`, got.header.Get("ETag"))
	require.Equal(t, "EUR", got.at("functional_currency"))
	require.EqualValues(t, 2, got.at("scale"))
	require.Empty(t, s.ok(access.Auditor, "/v1/books/main?known_at=2025-02-03T12:00:00Z").header.Get("ETag"))
	list := s.ok(access.Auditor, "/v1/books?limit=1")
	require.Equal(t, "main", list.at("items", 0, "book"))
	require.Equal(t, "zeta", s.ok(access.Auditor, "/v1/books?limit=1&cursor="+list.at("next").(string)).at("items", 0, "book"))
	accounts := s.ok(access.Auditor, "/v1/books/main/accounts?known_at=2025-02-03T12:00:00Z")
	require.Equal(t, "Revenue", accounts.at("items", 2, "name"))
	require.Equal(t, "asset", accounts.at("items", 0, "class"))
	require.Equal(t, list.at("next"), s.ok(access.Auditor, "/v1/books?limit=1").at("next"))
}

func TestGivenWhatIsNotThereWhenItIsAskedForThenTheAnswerSaysWhere(t *testing.T) {
	t.Parallel()
	c, first, _ := books(t)
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-03-01"))
	for path, want := range map[string]struct {
		status int
		code   string
	}{
		"/v1/books/nosuch":                                                  {404, "book-unknown"},
		"/v1/books/nosuch/accounts":                                         {404, "book-unknown"},
		"/v1/books/main?known_at=2025-01-01T00:00:00Z":                      {404, "book-unknown"},
		"/v1/books/main/periods/2031-01":                                    {404, "period-unknown"},
		"/v1/books/main/periods/2031-01/entries":                            {404, "period-unknown"},
		"/v1/books/main/periods/2025-02/entries/" + first.String():          {404, "entry-unknown"},
		"/v1/reports/trial-balance?book=nosuch&valid_at=2025-01-01":         {404, "book-unknown"},
		"/v1/reports/trial-balance?book=nosuch":                             {404, "book-unknown"},
		"/v1/books/main/accounts?cursor=x":                                  {400, "cursor-invalid"},
		"/v1/books/main/accounts?valid_at=2025-01-01":                       {400, ""}, // accounts have no effective date
		"/v1/reports/trial-balance?book=main&known_at=2031-01-01T00:00:00Z": {400, "known-at-future"},
		"/v1/reports/trial-balance?book=main&valid_at=yesterday":            {400, "parameter-invalid"},
	} {
		got := s.get(access.Auditor, path)
		require.Equal(t, want.status, got.status, "%s: %s", path, got.raw)
		if want.code != "" {
			require.Equal(t, want.code, got.at("code"), path)
		}
	}
	require.Equal(t, http.StatusForbidden, s.get(access.Payroll, "/v1/books/main").status)
}
