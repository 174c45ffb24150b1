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
		rows := count(t, conn, "rm_audit_log_v1.audit_log")
		now, err := p.Client().Events(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, rows, len(log), "rows of the audit log")
		require.LessOrEqual(t, rows, len(now), "rows of the audit log, and of claims settled meanwhile")
		return nil
	}))
}

func count(t *testing.T, conn *pgx.Conn, table string) (rows int) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), "select count(*) from "+table).Scan(&rows))
	return rows
}

// rebuiltTheSame builds the read models from zero and compares every row: I4. A
// program that starts may settle what faults have left behind, such as claims:
// then the log is another one, and the next rebuild counts.
func rebuiltTheSame(t *testing.T, home *program.Home) {
	t.Helper()
	const tries = 4
	log, before := standing(t, home)
	require.NotEmpty(t, before)
	for try := 1; ; try++ {
		home.Stop(t)
		require.NoError(t, home.Now.DropCluster())
		home.Start(t, program.Options{Live: true}) // standing waits for it to be ready
		now, after := standing(t, home)
		if now != log && try < tries {
			log, before = now, after
			continue
		}
		require.Equal(t, log, now, "the log does not come to rest")
		require.Equal(t, before, after)
		oneRowLessIsSeen(t, home.Now, after)
		return
	}
}

// standing is how many events the log has, and all read models of them.
func standing(t *testing.T, home *program.Home) (log int, tables program.Tables) {
	t.Helper()
	within, cancel := context.WithTimeout(t.Context(), time.Duration(program.Level(1, 1, 10))*time.Minute)
	defer cancel()
	client := home.Now.Client()
	for {
		before, err := client.Events(within)
		require.NoError(t, err)
		require.NoError(t, client.CaughtUp(within))
		tables, err = home.Now.Tables(within)
		require.NoError(t, err)
		after, err := client.Events(within)
		require.NoError(t, err)
		if len(before) == len(after) {
			return len(after), tables
		}
	}
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
