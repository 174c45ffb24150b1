package readapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/domain/employee"
	"daybook.example/projections/employee/employeetest"
)

func TestGivenARaiseRecordedLaterWhenAnEmployeeIsReadThenTheAnswerIsThatOfItsTime(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	sally, _ := c.Hire("1", uuid.New(), "2025-01-01", "6000")
	c.On("2025-03-15").Tell(sally, *employeetest.Pays("6500", "2025-02-15"))
	s := open(t, c, sally, employeetest.Instant("2025-04-01"))

	for _, want := range []struct{ known, valid, pay string }{
		{"2025-01-25", "2025-01-25", "6000"},
		{"2025-02-25", "2025-01-25", "6000"},
		{"2025-03-25", "2025-01-25", "6000"},
		{"2025-02-25", "2025-02-25", "6000"},
		{"2025-03-25", "2025-02-25", "6500"},
		{"2025-03-25", "2025-03-25", "6500"},
	} {
		got := s.ok(access.Payroll, fmt.Sprintf("/v1/employees/%s?valid_at=%s&known_at=%sT12:00:00Z", sally, want.valid, want.known))
		require.Equal(t, want.pay, got.at("facts", "compensation", "amount", "amount"), "known %s, valid %s", want.known, want.valid)
		require.Equal(t, want.valid, got.at("valid_at"))
		require.Equal(t, "UTC", got.at("zone"))
		require.Empty(t, got.header.Get("ETag"), "time travel has no ETag")

		position := fmt.Sprintf("%d/%[1]d", c.Known(want.known))
		require.Equal(t, position, got.at("position"))
		byPosition := s.ok(access.Payroll, fmt.Sprintf("/v1/employees/%s?valid_at=%s&known_at=%s", sally, want.valid, url.QueryEscape(position)))
		require.Equal(t, got.at("facts"), byPosition.at("facts"))
	}
	require.Equal(t, http.StatusNotFound, s.get(access.Payroll, fmt.Sprintf("/v1/employees/%s?known_at=2025-01-01T00:00:00Z", sally)).status)
	require.Equal(t, http.StatusNotFound, s.get(access.Payroll, "/v1/employees/"+uuid.NewString()).status)
	now := s.ok(access.Payroll, "/v1/employees/"+sally.String())
	require.Equal(t, `"3"`, now.header.Get("ETag"))
	require.EqualValues(t, 3, now.at("revision"))
	require.Equal(t, "2025-04-01", now.at("valid_at"))
}

func TestGivenABusyYearWhenHistoryIsReadThenItIsAGridOfValidAndRecordedTime(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	sally, hired := c.Hire("1", uuid.New(), "2025-01-01", "6000")
	raise := c.On("2025-03-15").Tell(sally, *employeetest.Pays("6500", "2025-02-15"))
	s := open(t, c, sally, employeetest.Instant("2025-04-01"))

	got := s.ok(access.Payroll, "/v1/employees/"+sally.String()+"/history?attribute=compensation")

	require.Len(t, got.at("events"), 2)
	require.Equal(t, []any{hired[2].String(), raise[0].String()}, []any{got.at("events", 0, "event_id"), got.at("events", 1, "event_id")})
	require.Len(t, got.at("rows"), 2)
	cell := func(row, column int) any { return got.at("rows", row, "values", column, "amount", "amount") }
	require.Equal(t, []any{"2025-01-01", "2025-02-15"}, []any{got.at("rows", 0, "valid_from"), got.at("rows", 0, "valid_to")})
	require.Equal(t, []any{"2025-02-15", nil}, []any{got.at("rows", 1, "valid_from"), got.at("rows", 1, "valid_to")})
	require.Equal(t, []any{"6000", "6000"}, []any{cell(0, 0), cell(0, 1)})
	require.Equal(t, []any{"6000", "6500"}, []any{cell(1, 0), cell(1, 1)})

	then := s.ok(access.Payroll, "/v1/employees/"+sally.String()+"/history?attribute=compensation&known_at=2025-02-01T00:00:00Z")
	require.Len(t, then.at("events"), 1)
	require.Len(t, then.at("rows"), 1, "days were not told apart yet")

	facts := s.ok(access.Payroll, "/v1/employees/"+sally.String()+"/facts?attribute=compensation")
	require.Len(t, facts.at("items"), 3)
	require.Equal(t, raise[0].String(), facts.at("items", 0, "superseded_by"))
	before := s.ok(access.Payroll, "/v1/employees/"+sally.String()+"/facts?attribute=compensation&known_at=2025-02-01T00:00:00Z")
	require.Len(t, before.at("items"), 1)
	require.Nil(t, before.at("items", 0, "superseded_by"), "what came later was not known")
	require.Len(t, s.ok(access.Payroll, "/v1/employees/"+sally.String()+"/facts?attribute=compensation&valid_at=2025-01-15").at("items"), 2)
}

