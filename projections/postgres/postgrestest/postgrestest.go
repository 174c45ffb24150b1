// Package postgrestest gives each test a database of its own on a real Postgres.
package postgrestest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/projections/postgres"
)

// patience is how long a stop or a drop may take.
const patience = 20 * time.Second

// connectionsMax is how many connections a test may hold at once.
const connectionsMax = 8

// cluster is the cluster while a test of this process uses it.
var cluster struct {
	sync.Mutex
	shared *postgres.Shared
	users  int
}

// databases numbers the databases of this process.
var databases atomic.Int64

// New makes an empty database that the test's end drops. Where Postgres is not
// installed the test fails and says what to install.
func New(t testing.TB) *pgxpool.Pool {
	t.Helper()
	shared, name := create(t)
	return connect(t, shared.URL(name))
}

// Pair is New, and a second pool of the role for dashboards.
func Pair(t testing.TB) (program, report *pgxpool.Pool) {
	t.Helper()
	shared, name := create(t)
	url, err := shared.ReportURL(name)
	require.NoError(t, err)
	return connect(t, shared.URL(name)), connect(t, url)
}

func create(t testing.TB) (*postgres.Shared, string) {
	t.Helper()
	shared := use(t)
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), databases.Add(1))
	require.NoError(t, shared.Create(t.Context(), name))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, shared.Drop(ctx, name))
	})
	return shared, name
}

func connect(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	config.MaxConns = connectionsMax
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// use opens the cluster for the first test at a time, and gives it up after the
// last.
func use(t testing.TB) *postgres.Shared {
	t.Helper()
	cluster.Lock()
	defer cluster.Unlock()
	if cluster.users == 0 {
		shared, err := postgres.OpenShared(t.Context())
		require.NoError(t, err)
		cluster.shared = shared
	}
	cluster.users++
	t.Cleanup(func() { release(t) })
	return cluster.shared
}

func release(t testing.TB) {
	cluster.Lock()
	defer cluster.Unlock()
	if cluster.users--; cluster.users > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, cluster.shared.Close(ctx))
}
