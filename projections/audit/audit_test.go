package audit_test

import (
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/domain/book"
	"daybook.example/domain/claim"
	"daybook.example/domain/employee"
	"daybook.example/domain/journal"
	"daybook.example/domain/operation"
	"daybook.example/domain/organisation"
	"daybook.example/domain/orgunit"
	"daybook.example/eventstore"
	"daybook.example/eventstore/proof"
	"daybook.example/projections"
	"daybook.example/projections/audit"
	"daybook.example/projections/employee/employeetest"
	"daybook.example/projections/projtest"
)

// foreign records an event that the catalog does not know, or cannot decode.
func foreign(c *employeetest.Company, stream, eventType, data, metadata string) projections.Event {
	place := c.Events[len(c.Events)-1].Position.Commit + 1
	e := projections.Decode(eventstore.Recorded{
		ID: domain.Derive("foreign", stream, eventType), Stream: stream, Revision: 1000, Type: eventType, ContentType: "application/json",
		Position: eventstore.Position{Commit: place, Prepare: place}, Data: []byte(data), Metadata: []byte(metadata),
	})
	c.Events = append(c.Events, e)
	return e
}

// keepBooks posts an entry in March, closes March, posts a late one in April and
// reverses the first.
func keepBooks(c *employeetest.Company) (first, late, reversal uuid.UUID) {
	first, late, reversal = domain.Derive("entry", "1"), domain.Derive("entry", "2"), domain.Derive("entry", "3")
	march, april := must(domain.ParsePeriod("2025-03")), must(domain.ParsePeriod("2025-04"))
	lines := []journal.Line{
		{LineNo: 1, Account: "1200", Side: book.Debit, Amount: domain.NewMoney("10.00", "EUR"), FunctionalAmount: domain.NewMoney("10.00", "EUR")},
		{LineNo: 2, Account: "4000", Side: book.Credit, Amount: domain.NewMoney("10.00", "EUR"), FunctionalAmount: domain.NewMoney("10.00", "EUR")},
	}
	post := func(p domain.Period, id uuid.UUID, no int, document, posting, number string) {
		c.Record(journal.Stream("general", p), journal.EntryPosted{
			EntryID: id, EntryNo: no, DocumentDate: domain.MustDate(document), PostingDate: domain.MustDate(posting),
			Source: journal.Source{DocumentNo: number}, Description: "sale", Lines: lines,
		})
	}
	c.Record(book.Stream("general"), book.BookOpened{Book: "general", FunctionalCurrency: "EUR", Scale: 2})
	c.Record(book.Stream("general"), book.AccountOpened{Code: "1200", Name: "Trade receivables", Class: book.Asset, NormalSide: book.Debit})
	c.Record(book.Stream("general"), book.AccountRenamed{Code: "1200", Name: "Receivables"})
	c.Record(book.Stream("general"), book.AccountBlocked{Code: "1200"})
	c.Record(journal.Stream("general", march), journal.PeriodOpened{Book: "general", Period: march, FunctionalCurrency: "EUR"})
	post(march, first, 1, "2025-03-10", "2025-03-10", "R-1")
	c.Record(journal.Stream("general", march), journal.PeriodClosed{TrialBalanceHash: "00", Totals: []journal.Total{}})
	c.Record(journal.Stream("general", april), journal.PeriodOpened{Book: "general", Period: april, FunctionalCurrency: "EUR", OpeningFrom: march})
	post(april, late, 1, "2025-03-11", "2025-04-01", "R-2")
	c.Record(journal.Stream("general", april), journal.EntryReversed{
		EntryID: reversal, EntryNo: 2, ReversesEntryID: first, PostingDate: domain.MustDate("2025-04-02"), ReasonCode: "error", Lines: lines,
	})
	return first, late, reversal
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// everything is a company with an event of each kind that the log can hold.
func everything(t testing.TB) *employeetest.Company {
	c := employeetest.BusyYear(t)
	keepBooks(c)
	c.Record(claim.Stream("employee_no", "00ff"), claim.Taken{Owner: "employee-1"})
	c.Record(claim.Stream("employee_no", "00ff"), claim.Confirmed{Owner: "employee-1"})
	token := domain.Derive("token")
	c.Record(access.Stream, access.TokenIssued{TokenID: token, Hash: "5ec4e7", Role: access.Auditor, Principal: "p"})
	c.Record(access.Stream, access.TokenRevoked{TokenID: token, RevokedBy: "p"})
	c.Record(operation.Stream, operation.ProjectionEventWaived{Projection: "x", EventID: token, Reason: "r", Operator: "p"})
	who := employee.Stream(domain.Derive("employee", "1"))
	foreign(c, who, "employee-hired", `{"subject_id":7}`, `{"schema_version":1,"actor":{"id":"x","kind":"user"}}`)
	foreign(c, who, "employee-burnt", `not json`, `neither`)
	foreign(c, who, "employee-position-assigned", `{}`, `{"schema_version":2}`)
	foreign(c, who, "employee-manager-assigned", `{}`, `{}`)
	foreign(c, "orgunit-x", "employee-retired", `{"last_day":"2025-01-01","scheme":"s"}`, `{"schema_version":1}`)
	foreign(c, "else\x00where", "nul\x00type", "\x00", "")
	foreign(c, who, "employee-fact-rescinded", `{"rescinds_event_id":"`+uuid.NewString()+`","reason_text":null}`, `{"schema_version":1}`)
	return c
}

func TestConformance(t *testing.T) {
	t.Parallel()
	projtest.Conformance(t, audit.New(), everything(t).Events)
}

// changesOf are the changes that the audit log shows of an event.
func changesOf(t *testing.T, m *projtest.Model, event uuid.UUID) map[string][2]string {
	t.Helper()
	var raw []byte
	require.NoError(t, m.Pool.QueryRow(t.Context(), "select changes from api.audit_log where event_id = $1", event).Scan(&raw))
	var list []struct {
		Path     string
		Old, New json.RawMessage
	}
	require.NoError(t, json.Unmarshal(raw, &list))
	changes := map[string][2]string{}
	for _, c := range list {
		changes[c.Path] = [2]string{short(c.Old), short(c.New)}
	}
	return changes
}

// short is a reference's event, or the value itself.
func short(value json.RawMessage) string {
	var reference domain.Reference
	if json.Unmarshal(value, &reference) == nil && reference.Personal.EventID != uuid.Nil {
		return reference.Personal.EventID.String() + reference.Personal.Path
	}
	var text string
	if string(value) != "null" && json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

func TestGivenARaiseRecordedOutOfOrderThenOldAndNewAreTheBeliefsOfItsDay(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	sally, hired := c.Hire("1", uuid.New(), "2025-01-01", "6000")
	may := c.On("2025-05-10").Tell(sally, *employeetest.Pays("7000", "2025-05-01"))[0]
	march := c.On("2025-05-20").Tell(sally, *employeetest.Pays("6500", "2025-03-01"))[0]
	m := projtest.Given(t, c.Events...).Apply(audit.New())

	pay := hired[len(hired)-1].String()
	for _, event := range c.Events {
		if event.Type == "employee-compensation-changed" {
			pay = event.ID.String()
			break
		}
	}
	require.Equal(t, [2]string{pay + "/amount", may.String() + "/amount"}, changesOf(t, m, may)["/compensation/amount"])
	require.Equal(t, [2]string{pay + "/amount", march.String() + "/amount"}, changesOf(t, m, march)["/compensation/amount"],
		"a raise from March changed March's belief, not May's")
	require.NotContains(t, changesOf(t, m, march), "/compensation/effective_from", "a key that only dates the change is no field")
	require.Equal(t, [2]string{"null", "1"}, changesOf(t, m, hired[0])["/employment/employee_no"])
}

func TestGivenCorrectionsThenOldIsWhatTheEventSaidAndNewWhatItShouldHave(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	sally, hired := c.Hire("1", uuid.New(), "2025-01-01", "6000")
	raise := c.On("2025-02-01").Tell(sally, *employeetest.Pays("6500", "2025-02-01"))[0]
	later := c.On("2025-03-01").Tell(sally, *employeetest.Pays("7000", "2025-02-01"))[0]
	correct := func(of uuid.UUID, amount, day string) uuid.UUID {
		pays := &employee.ChangeCompensation{Amount: domain.NewMoney(amount, "EUR")}
		if day != "" {
			pays.EffectiveFrom = domain.MustDate(day)
		}
		return c.Tell(sally, employee.Correct{CorrectsEventID: of, ReasonText: "canary", Compensation: pays})[0]
	}
	first := correct(raise, "6600", "")
	second := correct(first, "6700", "2025-02-10")
	undone := c.Tell(sally, employee.Rescind{RescindsEventID: second, ReasonText: "canary"})[0]
	earlier := c.Tell(sally, employee.Correct{CorrectsEventID: hired[0], ReasonText: "canary", Hire: &employee.Hire{Engagement: employee.Engagement{HireDate: domain.MustDate("2024-12-01")}}})[0]
	m := projtest.Given(t, c.Events...).Apply(audit.New())

	require.Equal(t, [2]string{raise.String() + "/amount", first.String() + "/replacement/data/amount"}, changesOf(t, m, first)["/compensation/amount"],
		"%s was believed by then, but it is not what was corrected", later)
	require.NotContains(t, changesOf(t, m, first), "/effective_from")
	require.Equal(t, map[string][2]string{
		"/compensation/amount": {first.String() + "/replacement/data/amount", second.String() + "/replacement/data/amount"},
		"/effective_from":      {"2025-02-01", "2025-02-10"},
	}, changesOf(t, m, second), "a date that was wrong is what was corrected")
	require.Equal(t, [2]string{second.String() + "/replacement/data/amount", first.String() + "/replacement/data/amount"},
		changesOf(t, m, undone)["/compensation/amount"], "a rescission brings the belief before back")
	require.Equal(t, [2]string{"2025-01-01", "2024-12-01"}, changesOf(t, m, earlier)["/employment/hire_date"])
}

func TestGivenEndsThenOldAndNewAreThoseOfTheLastDay(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	sally, _ := c.Hire("1", uuid.New(), "2025-01-01", "6000")
	over := c.On("2025-06-01").Tell(sally, employee.Terminate{LastDay: domain.MustDate("2025-06-30"), Ground: employee.Resignation, Note: "canary"})[0]
	later := c.Tell(sally, employee.Correct{CorrectsEventID: over, ReasonText: "canary", Termination: &employee.Terminate{LastDay: domain.MustDate("2025-07-31")}})[0]
	never := c.Tell(sally, employee.Rescind{RescindsEventID: over, ReasonText: "canary"})[0]
	m := projtest.Given(t, c.Events...).Apply(audit.New())

	require.Equal(t, [2]string{"null", "2025-06-30"}, changesOf(t, m, over)["/employment/last_day"])
	require.Equal(t, [2]string{"2025-06-30", "2025-07-31"}, changesOf(t, m, later)["/employment/last_day"])
	require.Equal(t, [2]string{"2025-06-30", "null"}, changesOf(t, m, never)["/employment/last_day"])
}

func TestGivenOrgUnitsThenOldAndNewAreTheBeliefsOfTheDay(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	unit := orgunit.Stream(uuid.New())
	c.Record(unit, orgunit.OrgUnitCreated{Name: "Tools", EffectiveFrom: domain.MustDate("2024-01-01")})
	c.Record(unit, orgunit.OrgUnitRenamed{Name: "Design", EffectiveFrom: domain.MustDate("2025-05-01")})
	renamed := c.Record(unit, orgunit.OrgUnitRenamed{Name: "Tool Design", EffectiveFrom: domain.MustDate("2025-03-01")})
	closed := c.Record(unit, orgunit.OrgUnitClosed{EffectiveFrom: domain.MustDate("2025-07-01")})
	m := projtest.Given(t, c.Events...).Apply(audit.New())

	require.Equal(t, map[string][2]string{"/name": {"Tools", "Tool Design"}}, changesOf(t, m, renamed))
	require.Equal(t, map[string][2]string{"/closed": {"null", "true"}}, changesOf(t, m, closed))
}

func TestGivenBooksThenEntriesAndPeriodsHaveTheirHistory(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	c.On("2025-04-03")
	first, late, reversal := keepBooks(c)
	m := projtest.Given(t, c.Events...).Apply(audit.New())

	m.Expect(`select action, entity_id, document_no, period_state from audit_log where entity_kind = 'entry' order by position`,
		[]any{"entry-posted", first.String(), "R-1", nil},
		[]any{"entry-posted", late.String(), "R-2", "closed"},
		[]any{"entry-reversed", reversal.String(), "R-1", nil})
	m.Expect(`select changes -> 0 ->> 'old', changes -> 0 ->> 'new' from audit_log where event_type = 'book-account-renamed'`,
		[]any{"Trade receivables", "Receivables"})
	m.Expect(`select changes -> 0 ->> 'path', changes -> 0 ->> 'new' from audit_log where event_type = 'book-account-blocked'`, []any{"/blocked", "true"})
	m.Expect(`select revision, version, patch ->> 'state' from entity_version where entity_kind = 'period' and entity_id = 'general_202503' order by 1`,
		[]any{0, 1, "open"}, []any{2, 2, "closed"})
}

func TestGivenForeignEventsThenTheyAreFindingsAndStopNothing(t *testing.T) {
	t.Parallel()
	c := everything(t)
	m := projtest.Given(t, c.Events...).Apply(audit.New())

	m.Expect(`select event_type, finding from audit_log where finding is not null order by position`,
		[]any{"employee-hired", "undecodable"}, []any{"employee-burnt", "foreign"},
		[]any{"employee-position-assigned", "undecodable"}, []any{"employee-manager-assigned", "undecodable"}, []any{"employee-retired", "misplaced"},
		[]any{"nul\uFFFDtype", "foreign"}, []any{"employee-fact-rescinded", "undecodable"})
	m.Expect(`select count(*) from read.integrity_finding`, []any{7})
	m.Expect(`select count(*) from audit_log`, []any{len(c.Events)})
}

func TestGivenEventsThenEachHasTheLeafOfItsStoredBytes(t *testing.T) {
	t.Parallel()
	c := everything(t)
	m := projtest.Given(t, c.Events...).Apply(audit.New())
	for _, e := range c.Events {
		var leaf []byte
		require.NoError(t, m.Pool.QueryRow(t.Context(), "select leaf_hash from api.audit_log where position = $1", e.Pos()).Scan(&leaf))
		want := proof.Leaf(e.Recorded)
		require.Equal(t, hex.EncodeToString(want[:]), hex.EncodeToString(leaf))
	}
}

func TestGivenPersonalValuesThenNoTableHoldsOneAndDashboardsSeeNoReference(t *testing.T) {
	t.Parallel()
	m := projtest.Given(t, everything(t).Events...).Apply(audit.New())
	for table, rows := range m.Rows() {
		for _, row := range rows {
			require.NotRegexp(t, `(?i)canary|sally\d|1990-05-17|[3-6][0-9]17\.31|DE8937|COBADE|5ec4e7`, row, table)
		}
	}
	m.Expect(`select count(*) from read.audit_log where changes::text like '%personal%'`, []any{0})
	m.Expect(`select count(*) > 0 from api.audit_log where changes::text like '%personal%'`, []any{true})
}

func TestGivenADayThatBeginsElsewhereThenARecordedTimeHasItsDayThere(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	c.On("2025-03-31") // at noon, UTC
	c.Record(organisation.Stream, organisation.OrganisationNamed{Name: "Works", Zone: "Pacific/Kiritimati", Country: "KI"})
	sally, _ := c.Hire("1", uuid.New(), "2025-04-01", "6000")
	c.Tell(sally, *employeetest.Pays("6500", "2025-04-01"))
	m := projtest.Given(t, c.Events...).Apply(audit.New())
	m.Expect(`select distinct recorded_on::text from audit_log where entity_kind = 'employee'`, []any{"2025-04-01"})
}

func TestGivenManyVersionsThenPatchesFromTheLastWholeStateGiveTheLatest(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	for i := range 2*50 + 7 {
		c.Record(organisation.Stream, organisation.OrganisationNamed{Name: string(rune('a' + i%26)), Zone: "UTC", Country: "DE"})
	}
	m := projtest.Given(t, c.Events...).Apply(audit.New())
	m.Expect(`select version, state ->> 'name' from entity_version where state is not null order by 1`, []any{50, "x"}, []any{100, "v"})
	m.Expect(`select patch::text from entity_version where version = 101`, []any{`{"name": "w"}`})
	m.Expect(`select version, state ->> 'name' from entity_state`, []any{107, "c"})
}

func TestGivenAnyTimeZoneOfTheDatabaseThenTheTablesAreTheSame(t *testing.T) {
	t.Parallel()
	c := everything(t)
	want := projtest.Given(t, c.Events...).Apply(audit.New()).Rows()
	for _, zone := range []string{"Pacific/Kiritimati", "America/Los_Angeles"} {
		m := projtest.Empty(t, audit.New())
		config := m.Pool.Config()
		config.ConnConfig.RuntimeParams["timezone"] = zone
		there, err := pgxpool.NewWithConfig(t.Context(), config)
		require.NoError(t, err)
		defer there.Close()
		writer, err := projections.Claim(t.Context(), there, audit.New(), projections.Ownership{Owner: "test"})
		require.NoError(t, err)
		require.NoError(t, writer.Apply(t.Context(), c.Events, c.Events[len(c.Events)-1].Position))
		writer.Close()
		require.Equal(t, want, m.Rows(), zone)
	}
}
