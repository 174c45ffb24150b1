package crash

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"daybook.example/test/program"
)

// A trouble is something that happens to the database of a running program.
type trouble struct {
	state, code, hint string
	model             string // the read model that has it, "" for the database itself
	begin, end        string // SQL, with the read model's table for {table}
}

var troubles = map[string]trouble{
	"the disk is full": {"retrying", "disk-full", "free space on it", "audit_log",
		`create function public.refuse() returns trigger language plpgsql as $$ begin raise exception using errcode = '53100', message = 'could not extend file: No space left on device'; end $$;
			create trigger no_space before insert on {table} for each statement execute function public.refuse()`,
		"drop trigger no_space on {table}; drop function public.refuse()"},
	"a table is gone": {"halted", "tables-missing", "daybook projections rebuild journal_line", "journal_line",
		"alter table {table} rename to gone", "alter table {schema}.gone rename to journal_line"},
}

// Given trouble with the database of a running program.
// Then /v1/projections, /readyz, the verb and the log name it with the way out,
// the other read models go on, and once it is over nothing was skipped.
func TestGivenTroubleWithTheDatabaseThenTheProgramNamesItAndTheWayOut(t *testing.T) {
	t.Parallel()
	home, l := found(t, program.Options{})
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) { trouble.comesAndGoes(t, home, l) })
	}
	t.Run("no connection is left", func(t *testing.T) { noConnections(t, home, l) })
	l.verify(t, home)
}

func (tr trouble) comesAndGoes(t *testing.T, home *program.Home, l *load) {
	tr.exec(t, home, tr.begin)
	l.writers = 1
	l.some(t, home.Now.Client())

	tr.isNamed(t, home)

	tr.exec(t, home, tr.end)
	caughtUp(t, home.Now.Client())
	requireEventually(t, func() string { return ready(t, home.Now) }, "ready")
}

// isNamed waits until the trouble shows wherever an operator looks.
func (tr trouble) isNamed(t *testing.T, home *program.Home) {
	t.Helper()
	var item struct{ Name, State, Code, Reason, Hint string }
	require.Eventually(t, func() bool {
		var now program.Projections
		answer, err := home.Now.Client().Get(t.Context(), "/v1/projections", nil)
		if err != nil || answer.Into(&now) != nil {
			return false
		}
		for _, i := range now.Items {
			if i.Name == tr.model {
				item.State, item.Code, item.Reason, item.Hint = i.State, i.Failure.Code, i.Failure.Reason, i.Failure.Hint
			}
		}
		return item.State == tr.state && item.Code == tr.code
	}, time.Minute, 5*time.Millisecond, "%+v", &item)
	require.Contains(t, item.Hint, tr.hint)
	require.NotEmpty(t, item.Reason)
	requireEventually(t, func() string { return ready(t, home.Now) }, tr.model, tr.code, tr.hint)
	requireEventually(t, func() string { return listed(t, home) }, tr.model, tr.code, tr.hint)
	require.Contains(t, home.Now.Complaints(), tr.code)
	require.Contains(t, home.Now.Complaints(), tr.hint)
}

// Given a table that somebody drops under a running program.
// When the operator does as the hint says.
// Then the read model is there again, with all that came meanwhile.
func TestGivenADroppedTableWhenItIsBuiltAgainAsTheHintSaysThenNothingIsMissing(t *testing.T) {
	t.Parallel()
	home, l := found(t, program.Options{})
	l.writers = 1
	l.some(t, home.Now.Client())
	gone := trouble{state: "halted", code: "tables-missing", hint: "daybook projections rebuild journal_line", model: "journal_line"}
	gone.exec(t, home, "drop table {table} cascade")
	l.post(t, home.Now.Client())
	gone.isNamed(t, home)

	verb(t, home, "rebuild", "journal_line")
	verb(t, home, "promote", "journal_line", "--unverified")
	verb(t, home, "drop", "journal_line", "1")
	caughtUp(t, home.Now.Client())
	requireEventually(t, func() string { return ready(t, home.Now) }, "ready")
	log, err := home.Now.Client().Events(t.Context())
	require.NoError(t, err)
	lines := 0
	for _, e := range log {
		if e.Type == "journal-entry-posted" {
			lines += strings.Count(string(e.Data), `"side"`)
		}
	}
	gone.exec(t, home, fmt.Sprintf("do $$ begin assert (select count(*) from {table}) = %d; end $$", lines))
	program.Must(t)(home.Now.Client().Get(t.Context(), program.Entries, nil))
}

