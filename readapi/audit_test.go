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
	"daybook.example/domain/employee"
	"daybook.example/domain/organisation"
	"daybook.example/eventstore"
	"daybook.example/projections/audit"
	"daybook.example/projections/employee/employeetest"
)

// pages reads all pages of a list and returns its items.
func (s *companySite) pages(role access.Role, path string, between func()) (items []any) {
	s.t.Helper()
	next := path
	for {
		page := s.ok(role, next)
		list, _ := page.at("items").([]any)
		items = append(items, list...)
		cursor, more := page.at("next").(string)
		if !more {
			return items
		}
		between()
		next = path + "&cursor=" + url.QueryEscape(cursor)
	}
}

func nothing() {}

func members(items []any, name string) (values []any) {
	for _, item := range items {
		values = append(values, item.(map[string]any)[name])
	}
	return values
}

func TestGivenAYearWhenTheAuditLogIsReadThenEveryEventIsThereOnceAndInOrder(t *testing.T) {
	t.Parallel()
	c := employeetest.BusyYear(t)
	s := open(t, c, uuid.Nil, employeetest.Instant("2026-01-01"))
	items := s.pages(access.Auditor, "/v1/audit/events?limit=7", nothing)
	var ids []any
	for _, e := range c.Events {
		ids = append(ids, e.ID.String())
	}
	require.Equal(t, ids, members(items, "event_id"))
	for _, item := range items {
		require.Regexp(t, "^[0-9a-f]{64}$", item.(map[string]any)["leaf_hash"])
	}
}

func TestGivenFiltersWhenTheAuditLogIsReadThenOnlyWhatTheyNameIsThere(t *testing.T) {
	t.Parallel()
	c := employeetest.BusyYear(t)
	s := open(t, c, uuid.Nil, employeetest.Instant("2026-01-01"))
	sally := domain.Derive("employee", "1")
	all := len(c.Events)
	count := func(query string) int {
		return len(s.pages(access.Auditor, "/v1/audit/events?limit=500&"+query, nothing))
	}
	var ofSally, named, inMarch int
	for _, e := range c.Events {
		if e.Stream == employee.Stream(sally) {
			ofSally++
		}
		if e.Type == "organisation-named" {
			named++
		}
		if e.Meta.RecordedAt.Month() == 3 {
			inMarch++
		}
	}

	require.Equal(t, ofSally, count("entity="+sally.String()))
	require.Equal(t, ofSally, count("entity="+employee.Stream(sally)))
	require.Equal(t, ofSally, count("kind=employee&entity="+sally.String()))
	require.Equal(t, named, count("type=organisation-named"))
	require.Equal(t, all, count("actor="+c.Events[0].Meta.Actor.ID))
	require.Zero(t, count("actor=nobody"))
	require.Equal(t, inMarch, count("from=2025-03-01T00:00:00Z&to=2025-04-01"))
	require.Zero(t, count("document=none"))
	require.Zero(t, count("findings=true"))
	require.Equal(t, ofSally, count("entity="+sally.String()+"&known_at="+url.QueryEscape(fmt.Sprintf("%d/%[1]d", c.Known("2026-01-01")))))
	require.Zero(t, count("known_at=2024-01-01T00:00:00Z"))
}

func TestGivenARaiseWhenTheAuditLogIsReadThenItShowsTheChangeAndMasksThePay(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	sally, _ := c.Hire("1", uuid.New(), "2025-01-01", "6000")
	c.On("2025-03-15").Tell(sally, *employeetest.Pays("6500", "2025-02-15"))
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-04-01"))

	got := s.ok(access.Auditor, "/v1/audit/events?type=employee-compensation-changed&from=2025-03-01")

	require.Equal(t, map[string]any{"path": "/compensation/amount", "old": map[string]any{"masked": true}, "new": map[string]any{"masked": true}},
		got.at("items", 0, "changes", 0))
	require.NotContains(t, got.raw, "6500")
	require.Equal(t, "UTC", got.at("zone"))
	require.Equal(t, http.StatusForbidden, s.get(access.HR, "/v1/audit/events").status)
}

func TestGivenWritesGoOnWhenPagesAreWalkedThenNothingIsMissedOrTwice(t *testing.T) {
	t.Parallel()
	c := employeetest.BusyYear(t)
	s := open(t, c, uuid.Nil, employeetest.Instant("2026-01-01"))
	before := len(c.Events)
	written := 0
	items := s.pages(access.Auditor, "/v1/audit/events?limit=5", func() {
		if written == 6 {
			return
		}
		written++
		c.Record(organisation.Stream, organisation.OrganisationNamed{Name: fmt.Sprint("Works ", written), Zone: "UTC", Country: "DE"})
		c.Append(s.store)
		c.Project(s.pool, audit.New(), 512)
	})
	require.Len(t, items, before+written)
	seen := map[any]bool{}
	for _, id := range members(items, "event_id") {
		require.False(t, seen[id], "twice: %s", id)
		seen[id] = true
	}
}

