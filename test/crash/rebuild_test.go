package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/test/program"
)

// An audience asks the same questions over and over, as of one position, so that
// every answer has to be the same to the byte; and it sees that answers about now
// never go back. Readers ask the API, dashboards the views.
type audience struct {
	client   *program.Client
	pinned   []question
	current  []string
	views    *pgxpool.Pool
	believed belief
	asked    atomic.Int64 // of the API
	queried  atomic.Int64 // of the views
	mu       sync.Mutex
	last     map[string]eventstore.Position
	problems []string
}

type question struct {
	path string
	want []byte
}

// A belief is what the views say was believed of an employee at a position.
type belief struct {
	employee string
	position uint64
	facts    int
	hash     string
}

const beliefSQL = `select count(*), md5(string_agg(concat_ws(' ', attribute, value, valid, lower(recorded)), ';' order by attribute, valid, lower(recorded)))
	from read.employee_fact where employee_id = $1 and lower(recorded) <= $2`

func (b *belief) look(ctx context.Context, views *pgxpool.Pool) error {
	return views.QueryRow(ctx, beliefSQL, b.employee, b.position).Scan(&b.facts, &b.hash)
}

func gather(t *testing.T, p *program.Process, employee string, paths ...string) *audience {
	t.Helper()
	client := p.Client()
	a := &audience{client: client, last: map[string]eventstore.Position{}, views: dashboards(t, p)}
	for _, path := range paths {
		now := program.Must(t)(client.Get(t.Context(), path, nil))
		pinned, err := url.Parse(path)
		require.NoError(t, err)
		query := pinned.Query()
		query.Set("known_at", now.Position())
		pinned.RawQuery = query.Encode()
		then := program.Must(t)(client.Get(t.Context(), pinned.String(), nil))
		a.pinned = append(a.pinned, question{pinned.String(), then.Body})
		a.current = append(a.current, path)
		a.believed.position = max(a.believed.position, at(t, now).Commit)
	}
	a.believed.employee = employee
	require.NoError(t, a.believed.look(t.Context(), a.views))
	require.Positive(t, a.believed.facts)
	return a
}

func at(t *testing.T, answer program.Answer) eventstore.Position {
	t.Helper()
	position, err := eventstore.ParsePosition(answer.Position())
	require.NoError(t, err)
	return position
}

// boards is how many dashboards look at once.
const boards = 8

// dashboards come in as they do in life: as the report role, over loopback.
func dashboards(t *testing.T, p *program.Process) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(p.Database)
	require.NoError(t, err)
	config.MaxConns = boards
	views, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(views.Close)
	return views
}

// atRate asks at a rate, whether answers come or not, until ctx ends. No more than so
// many wait for theirs at once: what comes late for that is made up for.
func atRate(ctx context.Context, perSecond, most int, ask func(ctx context.Context, n int)) {
	var all sync.WaitGroup
	seats := make(chan struct{}, most)
	began := time.Now()
	for n := 0; ctx.Err() == nil; n++ { // by the clock: a ticker would leave out what comes late
		time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(perSecond))))
		seats <- struct{}{}
		all.Go(func() {
			ask(context.WithoutCancel(ctx), n)
			<-seats
		})
	}
	all.Wait()
}

