package commands

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/domain/operation"
)

// What a process with the tables would say of them.
const (
	halted  = "audit_log"
	running = "journal_line"
)

var haltedAt = uuid.MustParse("6f1e0000-0000-4000-8000-00000000000a")

func haltedIn(_ context.Context, projection string) (uuid.UUID, error) {
	switch projection {
	case halted:
		return haltedAt, nil
	case running:
		return uuid.Nil, nil
	}
	return uuid.Nil, &domain.Error{Kind: domain.NotFound, Code: "projection-unknown", Message: "the read models are: audit_log, journal_line"}
}

func TestAnEventIsWaivedOnRecordAndOnlyTheOneThatTheReadModelIsHaltedAt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	body := func(event uuid.UUID) string {
		return `{"event_id":"` + event.String() + `","reason":"posted twice by a test"}`
	}
	const path = "/v1/projections/" + halted + "/waivers"

	for _, c := range []struct {
		path, body, code, field string
		status                  int
	}{
		{"/v1/projections/nothing/waivers", body(haltedAt), "projection-unknown", "", http.StatusNotFound},
		{"/v1/projections/" + running + "/waivers", body(haltedAt), "not-halted-at", "/event_id", http.StatusUnprocessableEntity},
		{path, body(uuid.New()), "not-halted-at", "/event_id", http.StatusUnprocessableEntity},
		{path, `{"event_id":"` + haltedAt.String() + `"}`, "required", "/reason", http.StatusUnprocessableEntity},
		{path, `{"projection":"journal_line"}`, "unknown-field", "/projection", http.StatusUnprocessableEntity},
	} {
		got := s.post(access.Operator, c.path, c.body)
		require.Equal(t, c.status, got.status, got.raw)
		require.Equal(t, []string{c.code, c.field}, []string{got.Code, got.Field}, got.raw)
	}
	require.Equal(t, http.StatusOK, s.post(access.Operator, path+"?dry_run=true", body(haltedAt)).status)
	require.False(t, s.waived(), "a dry run leaves nothing")

	got := s.post(access.Operator, path, body(haltedAt), "Idempotency-Key", "1")
	require.Equal(t, http.StatusCreated, got.status, got.raw)
	require.Equal(t, haltedAt.String(), got.ID)
	require.True(t, s.waived())
	recorded := s.events(operation.Stream)
	require.Len(t, recorded, 1)
	require.JSONEq(t, `{"projection":"audit_log","event_id":"`+haltedAt.String()+`","reason":"posted twice by a test","operator":"p-operator"}`, string(recorded[0].Data))

	again := s.post(access.Admin, path, body(haltedAt))
	require.Equal(t, http.StatusOK, again.status, "there is nothing left to do: %s", again.raw)
	require.Empty(t, again.Events)
}

func (s *site) waived() bool {
	s.t.Helper()
	state, _, _, err := s.handlers.Operations.State(s.t.Context(), operation.Stream)
	require.NoError(s.t, err)
	return state.Waived(halted, haltedAt)
}
