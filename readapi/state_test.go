package readapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain/access"
	"daybook.example/domain/operation"
)

// fromNoTables are the reads that no read model answers.
var fromNoTables = []string{"/v1/events", "/v1/projections", "/v1/projections/{name}/waivers"}

// Every read says when its read model stands, and up to where it has come: also
// one that finds nothing, for what it asks about may be behind that.
func TestGivenAReadModelThatStandsWhenItIsReadThenEveryAnswerSaysSo(t *testing.T) {
	t.Parallel()
	c, entry, _ := books(t)
	who, _ := c.Hire("1", uuid.New(), "2025-01-02", "6000")
	s := open(t, c, uuid.Nil, time.Now())
	head, err := s.store.ReadOnly().Head(t.Context())
	require.NoError(t, err)
	read := func(state string, id uuid.UUID, status ...int) {
		for _, path := range readPaths(s) {
			if slices.Contains(fromNoTables, path) {
				continue
			}
			target := strings.NewReplacer("{book}", "main", "{period}", "2025-01", "{entry}", entry.String(), "{id}", id.String(), "{name}", "manager-leaves").Replace(path)
			if strings.HasSuffix(path, "trial-balance") {
				target += "?book=main"
			}
			got := s.get(access.Admin, target)
			require.Contains(t, status, got.status, "%s: %s", target, got.raw)
			require.Equal(t, state, got.header.Get("Daybook-Projection-State"), "%s answers %d", target, got.status)
			require.Equal(t, head.String(), got.header.Get("Daybook-Position"), "%s answers %d", target, got.status)
		}
	}

	read("", who, http.StatusOK, http.StatusNotFound)
	for _, state := range []string{"halted", "paused"} {
		_, err := s.pool.Exec(t.Context(), "update daybook.projection_checkpoint set state = $1", state)
		require.NoError(t, err)
		read(state+"; as-of="+head.String(), who, http.StatusOK, http.StatusNotFound)
		read(state+"; as-of="+head.String(), uuid.New(), http.StatusOK, http.StatusNotFound)
	}
}

func TestGivenAPausedReadModelWhenWhatIsBehindItIsAwaitedThenTheAnswerComesAtOnce(t *testing.T) {
	t.Parallel()
	c, _, _ := books(t)
	s := open(t, c, uuid.Nil, time.Now())
	_, err := s.pool.Exec(t.Context(), "update daybook.projection_checkpoint set state = 'paused', paused_by = 'operator-1', paused_at = now() where name = 'audit_log'")
	require.NoError(t, err)
	began := time.Now()
	got := s.get(access.Auditor, "/v1/audit/events?after=999999999/999999999")
	require.Less(t, time.Since(began), 5*time.Second, "it does not wait for the timeout")
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Equal(t, "read-model-paused", got.at("code"))
	require.Equal(t, "60", got.header.Get("Retry-After"))
	require.Contains(t, got.header.Get("Daybook-Projection-State"), "paused; as-of=")
	require.Equal(t, http.StatusOK, s.get(access.Auditor, "/v1/audit/events").status, "it answers from where it stands")

	list := s.ok(access.Operator, "/v1/projections")
	require.Equal(t, []any{"audit_log", "paused", "operator-1"}, []any{list.at("items", 0, "name"), list.at("items", 0, "state"), list.at("items", 0, "paused_by")})
	ready, err := http.Get(s.url + "/readyz")
	require.NoError(t, err)
	require.NoError(t, ready.Body.Close())
	require.Equal(t, http.StatusOK, ready.StatusCode)
}

func TestGivenWaiversWhenTheyAreListedThenThoseOfTheReadModelAre(t *testing.T) {
	t.Parallel()
	c, _, _ := books(t)
	passed := uuid.New()
	waiver := c.Record(operation.Stream, operation.ProjectionEventWaived{Projection: "audit_log", EventID: passed, Reason: "posted twice", Operator: "operator-1"})
	c.Record(operation.Stream, operation.ProjectionEventWaived{Projection: "journal_line", EventID: uuid.New(), Reason: "posted twice", Operator: "operator-1"})
	s := open(t, c, uuid.Nil, time.Now())

	got := s.ok(access.Auditor, "/v1/projections/audit_log/waivers")
	require.Len(t, got.at("items"), 1)
	require.Equal(t, []any{passed.String(), "posted twice", "operator-1"}, []any{got.at("items", 0, "event_id"), got.at("items", 0, "reason"), got.at("items", 0, "operator")})
	require.Equal(t, waiver.String(), s.ok(access.Auditor, "/v1/audit/events?type=projection-event-waived").at("items", 0, "event_id"), "auditors see it among all events")
	require.Empty(t, s.ok(access.Operator, "/v1/projections/employee_fact/waivers").at("items"))
	unknown := s.get(access.Operator, "/v1/projections/nothing/waivers")
	require.Equal(t, http.StatusNotFound, unknown.status)
	require.Contains(t, unknown.at("detail"), "audit_log, employee_fact, journal_line")
}
