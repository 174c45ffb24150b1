package postgres

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// begun starts a server that the test's end stops and removes. It does not wait
// for the disk.
func begun(t *testing.T, dir string) *Server {
	t.Helper()
	at, err := placeOf(dir)
	require.NoError(t, err)
	s, err := start(t.Context(), &Server{place: at, logger: slog.New(slog.DiscardHandler), unsafe: true})
	require.NoError(t, err)
	t.Cleanup(func() {
		halt(t, s)
		require.NoError(t, s.Remove())
	})
	return s
}

func halt(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	require.NoError(t, s.process.stop(ctx))
	_ = s.lock.Close()
}

// ask answers the one text that a query selects.
func ask(t *testing.T, url, sql string) (text string, err error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.Background())
	return text, conn.QueryRow(t.Context(), sql).Scan(&text)
}

func do(t *testing.T, url, sql string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), sql)
	return err
}

func TestARunningServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := begun(t, dir)
	for name, check := range map[string]func(*testing.T, *Server){
		"compares names by language on request":               collates,
		"lets the report role read schema read and no more":   keepsReportsApart,
		"logs nothing of a statement":                         keepsQuiet,
		"is in a process group of its own, for Ctrl-C's sake": standsApart,
		"belongs to one process":                              hasOneOwner,
		"is found by a process that did not start it":         isFound,
	} {
		t.Run(name, func(t *testing.T) { check(t, s) })
	}
}

func collates(t *testing.T, s *Server) {
	got, err := ask(t, s.URL(), `select string_agg(x, ' ' order by x collate "und-x-icu") || ' ' || string_agg(x, ' ' order by x collate "C")
		from (values ('b'), ('Ä'), ('a'), ('B')) v(x)`)
	require.NoError(t, err)
	require.Equal(t, "a Ä b B B a b Ä", got)
}

func keepsReportsApart(t *testing.T, s *Server) {
	require.NoError(t, do(t, s.URL(), `create schema read; create view read.open as select 'open'::text as x;
		create table public.hidden (x text); grant usage on schema read to daybook_report; grant select on all tables in schema read to daybook_report`))
	got, err := ask(t, s.ReportURL(), "select x from open")
	require.NoError(t, err)
	require.Equal(t, "open", got)
	for _, refused := range []string{
		"select x from public.hidden",
		"select pg_advisory_lock(1)::text",
		"select pg_try_advisory_xact_lock(1)::text",
		"select lo_create(0)::text",
		"create temporary table t (x int)",
		"create table public.t (x int)",
	} {
		err := do(t, s.ReportURL(), "set default_transaction_read_only = off; commit; "+refused)
		require.ErrorContains(t, err, "permission denied", refused)
	}
}

func keepsQuiet(t *testing.T, s *Server) {
	require.Error(t, do(t, s.URL(), "select 'canary'::date"))
	text, err := os.ReadFile(s.file("postgres.log"))
	require.NoError(t, err)
	require.Contains(t, string(text), "ready to accept connections")
	require.NotContains(t, string(text), "canary")
}

func standsApart(t *testing.T, s *Server) {
	group, err := syscall.Getpgid(s.process.pid)
	require.NoError(t, err)
	require.Equal(t, s.process.pid, group)
}

func hasOneOwner(t *testing.T, s *Server) {
	_, err := start(t.Context(), &Server{place: s.place})
	require.ErrorContains(t, err, "belongs to another process that runs")
}

func isFound(t *testing.T, s *Server) {
	url, err := s.attach()
	require.NoError(t, err)
	require.Equal(t, s.URL(), url)
}

func TestAStartedServerComesBackAndHasOneDatabaseForReports(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Stop(context.Background()))
		require.NoError(t, s.Remove())
	})
	_, err = ask(t, s.ReportURL(), "select 'in'")
	require.NoError(t, err)
	_, err = ask(t, s.report.url("postgres"), "select 'in'")
	require.ErrorContains(t, err, "no pg_hba.conf entry")

	running, err := readPidFile(s.place)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(running.pid, syscall.SIGKILL))
	require.Eventually(t, func() bool {
		again, err := readPidFile(s.place)
		return err == nil && again.pid != running.pid && again.ready
	}, 20*time.Second, 10*time.Millisecond)
	_, err = ask(t, s.URL(), "select 'alive'")
	require.NoError(t, err)
}

