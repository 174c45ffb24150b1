package crash

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"daybook.example/test/program"
)

// countedRight counts in the log what the read models must hold, no more and no
// less.
func countedRight(t *testing.T, p *program.Process, log []program.Event) {
	t.Helper()
	people, lines := 0, 0
	for _, e := range log {
		switch e.Type {
		case "employee-hired":
			people++
		case "journal-entry-posted":
			var entry struct{ Lines []json.RawMessage }
			require.NoError(t, json.Unmarshal(e.Data, &entry))
			lines += len(entry.Lines)
		}
	}
	var heads struct{ Total int }
	require.NoError(t, program.Must(t)(p.Client().Get(t.Context(), "/v1/reports/headcount", url.Values{"valid_at": {"2026-01-01"}})).Into(&heads))
	require.Equal(t, people, heads.Total, "heads")
	require.NoError(t, p.Query(t.Context(), func(conn *pgx.Conn) error {
		require.Equal(t, lines, count(t, conn, "rm_journal_line_v1.journal_line"), "lines of the journal")
		require.Equal(t, len(log), count(t, conn, "rm_audit_log_v1.audit_log"), "rows of the audit log")
		return nil
	}))
}

func count(t *testing.T, conn *pgx.Conn, table string) (rows int) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), "select count(*) from "+table).Scan(&rows))
	return rows
}

// rebuiltTheSame builds the read models from zero and compares every row: I4.
func rebuiltTheSame(t *testing.T, home *program.Home) {
	t.Helper()
	before, err := home.Now.Tables(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, before)
	home.Stop(t)
	require.NoError(t, home.Now.DropCluster())
	within, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, home.Start(t, program.Options{}).Client().CaughtUp(within))
	after, err := home.Now.Tables(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
	oneRowLessIsSeen(t, home.Now, after)
}

// oneRowLessIsSeen is the control of that: no table can lose a row unnoticed.
func oneRowLessIsSeen(t *testing.T, p *program.Process, before program.Tables) {
	t.Helper()
	require.NoError(t, p.Query(t.Context(), func(conn *pgx.Conn) error {
		for name := range before {
			table := "rm_" + strings.Replace(name, ".", "_v1.", 1) // it was just built
			if _, err := conn.Exec(t.Context(), "delete from "+table+" where ctid = (select min(ctid) from "+table+")"); err != nil {
				return err
			}
		}
		return nil
	}))
	after, err := p.Tables(t.Context())
	require.NoError(t, err)
	for table, rows := range before {
		require.True(t, strings.HasPrefix(rows, "0 rows") || after[table] != rows, table)
	}
}
