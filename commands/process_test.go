package commands

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/domain/process"
)

// callForAPerson lets an instance of manager-leaves do so.
func (s *site) callForAPerson(id uuid.UUID) {
	s.t.Helper()
	r := creating(request("input"))
	r.Kind = domain.Process
	input := process.InputReceived{Source: process.Source{EventID: uuid.New(), Stream: "employee-" + id.String()}, Type: "employee-retired", Version: 1}
	_, err := s.handlers.Processes.Handle(s.t.Context(), process.Stream("manager-leaves", id), r, process.Receive{Input: input, React: func(process.State) []process.Event {
		return []process.Event{process.HumanNeeded{Code: "no-successor", EmployeeID: id}}
	}})
	require.NoError(s.t, err)
}

func TestAPersonStepsIntoAProcess(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := uuid.New()
	path := "/v1/processes/manager-leaves/" + id.String()
	absent := s.post(access.Operator, path+"/retry", `{"reason_code":"again"}`)
	require.Equal(t, 404, absent.status)
	require.Contains(t, absent.Detail, "GET /v1/processes lists them")

	// Given an instance that called for a person
	s.callForAPerson(id)

	// Then what a person says is on record under their name, once
	retried := s.post(access.Operator, path+"/retry", `{"reason_code":"again"}`, "Idempotency-Key", "a")
	require.Equal(t, 200, retried.status, retried.raw)
	require.Equal(t, id.String(), retried.ID)
	require.Equal(t, retried.Events, s.post(access.Operator, path+"/retry", `{"reason_code":"again"}`, "Idempotency-Key", "a").Events)
	require.Empty(t, s.post(access.Operator, path+"/retry", `{"reason_code":"again"}`).Events, "nothing is left to retry")
	require.Len(t, s.post(access.Admin, path+"/takeover", `{"reason_code":"by-hand"}`).Events, 1)
	require.Equal(t, "taken-over", s.post(access.Operator, path+"/retry", `{"reason_code":"again"}`).Code)
	events := s.events(process.Stream("manager-leaves", id))
	require.JSONEq(t, `{"by":"p-operator","reason_code":"again"}`, string(events[2].Data))
	require.JSONEq(t, `{"by":"p-admin","reason_code":"by-hand"}`, string(events[3].Data))

	// And the wire cannot say who it was, nor name what is no process
	require.Equal(t, 422, s.post(access.Operator, path+"/retry", `{"reason_code":"again","by":"p-9"}`).status)
	require.Equal(t, "code-invalid", s.post(access.Operator, path+"/takeover", `{"reason_code":"Ms Smith is ill"}`).Code)
	for _, odd := range []string{"/v1/processes/manager-leaves/x", "/v1/processes/Manager/" + id.String(), "/v1/processes/-/" + id.String()} {
		require.Equal(t, 422, s.post(access.Operator, odd+"/retry", `{"reason_code":"again"}`).status, odd)
	}
}
