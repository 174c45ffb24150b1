package projections_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/projections"
)

// newer is counting with code of a later version: it counts twice.
type newer struct{ counting }

func (n newer) Spec() projections.Spec {
	spec := n.counting.Spec()
	spec.Version = 2
	spec.Schema = strings.Replace(spec.Schema, "constraint few", "twice int generated always as (2 * n) stored, constraint few", 1)
	spec.Read = "create view read.counting as select stream, n, label, twice from tally"
	return spec
}

// supervise runs what a process does for its read models, until the test's end or
// until stop.
func (h *house) supervise(all ...projections.Projection) (s *projections.Supervisor, stop func()) {
	h.t.Helper()
	require.NoError(h.t, projections.Prepare(h.t.Context(), h.pool, h.log, all...))
	ctx, cancel := context.WithCancel(context.Background())
	s = projections.NewSupervisor(projections.Options{Pool: h.pool, Store: h.Client, Logger: slog.New(slog.NewTextHandler(h.t.Output(), nil))}, all...)
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	h.t.Cleanup(stop)
	return s, stop
}

func (h *house) rebuilder(all ...projections.Projection) *projections.Rebuilder {
	return projections.NewRebuilder(h.pool, h.Reader, all...)
}

// phase waits until a version is in a phase, and returns it.
func (h *house) phase(version int, wanted projections.Phase) (found projections.Version) {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		versions, err := projections.Versions(h.t.Context(), h.pool, "counting")
		require.NoError(h.t, err)
		for _, v := range versions {
			if v.Version == version {
				found = v
			}
		}
		return found.Phase == wanted
	}, 2*patience, tick, "version %d is to be %s", version, wanted)
	return found
}

// reached waits until a version holds what is up to a position.
func (h *house) reached(version int, at projections.Position) {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		var commit uint64
		require.NoError(h.t, h.pool.QueryRow(h.t.Context(), "select commit_pos from daybook.projection_checkpoint where name = 'counting' and version = $1", version).Scan(&commit))
		return commit >= at.Commit
	}, patience, tick)
}

// fill appends n events to some streams and answers the position of the last.
func (h *house) fill(n int) (last projections.Position) {
	h.t.Helper()
	for i := range n {
		_, last = h.put(fmt.Sprintf("claim-test-%d", i%7), taken())
	}
	return last
}

// openWith is a house whose first version of the read model has counted n events.
func openWith(t *testing.T, n int) (*house, counting) {
	t.Helper()
	h, model := open(t), counting{name: "counting"}
	last := h.fill(n)
	h.supervise(model)
	h.reached(1, last)
	return h, model
}

func (h *house) seen() int {
	h.t.Helper()
	return number(h.t, h.pool, "select coalesce(sum(n), 0) from read.counting")
}

