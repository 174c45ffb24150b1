package employee_test

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/employee"
	model "daybook.example/projections/employee"
	"daybook.example/projections/employee/employeetest"
	"daybook.example/projections/postgres/postgrestest"
	"daybook.example/projections/projtest"
)

// tables are a company's events, projected.
type tables struct {
	*employeetest.Company
	t    testing.TB
	pool *pgxpool.Pool
}

// project applies a company's events in batches of a size.
func project(t testing.TB, c *employeetest.Company, size int) tables {
	t.Helper()
	pool := postgrestest.New(t)
	c.Project(pool, model.New(c.Keys), size)
	v := tables{c, t, pool}
	require.Empty(t, v.rows(`select * from check_overlap()`), "two rectangles share a day and a position")
	return v
}

// rows are the answer to a query, its columns as text.
func (v tables) rows(sql string, args ...any) [][]string {
	v.t.Helper()
	conn, err := v.pool.Acquire(context.Background())
	require.NoError(v.t, err)
	defer conn.Release()
	_, err = conn.Exec(context.Background(), "set search_path to rm_employee_fact_v1")
	require.NoError(v.t, err)
	rows, err := conn.Query(context.Background(), sql, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...)
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

// pay is what an employee is paid on a day, as known on another.
func (v tables) pay(who uuid.UUID, known, valid string) string {
	v.t.Helper()
	found := v.rows(`select p.value ->> 'amount' from api.employee_fact f
		join api.person_pay p on p.subject = (f.value #>> '{amount,personal,subject}')::uuid
		  and p.event_id = (f.value #>> '{amount,personal,event_id}')::uuid and p.path = f.value #>> '{amount,personal,path}'
		where f.employee_id = $1 and f.attribute = 'compensation' and f.valid @> $2::date and f.recorded @> $3::bigint`,
		who.String(), valid, v.Known(known))
	if len(found) == 0 {
		return "none"
	}
	require.Len(v.t, found, 1)
	return found[0][0]
}

func TestGivenARaiseRecordedLaterWhenPayIsAskedForThenTheAnswerIsThatOfItsTime(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	sally, _ := c.Hire("1", uuid.New(), "2025-01-01", "6000")
	c.On("2025-03-15").Tell(sally, *employeetest.Pays("6500", "2025-02-15"))

	v := project(t, c, 512)

	for _, want := range []struct{ known, valid, pay string }{
		{"2025-01-25", "2025-01-25", "6000"},
		{"2025-02-25", "2025-01-25", "6000"},
		{"2025-03-25", "2025-01-25", "6000"},
		{"2025-02-25", "2025-02-25", "6000"},
		{"2025-03-25", "2025-02-25", "6500"},
		{"2025-03-25", "2025-03-25", "6500"},
		{"2025-01-01", "2025-01-25", "none"}, // before the first event
	} {
		require.Equal(t, want.pay, v.pay(sally, want.known, want.valid), "known %s, valid %s", want.known, want.valid)
	}
}

func TestGivenARaiseWhenItIsProjectedThenOnlyTheRectanglesOfPayAreTurned(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	sally, _ := c.Hire("1", uuid.New(), "2025-01-01", "6000")
	raise := c.On("2025-03-15").Tell(sally, *employeetest.Pays("6500", "2025-02-15"))[0]

	v := project(t, c, 512)

	require.Equal(t, [][]string{{"compensation", "[2025-01-01,)"}},
		v.rows(`select attribute, valid from employee_fact where superseded_by = $1`, raise.String()))
	require.Equal(t, [][]string{{"compensation", "[2025-01-01,2025-02-15)"}, {"compensation", "[2025-02-15,)"}},
		v.rows(`select attribute, valid from employee_fact where lower(recorded) = $1 order by valid`, v.Known("2025-03-15")))
}

func TestGivenRaisesOutOfOrderWhenPayIsAskedForThenEachHoldsFromItsDay(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	sally, _ := c.Hire("1", uuid.New(), "2025-01-01", "6000")
	c.On("2025-05-10").Tell(sally, *employeetest.Pays("7000", "2025-05-01"))
	c.On("2025-05-20").Tell(sally, *employeetest.Pays("6500", "2025-03-01"))

	v := project(t, c, 512)

	require.Equal(t, "6000", v.pay(sally, "2025-05-15", "2025-04-01"))
	require.Equal(t, "6500", v.pay(sally, "2025-05-25", "2025-04-01"))
	require.Equal(t, "7000", v.pay(sally, "2025-05-25", "2025-05-01"), "the later raise stays")
}

func TestGivenACorrectionOfACorrectionWhenItIsRescindedThenTheFirstCorrectionHoldsAgain(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	sally, _ := c.Hire("1", uuid.New(), "2025-01-01", "6000")
	raise := c.On("2025-02-01").Tell(sally, *employeetest.Pays("6500", "2025-02-01"))[0]
	correct := func(day, amount string, of uuid.UUID) uuid.UUID {
		return c.On(day).Tell(sally, employee.Correct{CorrectsEventID: of, ReasonText: "canary-reason", Compensation: &employee.ChangeCompensation{Amount: domain.NewMoney(amount, "EUR")}})[0]
	}
	first := correct("2025-03-01", "6600", raise)
	second := correct("2025-04-01", "6700", first)
	c.On("2025-05-01").Tell(sally, employee.Rescind{RescindsEventID: second, ReasonText: "canary-reason"})

	v := project(t, c, 512)

	for known, pay := range map[string]string{"2025-02-02": "6500", "2025-03-02": "6600", "2025-04-02": "6700", "2025-05-02": "6600"} {
		require.Equal(t, pay, v.pay(sally, known, "2025-02-20"), "known "+known)
	}
	require.Equal(t, [][]string{
		{"changed", raise.String()}, {"corrected", first.String()}, {"corrected", second.String()}, {"rescinded", first.String()},
	}, v.rows(`select cause, event_id from api.employee_fact where attribute = 'compensation' and valid @> '2025-02-20'::date
		and lower(recorded) >= $1 order by lower(recorded)`, v.Known("2025-02-01")))
}

func TestGivenARescindedHireWhenItIsAskedForThenNothingIsBelievedButItsHistoryStands(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	sally, ids := c.Hire("1", uuid.New(), "2025-01-01", "6000")
	c.On("2025-02-01").Tell(sally, employee.Rescind{RescindsEventID: ids[0], ReasonText: "another person"})

	v := project(t, c, 512)

	require.Equal(t, "6000", v.pay(sally, "2025-01-15", "2025-03-01"))
	require.Equal(t, "none", v.pay(sally, "2025-02-02", "2025-03-01"))
	require.Empty(t, v.rows(`select * from api.employee_fact where upper_inf(recorded)`))
	require.Equal(t, [][]string{{"1"}}, v.rows(`select count(*) from api.employee`))
}

func TestGivenAnyPositionWhenFactsAreReadAsKnownThereThenTheyAreTheFoldOfWhatWasRecordedUpToIt(t *testing.T) {
	t.Parallel()
	v := project(t, employeetest.BusyYear(t), 6)
	said := map[uuid.UUID][]employee.Assertion{}
	for _, e := range v.Events {
		if event, ok := e.Decoded.(employee.Event); ok {
			who := uuid.MustParse(strings.TrimPrefix(e.Stream, "employee-"))
			said[who] = append(said[who], employee.Assertion{Recording: domain.Recording{ID: e.ID, Revision: e.Revision}, Event: event})
		}
		var want [][]string
		for who, assertions := range said {
			for _, f := range employee.Timeline(assertions) {
				until := f.To.String()
				if f.To.IsZero() {
					until = ""
				}
				want = append(want, []string{who.String(), string(f.Attribute), f.From.String(), until, f.EventID.String()})
			}
		}
		got := v.rows(`select employee_id, attribute, lower(valid), coalesce(upper(valid)::text, ''), event_id
			from api.employee_fact where recorded @> $1::bigint`, e.Pos())
		require.ElementsMatch(t, want, got, "after %s", e.Type)
	}
}

func TestGivenAProbationWhenItIsExtendedAndConfirmedThenItsFactsAreRectangles(t *testing.T) {
	t.Parallel()
	v := project(t, employeetest.BusyYear(t), 4)
	probation := func(day, known string) [][]string {
		return v.rows(`select value ->> 'status', coalesce(value ->> 'probation_end', ''), cause from api.employee_fact
			where attribute = 'probation' and valid @> $1::date and recorded @> $2::bigint`, day, v.Known(known))
	}
	require.Empty(t, probation("2026-02-15", "2025-04-03"), "until the first decision the terms of the spell hold")
	require.Equal(t, [][]string{{"extended", "2026-05-31", "changed"}}, probation("2026-05-15", "2025-04-02"))
	require.Equal(t, [][]string{{"confirmed", "", "corrected"}}, probation("2026-05-15", "2025-04-03"))
	require.Equal(t, [][]string{{"confirmed", "", "changed"}}, probation("2026-05-31", "2025-04-02"))
	require.Empty(t, v.rows(`select value from read.employee_fact where attribute = 'probation'`), "no dashboard shows who is on trial")
}

func TestConformance(t *testing.T) {
	t.Parallel()
	c := employeetest.BusyYear(t)
	projtest.Conformance(t, model.New(c.Keys), c.Events)
}

func TestGivenAnyTimeZoneWhenEventsAreProjectedThenTheTablesAreTheSame(t *testing.T) {
	t.Parallel()
	c := employeetest.BusyYear(t)
	v := project(t, c, len(c.Events))
	want := v.dump()
	for _, zone := range []string{"Pacific/Kiritimati", "America/Los_Angeles"} {
		pool := postgrestest.New(t)
		config := pool.Config()
		config.ConnConfig.RuntimeParams["timezone"] = zone
		there, err := pgxpool.NewWithConfig(context.Background(), config)
		require.NoError(t, err)
		defer there.Close()
		c.Project(there, model.New(c.Keys), 512)
		require.Equal(t, want, tables{c, t, pool}.dump(), zone)
	}
}

// dump is every row of every table of facts, as text.
func (v tables) dump() map[string][][]string {
	all := map[string][][]string{}
	for _, table := range []string{
		"employee", "employee_assertion", "employee_fact", "organisation_assertion", "organisation_fact",
		"person_identity", "person_contact", "person_bank", "person_pay",
	} {
		all[table] = v.rows(`select t::text from ` + table + ` t order by t::text collate "C"`)
	}
	return all
}

func TestGivenAnOrganisationWhenItsNamesAreAskedForThenTheyAreThoseOfTheDayAndOfTheKnowledge(t *testing.T) {
	t.Parallel()
	v := project(t, employeetest.BusyYear(t), 3)
	tools := domain.Derive("tools").String()
	name := func(day, known string) string {
		found := v.rows(`select name from api.org_units_at($1, $2) where org_unit_id = $3`, day, v.Known(known), tools)
		if len(found) == 0 {
			return "none"
		}
		return found[0][0]
	}

	require.Equal(t, "Tools", name("2025-04-01", "2025-03-31"))
	require.Equal(t, "Tool Design", name("2025-04-01", "2025-04-01"))
	require.Equal(t, "Tools", name("2025-02-01", "2025-04-01"))
	require.Equal(t, "Tool Design", name("2025-06-30", "2025-04-01"))
	require.Equal(t, "none", name("2025-07-01", "2025-04-01"), "closed")
	require.Equal(t, "none", name("2023-12-31", "2025-04-01"), "not yet created")
	require.Equal(t, [][]string{{"Europe/Berlin", "Pacific/Auckland", "UTC"}},
		v.rows(`select api.zone_at($1), api.zone_at($2), api.zone_at(0)`, v.Known("2025-03-31"), v.Known("2025-04-01")))
}

func TestGivenHiresAndEndsWhenHeadsAreCountedThenOnlyThoseOfTheDayAre(t *testing.T) {
	t.Parallel()
	v := project(t, employeetest.BusyYear(t), 512)
	for _, want := range []struct {
		day, known string
		heads      [][]string
	}{
		{"2024-12-15", "2025-01-02", [][]string{}},
		{"2024-12-15", "2025-04-01", [][]string{{"Sales", "1"}}}, // the hire was corrected to December
		{"2025-02-01", "2025-01-02", [][]string{{"Sales", "1"}, {"Tools", "2"}}},
		{"2025-02-01", "2025-04-01", [][]string{{"Sales", "1"}, {"Tools", "1"}}}, // one hire was rescinded
		{"2025-08-31", "2025-04-01", [][]string{{"Sales", "2"}}},
		{"2025-09-01", "2025-04-01", [][]string{{"Sales", "1"}}}, // the day after the last day
	} {
		for _, schema := range []string{"api", "read"} {
			require.Equal(t, want.heads, v.rows(`select department, total from `+schema+`.headcount($1, $2) order by 1`, want.day, v.Known(want.known)),
				"%s on %s as known on %s", schema, want.day, want.known)
		}
	}
}

func TestGivenPersonalValuesWhenEventsAreProjectedThenTheyStandInPersonTablesOnly(t *testing.T) {
	t.Parallel()
	v := project(t, employeetest.BusyYear(t), 5)
	for table, rows := range v.dump() {
		clear := slices.ContainsFunc(rows, func(row []string) bool { return personal.MatchString(row[0]) })
		require.Equal(t, strings.HasPrefix(table, "person_"), clear, table)
	}
	for _, row := range v.rows(`select c.relname, c.relkind from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'read'`) {
		for _, shown := range v.rows(`select t::text from read.` + row[0] + ` t`) {
			require.NotRegexp(t, personal, shown[0], "read.%s", row[0])
			require.NotContains(t, shown[0], "personal", "read.%s shows a reference", row[0])
		}
	}
	require.Equal(t, [][]string{{"0"}}, v.rows(`select count(*) from person_identity where value::text like '%reason%'`), "notes are not projected")
}

// personal finds every personal value that a company of these tests writes.
var personal = regexp.MustCompile(`(?i)canary|sally\d|1990-05-17|17\.31|DE89|COBADE`)

func TestGivenADashboardWhenItQueriesThenItReachesTheViewsForItAndNothingPersonal(t *testing.T) {
	t.Parallel()
	c := employeetest.BusyYear(t)
	program, report := postgrestest.Pair(t)
	c.Project(program, model.New(c.Keys), 512)

	for _, view := range []string{
		"employee_current", "future_changes", "employee_fact", "organisation_fact", "employee_label",
		"employees_at('2025-02-01')", "org_units_at('2025-02-01')",
	} {
		_, err := report.Exec(t.Context(), "select * from read."+view)
		require.NoError(t, err, view)
	}
	var heads int
	require.NoError(t, report.QueryRow(t.Context(), `select sum(total) from read.headcount('2025-02-01', read.employee_position_at('2025-01-10Z'))`).Scan(&heads))
	require.Equal(t, 3, heads)
	for _, hidden := range []string{"api.person_identity", "api.employee_fact", "rm_employee_fact_v1.person_pay", "api.employee_names_at('2025-02-01', 99999999)"} {
		_, err := report.Exec(t.Context(), "select * from "+hidden)
		require.ErrorContains(t, err, "permission denied", hidden)
	}
}

func TestGivenAnErasedSubjectWhenEventsAreProjectedAgainThenOnlyThePersonRowsAreMissing(t *testing.T) {
	t.Parallel()
	c := employeetest.BusyYear(t)
	before := project(t, c, 512).dump()
	for _, e := range c.Events {
		for _, subject := range domain.Subjects(e.Decoded) {
			require.NoError(t, c.Keys.Destroy(subject, "identity", "contact"))
		}
	}

	after := project(t, c, 512).dump()

	require.Empty(t, after["person_identity"])
	require.Empty(t, after["person_contact"])
	delete(before, "person_identity")
	delete(before, "person_contact")
	delete(after, "person_identity")
	delete(after, "person_contact")
	require.Equal(t, before, after)
}

func TestGivenTheEventsWhenRowsAreReadThenEachNamesTheLastThatTouchedIt(t *testing.T) {
	t.Parallel()
	v := project(t, employeetest.BusyYear(t), 4)
	for _, table := range []string{"employee", "employee_fact", "organisation_fact", "person_identity", "person_contact", "person_bank", "person_pay"} {
		require.Equal(t, [][]string{{"0"}}, v.rows(`select count(*) from `+table+` f where not exists (
			select from (select event_id, position, revision from employee_assertion union all select event_id, position, revision from organisation_assertion) a
			where a.event_id = f.last_event_id and a.position = f.last_position and a.revision = f.last_revision)`), table)
	}
	require.Equal(t, [][]string{{"0"}}, v.rows(`select count(*) from employee_fact where last_position <> coalesce(upper(recorded), lower(recorded))
		or (superseded_by is null) <> upper_inf(recorded) or (recorded_to is null) <> upper_inf(recorded)`))
}