func TestGivenARescindedHireWhenItIsReadThenTheRecordIsGoneAndTheHistoryStands(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	sally, hired := c.Hire("1", uuid.New(), "2025-01-01", "6000")
	c.On("2025-02-01").Tell(sally, employee.Rescind{RescindsEventID: hired[0], ReasonText: "another person"})
	s := open(t, c, sally, employeetest.Instant("2025-04-01"))
	path := "/v1/employees/" + sally.String()

	require.Equal(t, http.StatusNotFound, s.get(access.HR, path).status)
	s.ok(access.HR, path+"?known_at=2025-01-31T00:00:00Z")
	s.ok(access.HR, path+"/history")
	require.Empty(t, s.ok(access.HR, "/v1/employees").at("items"))
}

func TestGivenManyEmployeesWhenTheyAreListedThenPagesFiltersAndOrderHold(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	sales, tools := uuid.New(), uuid.New()
	var all []string
	for i := range 7 {
		no := fmt.Sprintf("E-%02d", i)
		c.Hire(no, []uuid.UUID{sales, tools}[i%2], fmt.Sprintf("2025-01-%02d", 20-i), "5000")
		all = append(all, no)
	}
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-04-01"))

	require.Equal(t, all, s.walk(access.HR, "/v1/employees?limit=3"))
	require.Equal(t, all, s.walk(access.HR, "/v1/employees?limit=2&sort=-hire_date"))
	require.Equal(t, []string{"E-06", "E-05", "E-04"}, s.walk(access.HR, "/v1/employees?sort=-employee_no")[:3])
	require.ElementsMatch(t, all, s.walk(access.HR, "/v1/employees?limit=2&sort=job_title"), "each once where all have one title")
	require.Equal(t, []string{"E-03"}, s.walk(access.HR, "/v1/employees?employee_no=e-03"))
	require.Equal(t, []string{"E-01", "E-03", "E-05"}, s.walk(access.HR, "/v1/employees?org_unit="+tools.String()))
	require.Equal(t, []string{"E-04"}, s.walk(access.HR, "/v1/employees?q=SALLYe-04"))
	require.Len(t, s.walk(access.HR, "/v1/employees?q=canary-FAMILY"), 7)
	require.Empty(t, s.walk(access.HR, "/v1/employees?q=nobody%25"))
	require.Empty(t, s.walk(access.HR, "/v1/employees?valid_at=2025-01-01"))
	require.Equal(t, []string{"E-06"}, s.walk(access.HR, "/v1/employees?valid_at=2025-01-14"))
	require.Empty(t, s.walk(access.HR, "/v1/employees?status=retired"))

	for path, status := range map[string]int{
		"/v1/employees?sort=salary": http.StatusUnprocessableEntity, "/v1/employees?color=red": http.StatusBadRequest,
		"/v1/employees?cursor=nonsense": http.StatusBadRequest, "/v1/employees?limit=0": http.StatusUnprocessableEntity,
		"/v1/employees?valid_at=yesterday": http.StatusBadRequest, "/v1/employees?known_at=2125-01-01T00:00:00Z": http.StatusBadRequest,
		"/v1/employees/7": http.StatusUnprocessableEntity,
	} {
		require.Equal(t, status, s.get(access.HR, path).status, path)
	}
	require.Equal(t, http.StatusForbidden, s.get(access.Auditor, "/v1/employees?q=sally").status, "who sees no names cannot search them")
}