func TestAReadModelIsBuiltAnewAndPutInItsPlaceAndBack(t *testing.T) {
	t.Parallel()
	h := open(t)
	model := counting{name: "counting", api: "create function api.tallied() returns bigint language sql as 'select coalesce(sum(n), 0) from {schema}.tally'"}
	h.supervise(model)
	last := h.fill(40)
	b := h.rebuilder(model)
	begun, err := b.Start(t.Context(), "counting", false)
	require.NoError(t, err)
	require.Equal(t, 2, begun.Version)
	again, err := b.Start(t.Context(), "counting", false)
	require.NoError(t, err)
	require.Contains(t, []int{2, 3}, again.Version, "the one that is being built, unless it is built already")

	built := h.phase(2, projections.Ready)
	require.True(t, built.Verified.Same(), built.Verified)
	require.True(t, built.Indexed)
	require.Equal(t, 1, number(t, h.pool, "select count(*) from pg_indexes where schemaname = 'rm_counting_v2' and indexdef like '%(n)'"))
	h.reached(1, last)
	require.Equal(t, 40, h.seen(), "the former is read until the promotion")

	done, err := b.Promote(t.Context(), "counting", projections.PromoteOptions{Version: 2})
	require.NoError(t, err)
	require.Equal(t, [2]int{1, 2}, [2]int{done.From, done.To})
	run(t, h.pool, "truncate rm_counting_v1.tally") // what is read now does not come from there
	require.Equal(t, 40, h.seen())
	require.Equal(t, 40, number(t, h.pool, "select api.tallied()"))
	require.Equal(t, 2, number(t, h.pool, "select version from api.counting_checkpoint"))

	last = h.fill(3)
	h.reached(1, last) // kept up to date
	h.reached(2, last)
	require.Equal(t, 43, h.seen())
	_, err = b.Rollback(t.Context(), "counting")
	require.NoError(t, err)
	require.Equal(t, 3, h.seen(), "version 1, which was emptied")
	require.Equal(t, 1, number(t, h.pool, "select version from api.counting_checkpoint"))
	_, err = b.Promote(t.Context(), "counting", projections.PromoteOptions{Version: 2})
	require.NoError(t, err)
	require.Equal(t, 43, h.seen())

	require.ErrorIs(t, b.Drop(t.Context(), "counting", 2), projections.ErrInUse)
	require.NoError(t, b.Drop(t.Context(), "counting", 1))
	require.Zero(t, number(t, h.pool, "select count(*) from pg_namespace where nspname = 'rm_counting_v1'"))
	last = h.fill(1)
	h.reached(2, last)
	require.Equal(t, 44, h.seen())
}

func TestNewCodeTakesThePlaceOfOldByItself(t *testing.T) {
	t.Parallel()
	h := open(t)
	last := h.fill(30)
	_, stop := h.supervise(counting{name: "counting"})
	h.reached(1, last)
	stop()
	h.supervise(newer{counting{name: "counting"}})
	require.Equal(t, 30, h.seen(), "the old tables are read until the new ones are full")
	h.fill(3)
	h.phase(2, projections.Active)
	require.Equal(t, 66, number(t, h.pool, "select sum(twice) from read.counting"))
	h.phase(1, projections.Kept)
	require.ErrorContains(t, projections.Prepare(t.Context(), h.pool, uuid.New(), newer{counting{name: "counting"}}), "name another database")

	// The old program may still run its own version, and be gone back to.
	_, stop = h.supervise(counting{name: "counting"})
	defer stop()
	last = h.fill(2)
	h.reached(1, last)
	_, err := h.rebuilder(counting{name: "counting"}).Rollback(t.Context(), "counting")
	require.NoError(t, err)
	require.Equal(t, 35, h.seen())
}

func TestAProgramOlderThanTheTablesIsRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	require.NoError(t, projections.Prepare(t.Context(), h.pool, h.log, newer{counting{name: "counting"}}))
	err := projections.Prepare(t.Context(), h.pool, h.log, counting{name: "counting"})
	require.ErrorContains(t, err, "of a newer program")
}

