package projections_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/projections"
)

// suffers waits until a runner names its trouble: in its status, and where said
// also in the checkpoint, which is all that other processes see. It is behind
// what it has not applied.
func (h *house) suffers(r *projections.Runner, state projections.State, code string, written bool) projections.Trouble {
	h.t.Helper()
	name := r.Status().Name
	require.Eventually(h.t, func() bool {
		now := r.Status()
		return now.State == state && now.Trouble != nil && now.Trouble.Code == code
	}, patience, tick, "%+v", r.Status())
	trouble := *r.Status().Trouble
	require.Nil(h.t, r.Status().Failure, "no event is to blame")
	require.NotEmpty(h.t, trouble.Reason)
	require.NotEmpty(h.t, trouble.Hint)
	if written {
		var kept projections.Trouble
		require.Eventually(h.t, func() bool {
			var text []byte
			err := h.pool.QueryRow(h.t.Context(), "select failure from daybook.projection_checkpoint where name = $1 and state = $2 and failure is not null", name, state).Scan(&text)
			return err == nil && json.Unmarshal(text, &kept) == nil
		}, patience, tick)
		require.Equal(h.t, []string{trouble.Code, trouble.Reason, trouble.Hint}, []string{kept.Code, kept.Reason, kept.Hint})
	}
	return trouble
}

// well says that a runner is without trouble again, and so does its checkpoint.
func (h *house) well(r *projections.Runner) {
	h.t.Helper()
	require.Nil(h.t, r.Status().Trouble)
	require.Equal(h.t, projections.Running, r.Status().State)
	require.Equal(h.t, 1, number(h.t, h.pool, "select count(*) from daybook.projection_checkpoint where state = 'running' and failure is null and name = '"+r.Status().Name+"'"))
}

// Given a table that somebody drops under the runner.
// Then that projection halts, blames no event, and says to build it again; the
// others go on; and with the table back it goes on with what it had missed.
func TestADroppedTableHaltsItsProjectionAndSaysToBuildItAgain(t *testing.T) {
	t.Parallel()
	h := open(t)
	runners, _ := h.start(counting{name: "counting"}, listing{"listing"})
	_, before := h.put("claim-test-0", taken())
	h.wait(runners[0], before)
	run(t, h.pool, "create table public.kept (like rm_counting_v1.tally including all); insert into public.kept table rm_counting_v1.tally; drop table rm_counting_v1.tally cascade")

	_, last := h.put("claim-test-0", taken())
	trouble := h.suffers(runners[0], projections.Halted, "tables-missing", true)
	require.Contains(t, trouble.Hint, "daybook projections rebuild counting")
	require.ErrorIs(t, runners[0].WaitFor(t.Context(), last), projections.ErrHalted)
	require.Equal(t, before, runners[0].Status().Position, "it stays before what it could not apply")
	h.wait(runners[1], last)

	run(t, h.pool, "create table rm_counting_v1.tally (like public.kept including all); insert into rm_counting_v1.tally table public.kept")
	h.reaches(runners[0], last)
	require.Equal(t, 2, h.tallied("counting"))
	h.well(runners[0])
}

// reaches waits for a runner that is halted at first.
func (h *house) reaches(r *projections.Runner, p projections.Position) {
	h.t.Helper()
	require.Eventually(h.t, func() bool { return !r.Status().Position.Less(p) }, patience, tick, "%+v", r.Status())
}

// Given a database that has no space for a row.
// Then the projection says so and tries again, and with space it goes on by itself.
func TestAFullDiskIsNamedUntilThereIsSpaceAgain(t *testing.T) {
	t.Parallel()
	t.Run("as SQLSTATE 53100", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		fullAndFree(t, h, func() {
			run(t, h.pool, `create function public.refuse() returns trigger language plpgsql as $$ begin raise exception using errcode = '53100', message = 'could not extend file: No space left on device'; end $$;
				create trigger no_space before insert or update on rm_counting_v1.tally execute function public.refuse()`)
		}, func() { run(t, h.pool, "drop trigger no_space on rm_counting_v1.tally") })
	})
	t.Run("of a tablespace", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		h.pool = own(t)
		disk := smallDisk(t, h.pool)
		fullAndFree(t, h, func() {
			run(t, h.pool, fmt.Sprintf("create tablespace small location '%s'", disk))
			run(t, h.pool, "alter table rm_counting_v1.tally set tablespace small")
			fill(t, filepath.Join(disk, "filler"))
		}, func() { require.NoError(t, os.Remove(filepath.Join(disk, "filler"))) })
	})
}