// One cluster after the other's end, for making one takes a second or two.
func TestAClusterFromStartToStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := begun(t, dir)
	report := s.ReportURL()
	require.NoError(t, do(t, s.URL(), "create table public.kept as select 'kept'::text as x"))
	kept := func(s *Server) {
		t.Helper()
		got, err := ask(t, s.URL(), "select x from public.kept")
		require.NoError(t, err)
		require.Equal(t, "kept", got)
	}

	pidFile, err := os.ReadFile(s.data() + "/postmaster.pid")
	require.NoError(t, err)
	halt(t, s)
	_, err = Attach(dir)
	require.ErrorContains(t, err, "no private Postgres runs")

	// Given a pid file whose number is a stranger's by now.
	_, rest, _ := strings.Cut(string(pidFile), "\n")
	require.NoError(t, s.writeOwned(s.data()+"/postmaster.pid", "1\n"+rest))
	s = begun(t, dir)
	kept(s)
	require.Equal(t, report, s.ReportURL(), "dashboards need not be told again")

	// Given another program on the port.
	halt(t, s)
	taken, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(s.report.Port))
	require.NoError(t, err)
	defer taken.Close()
	s = begun(t, dir)
	kept(s)
	require.NotEqual(t, report, s.ReportURL())

	// Given a cluster that is damaged.
	halt(t, s)
	require.NoError(t, os.Remove(filepath.Join(s.data(), "global", "pg_control")))
	_, err = Start(t.Context(), Options{Dir: dir})
	require.ErrorContains(t, err, "start the private Postgres")
	require.ErrorContains(t, err, "pg_control")
	require.NoError(t, s.own(), "the lock is given back")
}

func TestAServerLeftByACrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	orphan := begun(t, dir)
	require.NoError(t, orphan.lock.Close(), "the crash")

	adopted := begun(t, dir)
	require.Equal(t, orphan.process.pid, adopted.process.pid)
	_, err := ask(t, adopted.URL(), "select 'alive'")
	require.NoError(t, err)

	// Given one that is of no use: its report password is lost.
	require.NoError(t, os.Remove(adopted.file("report.json")))
	require.NoError(t, adopted.lock.Close(), "the next crash")
	replaced := begun(t, dir)
	require.NotEqual(t, orphan.process.pid, replaced.process.pid)
	_, err = ask(t, replaced.ReportURL(), "select 'alive'")
	require.NoError(t, err)
}

func TestAMakingThatWasKilledBeginsAnew(t *testing.T) {
	t.Parallel()
	// Given the initdb of a process that was killed, which goes on.
	dir := t.TempDir()
	at, err := placeOf(dir)
	require.NoError(t, err)
	require.NoError(t, at.make())
	killed := &Server{place: at, unsafe: true}
	killed.installed, err = find(t.Context(), at.account, 0)
	require.NoError(t, err)
	orphan := at.file(makingPrefix + "orphan")
	ended := make(chan error, 1)
	go func() { ended <- killed.initdb(t.Context(), orphan) }()
	require.Eventually(t, func() bool {
		_, err := os.Stat(orphan + "/base")
		return err == nil
	}, 10*time.Second, time.Millisecond)

	s := begun(t, dir)
	_, err = ask(t, s.URL(), "select 'alive'")
	require.NoError(t, err)

	// And what it leaves is gone by the next start.
	<-ended
	halt(t, s)
	require.NoError(t, os.RemoveAll(s.data()))
	_, err = ask(t, begun(t, dir).URL(), "select 'alive'")
	require.NoError(t, err)
	left, err := filepath.Glob(at.file(makingPrefix + "*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestAClusterOfAnotherVersionNamesIt(t *testing.T) {
	t.Parallel()
	_, err := find(t.Context(), account{}, 7)
	require.ErrorContains(t, err, "install version 7 again")
}

// Not parallel: it changes what all tests look at.
func TestMissingProgramsAreNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	was := packaged
	packaged = nil
	defer func() { packaged = was }()
	_, err := Start(context.Background(), Options{Dir: t.TempDir()})
	require.ErrorIs(t, err, ErrMissing)
}
