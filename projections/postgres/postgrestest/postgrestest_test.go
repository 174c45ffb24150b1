package postgrestest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"daybook.example/projections/postgres/postgrestest"
)

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	one, two := postgrestest.New(t), postgrestest.New(t)
	_, err := one.Exec(t.Context(), "create schema s create table here (x int)")
	require.NoError(t, err)

	var missing bool
	require.NoError(t, two.QueryRow(t.Context(), "select to_regclass('s.here') is null").Scan(&missing))
	require.True(t, missing)
}

func TestTheReportRoleHasNoRightsUntilTheyAreGranted(t *testing.T) {
	t.Parallel()
	program, report := postgrestest.Pair(t)
	_, err := program.Exec(t.Context(), "create schema read create view v as select 1 as x")
	require.NoError(t, err)
	_, err = report.Exec(t.Context(), "select * from read.v")
	require.ErrorContains(t, err, "permission denied")
	_, err = program.Exec(t.Context(), "grant usage on schema read to daybook_report; grant select on read.v to daybook_report")
	require.NoError(t, err)
	_, err = report.Exec(t.Context(), "select * from v")
	require.NoError(t, err)
}
