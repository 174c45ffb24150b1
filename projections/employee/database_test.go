package employee_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/projections"
	"daybook.example/projections/postgres/postgrestest"
)

// database is an empty one with the tables of a projection.
func database(t testing.TB, p projections.Projection) *pgxpool.Pool {
	t.Helper()
	pool := postgrestest.New(t)
	require.NoError(t, projections.Prepare(context.Background(), pool, uuid.New(), p))
	return pool
}