func TestGivenLateFactsWhenTheBackdatedRegisterIsReadThenTheyAreThereWithTheirLag(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	sally, _ := c.Hire("1", uuid.New(), "2025-01-02", "6000")
	raise := c.On("2025-03-15").Tell(sally, *employeetest.Pays("6500", "2025-02-15"))[0]
	c.Tell(sally, *employeetest.Pays("7000", "2025-06-01"))
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-04-01"))

	got := s.ok(access.HR, "/v1/reports/backdated")
	require.Equal(t, []any{raise.String()}, members(got.at("items").([]any), "event_id"))
	require.EqualValues(t, 28, got.at("items", 0, "lag_days"))
	require.Equal(t, false, got.at("items", 0, "imported"))
	require.Empty(t, s.ok(access.HR, "/v1/reports/backdated?days=28").at("items"))
	require.Empty(t, s.ok(access.HR, "/v1/reports/backdated?known_at="+url.QueryEscape("2025-03-01T00:00:00Z")).at("items"))
}

func TestGivenAskedWronglyThenTheAnswerNamesTheParameter(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	c.Hire("1", uuid.New(), "2025-01-02", "6000")
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-04-01"))
	for _, want := range []struct {
		path, code string
		status     int
	}{
		{"/v1/audit/events?known_at=2025-04-02T00:00:00Z", "known-at-future", 400},
		{"/v1/events?known_at=2025-04-02T00:00:00Z", "known-at-future", 400},
		{"/v1/audit/events?known_at=soon", "parameter-invalid", 400},
		{"/v1/audit/events?after=soon", "parameter-invalid", 400},
		{"/v1/audit/events?from=soon", "parameter-invalid", 400},
		{"/v1/audit/events?valid_at=2025-01-01", "parameter-unsupported", 400},
		{"/v1/events?from=soon", "parameter-invalid", 400},
		{"/v1/events?valid_at=2025-01-01", "parameter-unsupported", 400},
		{"/v1/projections?known_at=1/1", "parameter-unsupported", 400},
		{"/v1/audit/events?cursor=bm90aGluZw", "cursor-invalid", 400},
	} {
		got := s.get(access.Auditor, want.path)
		require.Equal(t, want.status, got.status, "%s: %s", want.path, got.raw)
		require.Equal(t, want.code, got.at("code"), "%s: %s", want.path, got.raw)
	}
	got := s.get(access.Auditor, "/v1/audit/events", "Daybook-Log", uuid.NewString())
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Equal(t, "other-log", got.at("code"))
	require.Equal(t, http.StatusOK, s.get(access.Auditor, "/v1/audit/events", "Daybook-Log", c.LogID.String()).status)
}

func TestGivenProjectorsThenTheirListSaysHowFarTheyAreAndReadinessFollows(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	c.Hire("1", uuid.New(), "2025-01-02", "6000")
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-04-01"))
	ready := func() int {
		answer, err := http.Get(s.url + "/readyz")
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode
	}
	halt := func(state string) {
		_, err := s.pool.Exec(t.Context(), "update daybook.projection_checkpoint set state = $1, commit_pos = commit_pos - 1, prepare_pos = prepare_pos - 1 where name = 'audit_log'", state)
		require.NoError(t, err)
	}
	head, err := s.store.ReadOnly().Head(t.Context())
	require.NoError(t, err)

	list := s.ok(access.Operator, "/v1/projections")
	require.Equal(t, head.String(), list.at("head"))
	require.Equal(t, []any{"audit_log", "employee_fact", "journal_line", "process_instance"}, members(list.at("items").([]any), "name"))

	halt("halted")
	require.Equal(t, http.StatusServiceUnavailable, ready())
	got := s.ok(access.Auditor, "/v1/audit/events")
	require.Equal(t, fmt.Sprintf("halted; as-of=%s", eventstore.Position{Commit: head.Commit - 1, Prepare: head.Prepare - 1}), got.header.Get("Daybook-Projection-State"))
	late := s.get(access.Auditor, "/v1/audit/events?after="+url.QueryEscape(head.String()))
	require.Equal(t, http.StatusServiceUnavailable, late.status)
	require.Equal(t, "read-model-halted", late.at("code"))
	require.NotEmpty(t, late.header.Get("Retry-After"))
}