// some sends a few commands.
func (l *load) some(t *testing.T, client *program.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	l.run(ctx, client)
	require.Empty(t, l.journal.with(unknown))
	l.post(t, client) // so that each read model has something to do
}

// post posts an entry, which needs no database.
func (l *load) post(t *testing.T, client *program.Client) {
	t.Helper()
	key := fmt.Sprintf("more-%d", len(l.journal.attempts))
	a := l.journal.send(program.Entries, key, program.Sale("S-"+key, "1.00"))
	answer, err := client.Post(t.Context(), a.path, a.body, program.Key(a.key))
	l.journal.settle(a, answer, err, 0)
	require.Equal(t, acknowledged, a.outcome, "%s", answer.Body)
}

// exec runs SQL with the table of the read model's one version.
func (tr trouble) exec(t *testing.T, home *program.Home, sql string) {
	t.Helper()
	require.NoError(t, home.Now.Query(t.Context(), func(conn *pgx.Conn) error {
		var schema string
		err := conn.QueryRow(t.Context(), `select nspname from pg_namespace where nspname ~ ('^rm_' || $1 || '_v[0-9]+$')`, tr.model).Scan(&schema)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), strings.NewReplacer("{schema}", schema, "{table}", schema+"."+tr.model).Replace(sql))
		return err
	}))
}

// requireEventually waits until an answer says all of it.
func requireEventually(t *testing.T, answer func() string, all ...string) {
	t.Helper()
	var last string
	require.Eventually(t, func() bool {
		last = answer()
		for _, part := range all {
			if !strings.Contains(last, part) {
				return false
			}
		}
		return true
	}, time.Minute, 20*time.Millisecond)
}

// ready is what /readyz answers.
func ready(t *testing.T, p *program.Process) string {
	t.Helper()
	response, err := http.Get(p.HTTP + "/readyz")
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return string(text)
}

// listed is what the verb prints.
func listed(t *testing.T, home *program.Home) string {
	t.Helper()
	printed, _ := exec.CommandContext(t.Context(), program.Binary(), "projections", "list", "--dir", home.Dir).CombinedOutput()
	return string(printed)
}

// noConnections takes all connections of the database, those of the program too.
func noConnections(t *testing.T, home *program.Home, l *load) {
	require.NoError(t, home.Now.Query(t.Context(), func(conn *pgx.Conn) error {
		h := &hoard{conn: conn}
		defer h.release()
		require.Eventually(t, func() bool {
			h.takeAll(t.Context())
			return strings.Contains(ready(t, home.Now), "the database takes no more connections")
		}, time.Minute, time.Millisecond)
		l.post(t, home.Now.Client()) // by which the runners notice
		requireEventually(t, func() string { return ready(t, home.Now) }, "the database takes no more connections", "max_connections")
		requireEventually(t, home.Now.Complaints, "connections-exhausted")
		return nil
	}))
	caughtUp(t, home.Now.Client())
	requireEventually(t, func() string { return ready(t, home.Now) }, "ready")
}

// A hoard holds connections that others want.
type hoard struct {
	conn *pgx.Conn
	held []*pgx.Conn
}

// takeAll takes the connections that there are, then those of others, as soon as
// they are free.
func (h *hoard) takeAll(ctx context.Context) {
	const others = "from pg_stat_activity where backend_type = 'client backend' and pid <> all($1)"
	for range 20 {
		for {
			more, err := pgx.ConnectConfig(ctx, h.conn.Config())
			if err != nil {
				break
			}
			h.held = append(h.held, more)
		}
		pids := []int32{int32(h.conn.PgConn().PID())}
		for _, mine := range h.held {
			pids = append(pids, int32(mine.PgConn().PID()))
		}
		_, _ = h.conn.Exec(ctx, "select pg_terminate_backend(pid) "+others, pids)
	}
}

func (h *hoard) release() {
	for _, conn := range h.held {
		_ = conn.Close(context.Background())
	}
	h.held = nil
}