// walk follows a list's pages and returns the employee numbers in their order.
func (s *companySite) walk(role access.Role, path string) (numbers []string) {
	s.t.Helper()
	for cursor := ""; ; {
		got := s.ok(role, path+cursor)
		items, _ := got.at("items").([]any)
		for i := range items {
			numbers = append(numbers, got.at("items", i, "employee_no").(string))
		}
		next, more := got.at("next").(string)
		if !more {
			return numbers
		}
		cursor = "&cursor=" + next
	}
}

func TestGivenEachRoleWhenAnEmployeeIsReadThenItSeesWhatTheTableSays(t *testing.T) {
	t.Parallel()
	c := employeetest.BusyYear(t)
	hugo, sally := domain.Derive("employee", "2"), domain.Derive("employee", "1")
	s := open(t, c, hugo, employeetest.Instant("2025-04-02"))
	shown := map[access.Role]struct{ own, other, names, pay, ownPay bool }{
		access.Employee:   {own: true, ownPay: true},
		access.HR:         {own: true, other: true, names: true},
		access.Payroll:    {own: true, other: true, names: true, pay: true, ownPay: true},
		access.Auditor:    {own: true, other: true},
		access.Integrator: {own: true, other: true},
		access.Admin:      {own: true, other: true, names: true, pay: true, ownPay: true},
	}
	for _, role := range access.Roles {
		want := shown[role]
		own, other := s.get(role, "/v1/employees/"+hugo.String()), s.get(role, "/v1/employees/"+sally.String())
		require.Equal(t, want.own, own.status == http.StatusOK, "%s, own: %s", role, own.raw)
		require.Equal(t, want.other, other.status == http.StatusOK, "%s, other: %s", role, other.raw)
		require.Equal(t, want.ownPay, own.at("facts", "compensation", "amount", "amount") != nil, "%s, own pay", role)
		if !want.other {
			require.Equal(t, http.StatusForbidden, other.status)
			require.Equal(t, http.StatusForbidden, s.get(role, "/v1/employees/"+uuid.NewString()).status, "unknown and forbidden look alike")
			require.Equal(t, http.StatusForbidden, s.get(role, "/v1/employees/"+sally.String()+"/history").status)
			continue
		}
		require.Equal(t, want.names, other.at("facts", "legal_name", "given") != nil, role)
		require.Equal(t, want.pay, other.at("facts", "compensation", "amount", "amount") != nil, role)
		require.Equal(t, want.names, strings.Contains(s.ok(role, "/v1/employees").raw, "Sally"), role)
		require.NotContains(t, other.raw, `"personal"`, "no reference reaches a caller")
		if !want.names {
			require.Equal(t, map[string]any{"masked": true}, other.at("facts", "legal_name"))
		}
	}
	require.Equal(t, []string{"2"}, s.walk(access.Employee, "/v1/employees"), "an employee's list is the own record")
}

func TestGivenAProbationWhenAnEmployeeIsReadThenItIsWhatWasDecidedByThen(t *testing.T) {
	t.Parallel()
	c := employeetest.BusyYear(t)
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-04-04"))
	who := "/v1/employees/" + domain.Derive("employee", "4").String()

	before := s.ok(access.HR, who+"?valid_at=2026-02-15")
	require.Equal(t, "2026-02-28", before.at("facts", "employment", "probation_end"))
	require.Nil(t, before.at("facts", "probation"))
	require.Equal(t, map[string]any{"status": "extended", "probation_end": "2026-05-31", "reason_code": "absence"},
		s.ok(access.HR, who+"?valid_at=2026-02-16").at("facts", "probation"))
	require.Equal(t, map[string]any{"status": "confirmed"}, s.ok(access.HR, who+"?valid_at=2026-05-15").at("facts", "probation"))
	require.Equal(t, "extended", s.ok(access.HR, who+"?valid_at=2026-05-15&known_at=2025-04-02T23:00:00Z").at("facts", "probation", "status"))
	require.Len(t, s.ok(access.HR, who+"/facts?attribute=probation").at("items"), 5)
}

