package readapi_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain/access"
	"daybook.example/domain/process"
	"daybook.example/projections/employee/employeetest"
	model "daybook.example/projections/process"
)

func TestGivenInstancesOfProcessesWhenTheyAreListedThenPagesAndFiltersHold(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	var ids []string
	for i := range 5 {
		id := uuid.UUID{0: byte(i + 1), 6: 0x40, 8: 0x80}
		ids = append(ids, id.String())
		name := []string{"manager-leaves", "probation-ends"}[i/3]
		c.Record(process.Stream(name, id), process.InputReceived{Source: process.Source{EventID: id, Stream: "employee-" + id.String()}, Type: "employee-retired", Version: 1})
		if i == 1 {
			c.Record(process.Stream(name, id), process.HumanNeeded{Code: "no-successor", EmployeeID: id})
		}
	}
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-04-01"))
	c.Project(s.pool, model.New(), 512)
	walk := func(path string) (found []string) {
		for next := path; ; {
			page := s.ok(access.HR, next)
			for _, item := range page.at("items").([]any) {
				found = append(found, item.(map[string]any)["id"].(string))
			}
			cursor, more := page.at("next").(string)
			if !more {
				return found
			}
			next = path + "&cursor=" + cursor
		}
	}
	require.Equal(t, ids, walk("/v1/processes?limit=2"))
	require.Equal(t, ids[3:], walk("/v1/processes?limit=1&name=probation-ends"))
	require.Equal(t, ids[1:2], walk("/v1/processes?state=needs-human"))
	require.Empty(t, walk("/v1/processes?state=taken-over"))
	require.Equal(t, http.StatusBadRequest, s.get(access.HR, "/v1/processes?known_at=2025-01-01T00:00:00Z").status)
	require.Equal(t, http.StatusUnprocessableEntity, s.get(access.HR, "/v1/processes?state=odd").status)

	one := s.ok(access.Operator, "/v1/processes/manager-leaves/"+ids[1])
	require.Equal(t, `"1"`, one.header.Get("ETag"))
	require.Equal(t, "no-successor", one.at("needs", 0, "code"))
	require.Equal(t, ids[1], one.at("needs", 0, "employee_id"))
	require.Equal(t, "process-human-needed", one.at("history", 1, "event_type"))
	require.Equal(t, "no-successor", one.at("history", 1, "data", "code"))
	require.Equal(t, []any{}, one.at("commands"))
	unknown := s.get(access.Operator, "/v1/processes/probation-ends/"+ids[1])
	require.Equal(t, http.StatusNotFound, unknown.status)
	require.Equal(t, "process-unknown", unknown.at("code"))
}