// A build that is cut off at any time goes on where it was, and is exact.
func TestABuildThatIsKilledGoesOn(t *testing.T) {
	t.Parallel()
	h := open(t)
	var slow atomic.Bool
	model := counting{name: "counting", fail: func(projections.Event) error {
		if slow.Load() {
			time.Sleep(time.Millisecond)
		}
		return nil
	}}
	last := h.fill(200)
	_, stop := h.supervise(model)
	h.reached(1, last)
	slow.Store(true)
	_, err := h.rebuilder(model).Start(t.Context(), "counting", false)
	require.NoError(t, err)
	for range 6 {
		time.Sleep(70 * time.Millisecond)
		run(t, h.pool, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and query like '%projection%'")
		stop()
		h.pool.Reset() // of what was killed
		_, stop = h.supervise(model)
	}
	slow.Store(false)
	require.True(t, h.phase(2, projections.Ready).Verified.Same())
	require.Equal(t, 200, number(t, h.pool, "select sum(n) from rm_counting_v2.tally"))
}

// Whoever compares must find what is wrong: rows that somebody changed by hand are
// no reason to promote anything, unless an operator says so.
func TestAVersionThatDiffersWaitsForAWord(t *testing.T) {
	t.Parallel()
	h, model := openWith(t, 20)
	run(t, h.pool, "update rm_counting_v1.tally set n = n + 1 where stream = 'claim-test-0'")
	b := h.rebuilder(model)
	_, err := b.Start(t.Context(), "counting", true)
	require.NoError(t, err)
	found := h.phase(2, projections.Differs)
	require.Contains(t, found.Verified.String(), "other rows than version 1")
	require.Contains(t, found.Verified.String(), "tally (7 rows, before 7)")
	_, err = b.Promote(t.Context(), "counting", projections.PromoteOptions{})
	require.ErrorIs(t, err, projections.ErrNotVerified)
	_, err = b.Promote(t.Context(), "counting", projections.PromoteOptions{Unverified: true})
	require.NoError(t, err)
	require.Equal(t, 20, h.seen())
}

// A table that is gone is mended by a rebuild, without a hand on any table.
func TestADroppedTableIsRebuilt(t *testing.T) {
	t.Parallel()
	h, model := openWith(t, 20)
	run(t, h.pool, "drop table rm_counting_v1.tally cascade")
	h.fill(1)
	b := h.rebuilder(model)
	_, err := b.Start(t.Context(), "counting", false)
	require.NoError(t, err)
	found := h.phase(2, projections.Differs)
	require.NotEmpty(t, found.Verified.String())
	_, err = b.Promote(t.Context(), "counting", projections.PromoteOptions{Unverified: true})
	require.NoError(t, err)
	require.Equal(t, 21, h.seen())
}

func TestWhatOthersMadeOfTheViewsStaysAndKeepsItsVersion(t *testing.T) {
	t.Parallel()
	h, model := openWith(t, 5)
	role := "guest_" + h.pool.Config().ConnConfig.Database
	run(t, h.pool, "create role "+role+"; grant select on read.counting to "+role+"; create view public.theirs as select n from read.counting")
	t.Cleanup(func() {
		_, _ = h.pool.Exec(context.Background(), "drop owned by "+role+"; drop role "+role)
	})
	b := h.rebuilder(model)
	_, err := b.Start(t.Context(), "counting", true)
	require.NoError(t, err)
	h.phase(2, projections.Active)
	require.Equal(t, 1, number(t, h.pool, "select has_table_privilege('"+role+"', 'read.counting', 'select')::int"), "rights on the view go on")
	require.Equal(t, 5, number(t, h.pool, "select sum(n) from public.theirs"))
	err = b.Drop(t.Context(), "counting", 1)
	require.ErrorContains(t, err, "view theirs depends on view")
	run(t, h.pool, "drop view public.theirs")
	require.NoError(t, b.Drop(t.Context(), "counting", 1))
}

func TestAPromotionWaitsForWhoReads(t *testing.T) {
	t.Parallel()
	h, model := openWith(t, 5)
	b := h.rebuilder(model)
	_, err := b.Start(t.Context(), "counting", false)
	require.NoError(t, err)
	h.phase(2, projections.Ready)

	tx, err := h.pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	require.NoError(t, err)
	version := func() (n int) {
		require.NoError(t, tx.QueryRow(t.Context(), "select version from api.counting_checkpoint").Scan(&n))
		return n
	}
	require.Equal(t, 1, version())
	promoted := make(chan error, 1)
	go func() {
		_, err := b.Promote(context.Background(), "counting", projections.PromoteOptions{Version: 2})
		promoted <- err
	}()
	time.Sleep(300 * time.Millisecond)
	require.Equal(t, 1, version(), "one transaction reads one version")
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-promoted)
	require.Equal(t, 2, number(t, h.pool, "select version from api.counting_checkpoint"))
}