func TestGivenErasedNamesWhenAnEmployeeIsReadThenTheyAreToldErased(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	sally, _ := c.Hire("1", uuid.New(), "2025-01-01", "6000")
	require.NoError(t, c.Keys.Destroy(domain.Derive(sally.String(), "subject"), "identity"))
	s := open(t, c, sally, employeetest.Instant("2025-04-01"))

	got := s.ok(access.HR, "/v1/employees/"+sally.String())

	require.Equal(t, true, got.at("facts", "legal_name", "erased"))
	require.Equal(t, "canary-work@example.org", got.at("facts", "work_email"))
}

func TestGivenAnOrganisationWhenItIsReadThenNamesAndZoneAreThoseOfTheTime(t *testing.T) {
	t.Parallel()
	s := open(t, employeetest.BusyYear(t), uuid.Nil, employeetest.Instant("2025-04-02"))

	now := s.ok(access.Finance, "/v1/organisation")
	require.Equal(t, []any{"Harbour Works", "Pacific/Auckland", "2025-04-03"}, []any{now.at("name"), now.at("zone"), now.at("valid_at")})
	require.Equal(t, "Harbour GmbH", now.at("legal_entities", 0, "name"))
	require.Equal(t, "Berlin", now.at("locations", 0, "name"))
	before := s.ok(access.Finance, "/v1/organisation?known_at=2025-03-31T00:00:00Z")
	require.Equal(t, []any{"Harbour", "Europe/Berlin"}, []any{before.at("name"), before.at("zone")})

	units := s.ok(access.Finance, "/v1/org-units?valid_at=2025-04-01&limit=1")
	require.Equal(t, "Sales", units.at("items", 0, "name"))
	next := s.ok(access.Finance, "/v1/org-units?valid_at=2025-04-01&limit=1&cursor="+units.at("next").(string))
	require.Equal(t, "Tool Design", next.at("items", 0, "name"))
	require.Nil(t, next.at("next"))

	path := "/v1/org-units/" + domain.Derive("tools").String()
	unit := s.ok(access.Finance, path)
	require.Equal(t, []any{"Tool Design", nil, `"3"`}, []any{unit.at("name"), unit.at("parent"), unit.header.Get("ETag")})
	unit = s.ok(access.Finance, path+"?valid_at=2025-02-01")
	require.Equal(t, []any{"Tools", domain.Derive("sales").String(), ""}, []any{unit.at("name"), unit.at("parent"), unit.header.Get("ETag")})
	require.Nil(t, s.ok(access.Finance, path+"?valid_at=2025-07-01").at("name"), "closed")
	require.Equal(t, http.StatusNotFound, s.get(access.Finance, path+"?known_at=2024-12-31T00:00:00Z").status)
	require.Equal(t, http.StatusNotFound, s.get(access.Finance, "/v1/org-units/"+uuid.NewString()).status)
	require.Equal(t, `"3"`, s.ok(access.Finance, "/v1/organisation").header.Get("ETag"))
	require.Empty(t, s.ok(access.Finance, "/v1/organisation?valid_at=2025-04-01").header.Get("ETag"))

	heads := s.ok(access.Finance, "/v1/reports/headcount?valid_at=2025-02-01")
	require.EqualValues(t, 2, heads.at("total"))
	require.Equal(t, []any{"Sales", "Tools"}, []any{heads.at("by_department", 0, "department"), heads.at("by_department", 1, "department")})
	then := s.ok(access.Finance, "/v1/reports/headcount?valid_at=2025-02-01&known_at=2025-01-10T00:00:00Z")
	require.EqualValues(t, 3, then.at("total"), "one hire was not yet rescinded")
	none := s.ok(access.Finance, "/v1/reports/headcount?known_at=2020-01-01T00:00:00Z")
	require.EqualValues(t, 0, none.at("total"))
	require.Equal(t, []any{}, none.at("by_department"))
}
