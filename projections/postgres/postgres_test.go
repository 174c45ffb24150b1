package postgres

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
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

func TestAClusterKeepsItsDataAndItsReportAddress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := begun(t, dir)
	report := s.ReportURL()
	require.NoError(t, do(t, s.URL(), "create table public.kept as select 'kept'::text as x"))

	halt(t, s)
	_, err := Attach(dir)
	require.ErrorContains(t, err, "no private Postgres runs")
	again := begun(t, dir)

	got, err := ask(t, again.URL(), "select x from public.kept")
	require.NoError(t, err)
	require.Equal(t, "kept", got)
	require.Equal(t, report, again.ReportURL())
	attached, err := Attach(dir)
	require.NoError(t, err)
	require.Equal(t, again.URL(), attached)
}

func TestAClusterHasOneOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	begun(t, dir)
	_, err := Start(t.Context(), Options{Dir: dir})
	require.ErrorContains(t, err, "belongs to another process that runs")
}

func TestNamesAreComparedByLanguageOnRequest(t *testing.T) {
	t.Parallel()
	s := begun(t, t.TempDir())
	got, err := ask(t, s.URL(), `select string_agg(x, ' ' order by x collate "und-x-icu") || ' ' || string_agg(x, ' ' order by x collate "C")
		from (values ('b'), ('Ä'), ('a'), ('B')) v(x)`)
	require.NoError(t, err)
	require.Equal(t, "a Ä b B B a b Ä", got)
}

func TestTheReportRoleReadsSchemaReadAndDisturbsNobody(t *testing.T) {
	t.Parallel()
	s := begun(t, t.TempDir())
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

func TestThereIsOneDatabaseForReports(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Stop(context.Background()))
		require.NoError(t, s.Remove())
	})
	_, err = ask(t, s.report.url("postgres"), "select 'in'")
	require.ErrorContains(t, err, "no pg_hba.conf entry")
}

func TestAServerLeftByACrashIsAdopted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	orphan := begun(t, dir)
	require.NoError(t, orphan.lock.Close(), "the crash")

	s := begun(t, dir)
	require.Equal(t, orphan.process.pid, s.process.pid)
	got, err := ask(t, s.URL(), "select 'alive'")
	require.NoError(t, err)
	require.Equal(t, "alive", got)
}

func TestAServerLeftStoppedByACrashIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	orphan := begun(t, dir)
	require.NoError(t, os.Remove(orphan.file("report.json")), "what makes it of no use")
	require.NoError(t, orphan.lock.Close(), "the crash")

	s := begun(t, dir)
	require.NotEqual(t, orphan.process.pid, s.process.pid)
	_, err := ask(t, s.ReportURL(), "select 'alive'")
	require.NoError(t, err)
}

func TestAPidFileThatNamesAStrangerIsNoHindrance(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := begun(t, dir)
	text, err := os.ReadFile(s.data() + "/postmaster.pid")
	require.NoError(t, err)
	halt(t, s)
	_, rest, _ := strings.Cut(string(text), "\n")
	require.NoError(t, s.writeOwned(s.data()+"/postmaster.pid", "1\n"+rest))

	_, err = ask(t, begun(t, dir).URL(), "select 'alive'")
	require.NoError(t, err)
}

func TestATakenPortIsExchanged(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	first, second := begun(t, one), begun(t, two)
	halt(t, second)
	second.report.Port = first.report.Port
	require.NoError(t, second.report.write(second.place))

	again := begun(t, two)
	require.NotEqual(t, first.report.Port, again.report.Port)
}

func TestAStartThatWasKilledBeginsAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := begun(t, dir)
	halt(t, s)
	require.NoError(t, os.Remove(s.file(readyMark)))

	_, err := ask(t, begun(t, dir).URL(), "select 'alive'")
	require.NoError(t, err)
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := begun(t, dir)
	halt(t, s)
	require.NoError(t, os.Remove(filepath.Join(s.data(), "global", "pg_control")))

	_, err := Start(t.Context(), Options{Dir: dir})
	require.ErrorContains(t, err, "start the private Postgres")
	require.ErrorContains(t, err, "pg_control")
	require.NoError(t, s.own(), "the lock is given back")
}

func TestAClusterOfAnotherVersionNamesIt(t *testing.T) {
	t.Parallel()
	_, err := find(t.Context(), account{}, 7)
	require.ErrorContains(t, err, "install version 7 again")
}

func TestMissingProgramsAreNamed(t *testing.T) {
	// Not parallel: it changes what all tests look at.
	t.Setenv("PATH", t.TempDir())
	was := packaged
	packaged = nil
	defer func() { packaged = was }()
	_, err := Start(context.Background(), Options{Dir: t.TempDir()})
	require.ErrorIs(t, err, ErrMissing)
}

func TestNothingOfAStatementIsLogged(t *testing.T) {
	t.Parallel()
	s := begun(t, t.TempDir())
	require.Error(t, do(t, s.URL(), "select 'canary'::date"))
	text, err := os.ReadFile(s.file("postgres.log"))
	require.NoError(t, err)
	require.Contains(t, string(text), "ready to accept connections")
	require.NotContains(t, string(text), "canary")
}

func TestTheServerIsInAProcessGroupOfItsOwn(t *testing.T) {
	t.Parallel()
	s := begun(t, t.TempDir())
	group, err := syscall.Getpgid(s.process.pid)
	require.NoError(t, err)
	require.Equal(t, s.process.pid, group)
}
