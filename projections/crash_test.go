package projections_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore/eventstoretest"
	"daybook.example/projections/postgres"
	"daybook.example/projections/postgres/postgrestest"
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

// killServer kills the server as a power cut would: nothing is written any more.
func killServer(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	var text string
	require.Eventually(t, func() bool {
		return pool.QueryRow(t.Context(), "select pg_read_file('postmaster.pid')").Scan(&text) == nil
	}, patience, tick)
	line, _, _ := strings.Cut(text, "\n")
	pid, err := strconv.Atoi(line)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
}

func TestADatabaseThatIsKilledUnderLoadLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	const kills, appends = 2, 60
	h := open(t)
	h.pool = own(t)
	runners, _ := h.start(counting{name: "counting"})
	for range kills {
		var appending sync.WaitGroup
		for w := range 2 {
			appending.Go(func() {
				for range appends {
					h.put(fmt.Sprintf("claim-test-%d", w), taken())
				}
			})
		}
		time.Sleep(20 * time.Millisecond) // somewhere in the middle
		killServer(t, h.pool)
		appending.Wait()
	}
	_, last := h.put("claim-test-0", taken())
	h.wait(runners[0], last)
	require.Equal(t, kills*2*appends+1, h.tallied("counting"))

	rebuilt := &house{t: t, node: h.node, Client: h.Client, pool: postgrestest.New(t), log: h.log}
	again, _ := rebuilt.start(counting{name: "counting"})
	rebuilt.wait(again[0], last)
	const everything = "select md5(string_agg(x::text, ',' order by x::text collate \"C\"))::uuid::text from (select to_jsonb(t) from rm_counting_v1.tally t union all select to_jsonb(l) from rm_counting_v1.label_position l) rows(x)"
	require.Equal(t, word(t, rebuilt.pool, everything), word(t, h.pool, everything))
}

func word(t *testing.T, pool *pgxpool.Pool, sql string) (text string) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), sql).Scan(&text))
	return text
}