func (a *audience) ask(ctx context.Context, n int) {
	a.asked.Add(1)
	if n%2 == 0 {
		q := a.pinned[n/2%len(a.pinned)]
		answer, err := a.client.Get(ctx, q.path, nil)
		if err != nil || answer.Status != http.StatusOK || !bytes.Equal(answer.Body, q.want) {
			a.complain("%s: %v %d %s", q.path, err, answer.Status, answer.Body)
		}
		return
	}
	path := a.current[n/2%len(a.current)]
	a.mu.Lock()
	before := a.last[path]
	a.mu.Unlock()
	answer, err := a.client.Get(ctx, path, nil)
	if err != nil || answer.Status != http.StatusOK {
		a.complain("%s: %v %d %s", path, err, answer.Status, answer.Body)
		return
	}
	at, err := eventstore.ParsePosition(answer.Position())
	if err != nil || at.Less(before) {
		a.complain("%s: %v: answered as of %s after %s", path, err, at, before)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last[path].Less(at) {
		a.last[path] = at
	}
}

// query asks the views, by a statement that was prepared before the version changed.
func (a *audience) query(ctx context.Context, _ int) {
	a.queried.Add(1)
	now := belief{employee: a.believed.employee, position: a.believed.position}
	if err := now.look(ctx, a.views); err != nil || now != a.believed {
		a.complain("the views say %v: %v", now, err)
	}
}

func (a *audience) complain(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.problems = append(a.problems, fmt.Sprintf(format, args...))
}

// watchDashboard queries the views as a dashboard does, until ctx ends: what is
// only added to must never become less.
func watchDashboard(ctx context.Context, t *testing.T, p *program.Process, failed chan<- error) {
	t.Helper()
	most := map[string]int{}
	failed <- p.Query(context.WithoutCancel(ctx), func(conn *pgx.Conn) error {
		for ctx.Err() == nil {
			for _, view := range []string{"read.employee_fact", "read.journal_line", "read.audit_log"} {
				var n int
				if err := conn.QueryRow(context.WithoutCancel(ctx), "select count(*) from "+view).Scan(&n); err != nil {
					return err
				}
				if n < most[view] {
					return fmt.Errorf("%s has %d rows after %d", view, n, most[view])
				}
				most[view] = n
			}
			time.Sleep(300 * time.Millisecond)
		}
		return nil
	})
}

// Every read model is built anew and promoted, and one rolled back, under a writer
// and a thousand questions a second, 400 of readers to the API and 600 of dashboards
// to the views: how many were asked is printed. Nobody sees an error, a half-filled
// table or an older answer. The control: an audience that expects other answers
// complains.
func TestGivenReadersWhenReadModelsAreRebuiltThenNobodyNotices(t *testing.T) {
	t.Parallel()
	home, l := found(t, program.Options{})
	client := home.Now.Client()
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(program.Level(2, 10, 20))*time.Second)
	defer cancel()
	l.run(ctx, client)
	require.NoError(t, client.CaughtUp(t.Context()))

	someone := l.journal.someone(rand.New(rand.NewPCG(l.seed, 0)))
	require.NotNil(t, someone)
	paths := []string{"/v1/reports/headcount", "/v1/reports/trial-balance?book=main", "/v1/employees?limit=5", "/v1/audit/events?limit=5"}
	paths = append(paths, slices.Repeat([]string{"/v1/employees/" + someone.id}, 36)...) // most ask for one, as in life
	crowd := gather(t, home.Now, someone.id, paths...)
	failed := make(chan error, 1)
	watched, leave := context.WithCancel(t.Context())
	defer leave()
	var all sync.WaitGroup
	perSecond := program.Level(100, 1000)
	all.Go(func() { atRate(watched, perSecond*2/5, 64, crowd.ask) })
	all.Go(func() { atRate(watched, perSecond*3/5, boards, crowd.query) })
	all.Go(func() { watchDashboard(watched, t, home.Now, failed) })
	l.writers, l.pause = 1, 20*time.Millisecond
	all.Go(func() { l.run(watched, client) })

	began := time.Now()
	for _, model := range modelsOf(t, home) {
		rebuilt := verb(t, home, "rebuild", model, "--promote")
		require.Contains(t, rebuilt, "version 2 of "+model+" is active: the same rows as version 1", model)
	}
	require.Contains(t, verb(t, home, "rollback", "journal_line"), "version 1 of journal_line is read again")
	require.Contains(t, verb(t, home, "drop", "journal_line", "2"), "version 2 of journal_line is gone; version 1 is read")
	require.Contains(t, verb(t, home, "drop", "employee_fact", "1"), "version 2 is read")
	took := time.Since(began)
	leave()
	all.Wait()
	require.NoError(t, <-failed)
	require.Empty(t, crowd.problems)
	asked, queried := crowd.asked.Load(), crowd.queried.Load()
	t.Logf("%d questions to the API and %d to the views in %s, %.0f a second; all read models rebuilt, one rolled back",
		asked, queried, took.Round(time.Millisecond), float64(asked+queried)/took.Seconds())

	crowd.pinned[0].want, crowd.believed.hash = []byte("another answer"), "another hash"
	crowd.ask(t.Context(), 0)
	crowd.query(t.Context(), 0)
	require.Len(t, crowd.problems, 2, "the control")
	l.settle(t, client)
	l.verify(t, home)
}

// A process that is killed while it builds goes on when it is started again.
func TestGivenABuildWhenKilledThenItGoesOn(t *testing.T) {
	t.Parallel()
	home, l := found(t, program.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(program.Level(2, 5, 10))*time.Second)
	defer cancel()
	l.run(ctx, home.Now.Client())
	require.NoError(t, home.Now.Client().CaughtUp(t.Context()))
	verb(t, home, "rebuild", "employee_fact", "--detach")
	verb(t, home, "rebuild", "audit_log", "--detach", "--promote")
	for range program.Level(2, 8) {
		time.Sleep(30 * time.Millisecond)
		home.Now.Kill()
		home.Start(t, program.Options{})
	}
	require.Eventually(t, func() bool {
		phases := phasesOf(t, home)
		return phases["employee_fact 2"] == "ready" && phases["audit_log 2"] == "active" && phases["audit_log 1"] == "kept"
	}, time.Minute, 50*time.Millisecond, "%v", phasesOf(t, home))
	l.settle(t, home.Now.Client())
	l.verify(t, home)
}

// modelsOf are the names of all read models.
func modelsOf(t *testing.T, home *program.Home) (names []string) {
	t.Helper()
	for version, phase := range phasesOf(t, home) {
		if name, _, _ := strings.Cut(version, " "); phase != "outside" {
			names = append(names, name)
		}
	}
	require.Subset(t, names, []string{"employee_fact", "journal_line", "audit_log"})
	return names
}

func phasesOf(t *testing.T, home *program.Home) map[string]string {
	t.Helper()
	var list struct {
		Items []struct {
			Name    string
			Version int
			Phase   string
		}
	}
	answer, err := home.Now.Client().Get(t.Context(), "/v1/projections", nil)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(answer.Body, &list))
	phases := map[string]string{}
	for _, v := range list.Items {
		phases[fmt.Sprintf("%s %d", v.Name, v.Version)] = v.Phase
	}
	return phases
}

// verb types a verb of daybook projections, which is to go well.
func verb(t *testing.T, home *program.Home, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program.Binary(), append([]string{"projections", "--dir", filepath.Clean(home.Dir)}, args...)...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%v: %s", args, out)
	return string(out)
}
