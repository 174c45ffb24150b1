package projections_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore/eventstoretest"
	"daybook.example/projections/postgres"
	"daybook.example/projections/postgres/postgrestest"
	"daybook.example/test/level"
)

// own is a private Postgres of the test's own, which may be killed, and a pool.
func own(t *testing.T) *pgxpool.Pool {
	t.Helper()
	server, err := postgres.Start(t.Context(), postgres.Options{Dir: t.TempDir(), Logger: eventstoretest.Quiet})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, server.Stop(context.Background()))
		require.NoError(t, server.Remove())
	})
	pool, err := pgxpool.New(t.Context(), server.URL())
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// another is an empty database beside the test's.
func another(t *testing.T) *pgxpool.Pool { return postgrestest.New(t) }

// endings are the ways in which a server ends: as by a power cut, at once, and
// in order.
var endings = []syscall.Signal{syscall.SIGKILL, syscall.SIGQUIT, syscall.SIGINT}

// end ends the server, which its keeper starts again.
func end(t *testing.T, pool *pgxpool.Pool, how syscall.Signal) {
	t.Helper()
	var text string
	require.Eventually(t, func() bool {
		return pool.QueryRow(t.Context(), "select pg_read_file('postmaster.pid')").Scan(&text) == nil
	}, patience, tick)
	line, _, _ := strings.Cut(text, "\n")
	pid, err := strconv.Atoi(line)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, how))
	require.Eventually(t, func() bool { return pool.Ping(t.Context()) != nil || restarted(pool, text) }, patience, time.Millisecond)
}

func restarted(pool *pgxpool.Pool, before string) bool {
	var text string
	return pool.QueryRow(context.Background(), "select pg_read_file('postmaster.pid')").Scan(&text) == nil && text != before
}

// T10. Given a database that is killed or restarted under load, time and again.
// Then the read models are those that a rebuild makes; and they are up to date
// soon after it is back.
func TestADatabaseThatIsKilledUnderLoadLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.pool = own(t)
	runners, stop := h.start(counting{name: "counting"}, listing{"listing"})
	writing, rest := context.WithCancel(t.Context())
	c := &crowd{store: h.Client}
	done := c.write(writing)
	var restarts, catchUps []time.Duration
	for range level.Of(3, 30, 300) {
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond) // somewhere in the middle
		end(t, h.pool, endings[rand.IntN(len(endings))])
		began := time.Now()
		head, err := h.Head(t.Context())
		require.NoError(t, err)
		require.Eventually(t, func() bool { return h.pool.Ping(t.Context()) == nil }, patience, time.Millisecond)
		restarts, began = append(restarts, time.Since(began)), time.Now()
		for _, r := range runners {
			h.wait(r, head)
		}
		catchUps = append(catchUps, time.Since(began))
	}
	rest()
	<-done
	head, err := h.Head(t.Context())
	require.NoError(t, err)
	for _, r := range runners {
		h.wait(r, head)
	}
	stop()
	h.exact(c)
	t.Logf("%d events, %d ends of the database: restart %s, then caught up with what was there within %s", len(c.stored), len(restarts), spread(restarts), spread(catchUps))
}

// spread is the median and the longest.
func spread(all []time.Duration) string {
	slices.Sort(all)
	round := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("p50 %v, max %v", round(all[len(all)/2]), round(all[len(all)-1]))
}

func word(t *testing.T, pool *pgxpool.Pool, sql string) (text string) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), sql).Scan(&text))
	return text
}
