package readapi_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/projections/audit"
	model "daybook.example/projections/employee"
	"daybook.example/projections/employee/employeetest"
	"daybook.example/projections/journal"
	"daybook.example/projections/postgres/postgrestest"
	"daybook.example/projections/process"
	"daybook.example/readapi"
)

// A companySite is a company in a real log, projected into a real Postgres, with
// the read API before it and a token for each role.
type companySite struct {
	*employeetest.Company
	t     testing.TB
	url   string
	self  uuid.UUID // the employee whom the token of role employee names
	now   time.Time
	node  *eventstoretest.Node
	store *eventstore.Client
	pool  *pgxpool.Pool
}

var quiet = slog.New(slog.DiscardHandler)

// open puts the read API before a company. The token of role employee names self.
func open(t testing.TB, c *employeetest.Company, self uuid.UUID, now time.Time) *companySite {
	t.Helper()
	node := eventstoretest.Start(t)
	store := node.Connect()
	c.Append(store)
	pool := postgrestest.New(t)
	c.Project(pool, model.New(c.Keys), 512)
	c.Project(pool, journal.New(), 512)
	c.Project(pool, audit.New(), 512)
	c.Project(pool, process.New(), 512)
	s := &companySite{Company: c, t: t, self: self, now: now, node: node, store: store, pool: pool}
	return s.serve(pool)
}

// serve puts the read API before the company's tables as a pool reaches them.
func (s *companySite) serve(pool *pgxpool.Pool) *companySite {
	s.t.Helper()
	tokens := edge.NewTokens()
	for i, role := range access.Roles {
		require.NoError(s.t, tokens.Apply(issued(s.t, uint64(i), role, s.self)))
	}
	api := edge.NewAPI(edge.Options{Tokens: tokens, LogID: s.LogID, Version: "test", Logger: quiet})
	readapi.Register(api, readapi.Options{
		Pool: pool, Store: s.store.ReadOnly(), Keys: s.Keys, Logger: quiet, Clock: func() time.Time { return s.now },
		Heartbeat: 50 * time.Millisecond,
	})
	server := httptest.NewServer(api)
	s.t.Cleanup(func() { api.Stop(); server.Close() })
	served := *s
	served.url = server.URL
	return &served
}

// tokenOf is the token of a role.
func tokenOf(role access.Role) string { return "daybook_test-" + string(role) }

// issued is the event by which a role's token is known.
func issued(t testing.TB, revision uint64, role access.Role, self uuid.UUID) eventstore.Recorded {
	t.Helper()
	event := access.TokenIssued{
		TokenID: uuid.New(), Hash: edge.HashToken(tokenOf(role)), Role: role, Principal: "p-" + string(role),
		EmployeeID: self, Expires: time.Now().Add(time.Hour), IssuedBy: "test",
	}
	data, err := domain.Encode(event)
	require.NoError(t, err)
	metadata, err := json.Marshal(domain.Metadata{SchemaVersion: 1})
	require.NoError(t, err)
	return eventstore.Recorded{ID: uuid.New(), Stream: access.Stream, Revision: revision, Type: event.EventType(), Data: data, Metadata: metadata}
}

// A reply is what came back.
type reply struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

// get asks for a path as a role, with pairs of header names and values.
func (s *companySite) get(role access.Role, path string, header ...string) reply {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	require.NoError(s.t, err)
	r.Header.Set("Authorization", "Bearer "+tokenOf(role))
	for pair := range slices.Chunk(header, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	got := reply{status: response.StatusCode, header: response.Header, raw: string(raw)}
	require.NoError(s.t, json.Unmarshal(raw, &got.body), got.raw)
	return got
}

// ok requires an answer.
func (s *companySite) ok(role access.Role, path string) reply {
	s.t.Helper()
	got := s.get(role, path)
	require.Equal(s.t, http.StatusOK, got.status, "%s as %s: %s", path, role, got.raw)
	return got
}

// at is the member of an answer at a path; list items by index.
func (r reply) at(path ...any) any {
	var here any = r.body
	for _, step := range path {
		switch step := step.(type) {
		case string:
			object, ok := here.(map[string]any)
			if !ok {
				return nil
			}
			here = object[step]
		case int:
			list, ok := here.([]any)
			if !ok || step >= len(list) {
				return nil
			}
			here = list[step]
		}
	}
	return here
}