// reading reads one answer: the checkpoint and the rows that belong to it.
func reading(ctx context.Context, pool *pgxpool.Pool) (version int, at int64, n int, err error) {
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "select version, commit_pos from api.counting_checkpoint").Scan(&version, &at); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "select coalesce(sum(n), 0) from read.counting").Scan(&n)
	})
	return version, at, n, err
}

// While versions are built, promoted and rolled back under writers, no reader sees
// an error, a row that does not belong to its position, or an answer that is older
// than the one before.
func TestReadersNoticeNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	model := counting{name: "counting"}
	h.fill(300)
	h.supervise(model)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var counted sync.Map // position of an event -> how many there are with it
	var all sync.WaitGroup
	all.Go(func() { h.write(ctx, &counted, 300) })

	type sighting struct {
		at int64
		n  int
	}
	seen := make([][]sighting, 3)
	failed := make(chan error, 3)
	versions := sync.Map{}
	for i := range seen {
		all.Go(func() {
			for ctx.Err() == nil {
				version, at, n, err := reading(ctx, h.pool)
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					failed <- err
					return
				}
				versions.Store(version, true)
				seen[i] = append(seen[i], sighting{at, n})
			}
		})
	}
	b := h.rebuilder(model)
	for version := 2; version <= 4; version++ {
		_, err := b.Start(t.Context(), "counting", false)
		require.NoError(t, err)
		h.phase(version, projections.Ready)
		_, err = b.Promote(t.Context(), "counting", projections.PromoteOptions{})
		require.NoError(t, err)
	}
	_, err := b.Rollback(t.Context(), "counting")
	require.NoError(t, err)
	time.Sleep(100 * time.Millisecond)
	cancel()
	all.Wait()
	select {
	case err := <-failed:
		require.NoError(t, err)
	default:
	}
	for version := 1; version <= 4; version++ {
		_, read := versions.Load(version)
		require.True(t, read, "version %d was read", version)
	}
	for _, answers := range seen {
		last := sighting{}
		for i, answer := range answers {
			require.GreaterOrEqual(t, answer.at, last.at, "answers never go back")
			if known, ok := counted.Load(uint64(answer.at)); ok {
				require.Equal(t, known, answer.n, "the rows belong to the position")
			}
			require.True(t, i == 0 || answer.n >= last.n, "no half-filled table is read")
			last = answer
		}
	}
}

// write appends event after event and notes how many there are at each position.
func (h *house) write(ctx context.Context, counted *sync.Map, n int) {
	for ctx.Err() == nil {
		_, at := h.put(fmt.Sprintf("claim-test-%d", n%7), taken())
		n++
		counted.Store(at.Commit, n)
	}
}

func TestAHaltedBuildSaysWhereAndLeavesTheRestAlone(t *testing.T) {
	t.Parallel()
	h := open(t)
	var poison atomic.Bool
	model := counting{name: "counting", fail: func(e projections.Event) error {
		if poison.Load() && e.Stream == "claim-test-3" {
			return errors.New("planted")
		}
		return nil
	}}
	last := h.fill(10)
	h.supervise(model)
	h.reached(1, last)
	poison.Store(true)
	b := h.rebuilder(model)
	_, err := b.Start(t.Context(), "counting", true)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return number(t, h.pool, "select count(*) from daybook.projection_checkpoint where version = 2 and state = 'halted' and failure ->> 'code' = 'apply'") == 1
	}, patience, tick)
	require.Equal(t, 10, h.seen())
	_, err = b.Promote(t.Context(), "counting", projections.PromoteOptions{Version: 2})
	require.ErrorIs(t, err, projections.ErrNotVerified)
	require.NoError(t, b.Drop(t.Context(), "counting", 2))
	_, err = b.Promote(t.Context(), "counting", projections.PromoteOptions{Version: 2})
	require.ErrorIs(t, err, projections.ErrNoVersion)
	require.ErrorIs(t, b.Drop(t.Context(), "nothing", 1), projections.ErrUnknown)
}
