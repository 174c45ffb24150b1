package readapi_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"daybook.example/domain/access"
	"daybook.example/projections/employee/employeetest"
)

// letConnect opens the database for connections, or closes it and ends those there are.
func (s *companySite) letConnect(allowed bool) {
	s.t.Helper()
	beside := s.pool.Config().ConnConfig.Copy()
	name := beside.Database
	beside.Database = "postgres"
	c, err := pgx.ConnectConfig(context.Background(), beside)
	require.NoError(s.t, err)
	defer c.Close(context.Background())
	_, err = c.Exec(context.Background(), fmt.Sprintf("alter database %s allow_connections %t", pgx.Identifier{name}.Sanitize(), allowed))
	require.NoError(s.t, err)
	s.pool.Reset()
}

func TestGivenADatabaseThatGoesAwayWhenItIsReadThenTheAnswerSaysTryAgainUntilItIsBack(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	c.Hire("1", uuid.New(), "2025-01-02", "6000")
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-04-01"))

	s.letConnect(false)
	paths := []string{"/v1/reports/headcount", "/v1/employees", "/v1/projections", "/v1/books", "/v1/audit/events"}
	for _, path := range paths {
		got := s.get(access.Admin, path)
		require.Equal(t, http.StatusServiceUnavailable, got.status, path+got.raw)
		require.Equal(t, "database-unavailable", got.at("code"), path)
		require.Equal(t, "1", got.header.Get("Retry-After"), path)
	}

	s.letConnect(true)
	for _, path := range paths {
		require.Equal(t, http.StatusOK, s.get(access.Admin, path).status, path)
	}
}

func TestGivenALogThatGoesAwayWhenItIsNeededThenNobodyHangs(t *testing.T) {
	t.Parallel()
	c := employeetest.Found(t)
	c.Hire("1", uuid.New(), "2025-01-02", "6000")
	s := open(t, c, uuid.Nil, employeetest.Instant("2025-04-01"))

	s.node.Stop()
	for _, path := range []string{"/v1/projections", "/v1/events", "/v1/reports/headcount?known_at=2025-03-01T00:00:00Z"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			got := s.get(access.Admin, path)
			require.Equal(t, http.StatusServiceUnavailable, got.status, got.raw)
			require.Equal(t, "event-store-unavailable", got.at("code"))
			require.Equal(t, "1", got.header.Get("Retry-After"))
			require.Less(t, time.Since(began), 15*time.Second)
		})
	}
	require.Equal(t, http.StatusOK, s.get(access.Admin, "/v1/reports/headcount").status, "the tables still answer")
}
