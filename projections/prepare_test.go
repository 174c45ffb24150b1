package projections_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/projections"
	"daybook.example/projections/postgres/postgrestest"
	"daybook.example/projections/projtest"
)

func run(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql)
	require.NoError(t, err)
}

func number(t *testing.T, pool *pgxpool.Pool, sql string) (n int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), sql).Scan(&n))
	return n
}

func TestDashboardsSeeTheViewsAndNotTheTables(t *testing.T) {
	t.Parallel()
	program, report := postgrestest.Pair(t)
	require.NoError(t, projections.Prepare(t.Context(), program, projtest.LogID, counting{name: "counting"}))
	require.Zero(t, number(t, report, "select count(*) from counting"))
	for _, hidden := range []string{"rm_counting_v1.tally", "rm_counting_v1.label_position", "daybook.projection_checkpoint"} {
		_, err := report.Exec(t.Context(), "select * from "+hidden)
		require.ErrorContains(t, err, "permission denied", hidden)
	}
}

func TestPreparingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	var processes sync.WaitGroup
	for range 3 {
		processes.Go(func() {
			require.NoError(t, projections.Prepare(t.Context(), pool, projtest.LogID, counting{name: "counting"}))
		})
	}
	processes.Wait()
	before := number(t, pool, "select 'read.counting'::regclass::oid::bigint")
	require.NoError(t, projections.Prepare(t.Context(), pool, projtest.LogID, counting{name: "counting"}))
	require.Equal(t, before, number(t, pool, "select 'read.counting'::regclass::oid::bigint"), "the view of others is not touched")
}

func TestOtherViewsTakeThePlaceOfTheFormerOnes(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	first := counting{name: "counting", api: `
		create view api.busy as select * from read.counting where n > 1;
		create function api.tallied() returns bigint language sql as 'select count(*) from {schema}.tally'`}
	second := counting{name: "counting", api: "create view api.idle as select * from tally where n < 2"}
	require.NoError(t, projections.Prepare(t.Context(), pool, projtest.LogID, first))
	require.Zero(t, number(t, pool, "select api.tallied()"))

	require.NoError(t, projections.Prepare(t.Context(), pool, projtest.LogID, second))
	require.Zero(t, number(t, pool, "select count(*) from api.idle"))
	require.Equal(t, 2, number(t, pool, "select count(*) from pg_class where relnamespace = 'api'::regnamespace"), "and the one of the checkpoint")
	require.Equal(t, 0, number(t, pool, "select count(*) from pg_proc where pronamespace = 'api'::regnamespace"))
}

func TestViewsOfOthersAreNeverDestroyed(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	require.NoError(t, projections.Prepare(t.Context(), pool, projtest.LogID, counting{name: "counting"}))
	run(t, pool, "create view public.theirs as select n from read.counting")
	err := projections.Prepare(t.Context(), pool, projtest.LogID, counting{name: "counting", api: "create view api.x as select 1 as x"})
	require.ErrorContains(t, err, "view theirs depends on view")
	require.Zero(t, number(t, pool, "select count(*) from public.theirs"))
}

func TestTablesOfOtherSQLAreAnotherVersion(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	require.NoError(t, projections.Prepare(t.Context(), pool, projtest.LogID, counting{name: "counting"}))
	run(t, pool, "update daybook.projection_version set tables = 'other'")
	err := projections.Prepare(t.Context(), pool, projtest.LogID, counting{name: "counting"})
	require.ErrorContains(t, err, "other tables are another version")
}

func TestADatabaseOfAnotherLogIsRefused(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	require.NoError(t, projections.Prepare(t.Context(), pool, projtest.LogID, counting{name: "counting"}))
	err := projections.Prepare(t.Context(), pool, uuid.New(), counting{name: "counting"})
	require.ErrorIs(t, err, projections.ErrOtherLog)
}

func TestADatabaseWithoutRightsIsRefusedWithTheGrantThatIsMissing(t *testing.T) {
	t.Parallel()
	_, report := postgrestest.Pair(t)
	err := projections.Prepare(t.Context(), report, projtest.LogID)
	require.ErrorContains(t, err, "role daybook_report may not create schemas")
	require.ErrorContains(t, err, "grant create on database")
}

// plain is a pool whose role is no superuser and may only create schemas.
func plain(t *testing.T, pool *pgxpool.Pool) *pgxpool.Pool {
	t.Helper()
	config := pool.Config()
	role := "plain_" + config.ConnConfig.Database
	run(t, pool, "create role "+role+"; grant create on database "+config.ConnConfig.Database+" to "+role+
		"; grant execute on function pg_try_advisory_lock(bigint), pg_advisory_xact_lock(bigint) to "+role)
	t.Cleanup(func() {
		_, err := pool.Exec(context.Background(), "drop owned by "+role+" cascade; drop role "+role)
		require.NoError(t, err)
	})
	config.ConnConfig.RuntimeParams["role"] = role
	limited, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(limited.Close)
	return limited
}

func TestTheRightToCreateSchemasIsAllThatIsNeeded(t *testing.T) {
	t.Parallel()
	pool, report := postgrestest.Pair(t)
	limited, events := plain(t, pool), history(t)
	require.NoError(t, projections.Prepare(t.Context(), limited, projtest.LogID, counting{name: "counting"}))
	writer, err := projections.Claim(t.Context(), limited, counting{name: "counting"}, projections.Ownership{Owner: "test"})
	require.NoError(t, err)
	defer writer.Close()
	require.NoError(t, writer.Apply(t.Context(), events, events[11].Position))
	require.Equal(t, 8, number(t, report, "select sum(n) from counting"))
}

func TestAProjectionHasOneOwner(t *testing.T) {
	t.Parallel()
	m := projtest.Empty(t, counting{name: "counting"})
	claim := func() (*projections.Writer, error) {
		return projections.Claim(t.Context(), m.Pool, counting{name: "counting"}, projections.Ownership{Owner: "test"})
	}
	owner, err := claim()
	require.NoError(t, err)
	_, err = claim()
	require.ErrorIs(t, err, projections.ErrHeld)
	owner.Close()
	require.Eventually(t, func() bool {
		next, err := claim()
		if err != nil {
			return false
		}
		next.Close()
		return true
	}, patience, tick)
}