func fullAndFree(t *testing.T, h *house, full, free func()) {
	runners, stop := h.start(counting{name: "counting"}, listing{"listing"})
	_, before := h.put("claim-test-0", taken())
	h.wait(runners[0], before)
	full()
	count := 1
	var last projections.Position
	for ; runners[0].Status().Trouble == nil; count++ { // until no page has room for another row
		_, last = h.put(fmt.Sprintf("claim-test-%d", count), taken())
	}
	h.suffers(runners[0], projections.Retrying, "disk-full", true)
	h.wait(runners[1], last) // others go on
	require.Less(t, h.tallied("counting"), count)
	free()
	h.wait(runners[0], last)
	require.Equal(t, count, h.tallied("counting"), "nothing was skipped")
	h.well(runners[0])
	stop()
}

// smallDisk mounts a small disk for the database's account. The test's end takes
// it away with what is in it.
func smallDisk(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	folder := filepath.Dir(word(t, pool, "show data_directory"))
	disk := filepath.Join(folder, "small")
	info, err := os.Stat(folder)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(disk, 0o700))
	mount(t, disk, "1m", info.Sys().(*syscall.Stat_t))
	t.Cleanup(func() {
		for _, statement := range []string{"drop schema rm_counting_v1 cascade", "drop tablespace small"} {
			_, err := pool.Exec(context.Background(), statement)
			require.NoError(t, err)
		}
		require.NoError(t, syscall.Unmount(disk, syscall.MNT_DETACH))
	})
	return disk
}

// mount mounts a small disk that belongs to an account, where that is allowed.
func mount(t *testing.T, disk, size string, owner *syscall.Stat_t) {
	t.Helper()
	err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%s,mode=700,uid=%d,gid=%d", size, owner.Uid, owner.Gid))
	if err != nil {
		_ = os.Remove(disk)
		t.Skipf("no disk may be mounted here, so the error is only raised: %v", err)
	}
}

// fill leaves no space on a disk.
func fill(t *testing.T, name string) {
	t.Helper()
	file, err := os.Create(name)
	require.NoError(t, err)
	defer file.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = file.Write(page)
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
}

// Given a database all of whose connections are taken.
// Then the projection says so, and with connections it goes on by itself.
func TestExhaustedConnectionsAreNamedUntilThereAreSomeAgain(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.pool = own(t)
	runners, _ := h.start(counting{name: "counting"})
	_, before := h.put("claim-test-0", taken())
	h.wait(runners[0], before)

	hoarded := &hoard{t: t, config: h.pool.Config().ConnConfig}
	defer hoarded.release()
	hoarded.all()
	h.pool.Reset()
	var last projections.Position
	count := 1
	for ; runners[0].Status().Trouble == nil || runners[0].Status().Trouble.Code != "connections-exhausted"; count++ {
		_, err := hoarded.held[0].Exec(t.Context(), "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and pid <> all($1)", hoarded.pids())
		require.NoError(t, err)
		hoarded.all()
		_, last = h.put("claim-test-0", taken()) // by which the runner notices
		require.Less(t, count, 1000)
	}
	h.suffers(runners[0], projections.Retrying, "connections-exhausted", false)

	hoarded.release()
	h.wait(runners[0], last)
	require.Equal(t, count, h.tallied("counting"), "nothing was skipped")
	h.well(runners[0])
}

// A hoard holds connections that others want.
type hoard struct {
	t      *testing.T
	config *pgx.ConnConfig
	held   []*pgx.Conn
}

// all takes what there is.
func (h *hoard) all() {
	h.t.Helper()
	for {
		conn, err := pgx.ConnectConfig(h.t.Context(), h.config)
		var refused *pgconn.PgError
		if errors.As(err, &refused) {
			require.Equal(h.t, "53300", refused.Code)
			return
		}
		require.NoError(h.t, err)
		h.held = append(h.held, conn)
		require.Less(h.t, len(h.held), 1000)
	}
}

func (h *hoard) pids() (pids []int32) {
	for _, conn := range h.held {
		pids = append(pids, int32(conn.PgConn().PID()))
	}
	return pids
}

func (h *hoard) release() {
	for _, conn := range h.held {
		_ = conn.Close(context.Background())
	}
	h.held = nil
}
