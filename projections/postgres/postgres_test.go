package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func started(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Start(t.Context(), Options{Dir: dir})
	require.NoError(t, err)
	return s
}

func query(t *testing.T, url, sql string) (text string, err error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.Background())
	return text, conn.QueryRow(t.Context(), sql).Scan(&text)
}

func stopped(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	require.NoError(t, s.Stop(ctx))
}

func TestAFolderGetsAServerThatKeepsItsData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := started(t, dir)
	t.Cleanup(func() { _ = s.Remove() })
	got, err := query(t, s.URL(), "create table kept (x int); select 'made'")
	require.Error(t, err, "one statement at a time")
	require.Empty(t, got)
	_, err = query(t, s.URL(), "with made as (select 1) select current_user::text")
	require.NoError(t, err)
	attached, err := Attach(dir)
	require.NoError(t, err)
	require.Equal(t, s.URL(), attached)

	_, err = Start(t.Context(), Options{Dir: dir})
	require.ErrorContains(t, err, "belongs to another running process")
	stopped(t, s)
	_, err = Attach(dir)
	require.Error(t, err)

	s = started(t, dir)
	stopped(t, s)
}

func TestTheReportRoleSeesSchemaReadAndDisturbsNothing(t *testing.T) {
	t.Parallel()
	s := started(t, t.TempDir())
	t.Cleanup(func() { stopped(t, s); _ = s.Remove() })
	_, err := query(t, s.URL(), "select set_config('x.y', '1', false)")
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), s.URL())
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), "create view read.seen as select 'open'::text as x; create table public.hidden (x text)")
	require.NoError(t, err)

	got, err := query(t, s.ReportURL(), "select x from read.seen")
	require.NoError(t, err)
	require.Equal(t, "open", got)
	for _, sql := range []string{
		"select x from public.hidden", "select pg_advisory_lock(1)::text", "select pg_try_advisory_xact_lock(1)::text",
	} {
		_, err := query(t, s.ReportURL(), sql)
		require.ErrorContains(t, err, "permission denied", sql)
	}
	report, err := pgx.Connect(t.Context(), s.ReportURL())
	require.NoError(t, err)
	defer report.Close(context.Background())
	_, err = report.Exec(t.Context(), "create temporary table t (x int)")
	require.ErrorContains(t, err, "permission denied")
}

func TestAServerThatACrashLeftRunningIsTakenOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	orphan := started(t, dir)
	require.NoError(t, orphan.lock.Close(), "the crash")
	s := started(t, dir)
	t.Cleanup(func() { stopped(t, s); _ = s.Remove() })
	_, err := query(t, s.URL(), "select 'alive'")
	require.NoError(t, err)
}
