package main_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/projections/postgres/postgrestest"
)

// takeoverMax is how long a read model may be without an owner after a kill -9.
const takeoverMax = 15 * time.Second

// models are the read models as the list shows them, by name.
func models(t *testing.T, dir string) map[string]model {
	t.Helper()
	all := map[string]model{}
	for line := range strings.Lines(must(t, "projections", "list", "--output", "json", "--dir", dir)) {
		var m model
		require.NoError(t, json.Unmarshal([]byte(line), &m))
		all[m.Name] = m
	}
	return all
}

type model struct {
	Name, State, Owner, Position string
	Standby                      []string
	PausedBy                     string `json:"paused_by"`
}

func TestReadModelsAreOperatedByVerbs(t *testing.T) {
	t.Parallel()
	dir, env := folder(t), database(t)
	p := startWith(t, env, "serve", "--dir", dir)
	me := "/" + strconv.Itoa(p.Process.Pid)
	require.Eventually(t, func() bool { return strings.HasSuffix(models(t, dir)["audit_log"].Owner, me) }, readyMax, 100*time.Millisecond)
	audited := func() int { return strings.Count(must(t, "audit", "log", "--dir", dir), "access-token-issued") }
	require.Eventually(t, func() bool { return audited() == 1 }, readyMax, 100*time.Millisecond)

	// A paused one stands still, also in the next process
	require.Contains(t, must(t, "projections", "pause", "audit_log", "--dir", dir), "audit_log is paused at ")
	must(t, "token", "issue", "--role", "hr", "--dir", dir)
	p.stop(t)
	p = startWith(t, env, "serve", "--dir", dir)
	require.Equal(t, []string{"paused", "admin"}, []string{models(t, dir)["audit_log"].State, models(t, dir)["audit_log"].PausedBy})
	require.Equal(t, http.StatusOK, status(t, p.of("API")+"/readyz"), "the others answer for themselves")
	require.Equal(t, 1, audited())
	require.Contains(t, must(t, "projections", "resume", "audit_log", "--dir", dir), "audit_log goes on from ")
	require.Eventually(t, func() bool { return audited() == 2 }, readyMax, 100*time.Millisecond)

	// The process managers are no read model, but stand in the list
	must(t, "projections", "pause", "processes", "--dir", dir)
	require.Equal(t, "paused", models(t, dir)["processes"].State)
	must(t, "projections", "resume", "processes", "--dir", dir)

	// A takeover says from whom, and where nobody stands by it comes back
	require.Contains(t, must(t, "projections", "takeover", "audit_log", "--dir", dir), "no process stands by, so it comes back by itself")
	must(t, "token", "issue", "--role", "hr", "--dir", dir)
	require.Eventually(t, func() bool { return audited() == 3 }, readyMax, 100*time.Millisecond)

	// What is not halted is not waived, and what is not there has no verbs
	require.Equal(t, "RECORDED_AT  OPERATOR  EVENT_ID  REASON\n", must(t, "projections", "waivers", "audit_log", "--dir", dir))
	for _, c := range []struct {
		says string
		args []string
	}{
		{"not-halted-at: the projection audit_log is not halted", []string{"waive", "audit_log", uuid.NewString(), "--reason", "posted twice"}},
		{"projection-unknown: there is no such projection; there are: audit_log (version 1), employee_fact", []string{"pause", "nothing"}},
		{"projection-unknown", []string{"waive", "nothing", uuid.NewString(), "--reason", "posted twice"}},
		{`required flag(s) "reason" not set`, []string{"waive", "audit_log", uuid.NewString()}},
		{"EVENT_ID is no UUID — daybook projections list names the event", []string{"waive", "audit_log", "the last one", "--reason", "posted twice"}},
		{"takes one NAME, and got 0 arguments — daybook projections takeover --help shows examples", []string{"takeover"}},
	} {
		r := daybook(t, append(append([]string{"projections"}, c.args...), "--dir", dir)...)
		require.Equal(t, 1, r.code, c.args)
		require.Contains(t, r.err, c.says)
	}
	p.stop(t)
}

func status(t *testing.T, url string) int {
	t.Helper()
	code, _ := ask(t, url)
	return code
}

func ask(t *testing.T, url string) (int, string) {
	t.Helper()
	got, err := http.Get(url)
	require.NoError(t, err)
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	return got.StatusCode, string(body)
}

// Four processes share a folder, and each is killed: node and API, an owner and
// one that stands by, another API.
func TestEachOfSeveralProcessesMayBeKilled(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	node := start(t, "serve", "--roles", "node,api", "--dir", dir)
	owner := start(t, "serve", "--roles", "projections", "--dir", dir)
	ownerOf := func() string { return models(t, dir)["audit_log"].Owner }
	owns := func(p *process) bool { return strings.HasSuffix(ownerOf(), "/"+strconv.Itoa(p.Process.Pid)) }
	require.Eventually(t, func() bool { return owns(owner) }, readyMax, 100*time.Millisecond)
	second := start(t, "serve", "--roles", "projections", "--dir", dir)
	api := start(t, "serve", "--roles", "api", "--dir", dir)
	standsBy := func() bool {
		for _, m := range models(t, dir) {
			if len(m.Standby) != 1 || !strings.HasSuffix(m.Standby[0], "/"+strconv.Itoa(second.Process.Pid)) {
				return false
			}
		}
		return true
	}
	require.Eventually(t, standsBy, readyMax, 100*time.Millisecond)
	holder := ownerOf()
	require.Eventually(t, func() bool {
		_, text := ask(t, second.of("health")[:len(second.of("health"))-len("/healthz")]+"/metrics")
		return strings.Contains(text, `daybook_projections_standby_seconds{holder="`+holder+`",projection="audit_log"`) &&
			strings.Contains(text, "daybook_projections_lag_seconds{")
	}, readyMax, 100*time.Millisecond)
	issued := 1
	once := func(why string) {
		t.Helper()
		must(t, "token", "issue", "--role", "hr", "--dir", dir)
		issued++
		events := strings.Count(must(t, "events", "read", "--dir", dir), "\n")
		require.Eventually(t, func() bool {
			return strings.Count(must(t, "audit", "log", "--limit", "500", "--dir", dir), "access-token-issued") == issued
		}, readyMax, 100*time.Millisecond, why)
		require.Equal(t, events, strings.Count(must(t, "audit", "log", "--limit", "500", "--dir", dir), "\n")-1, "each event once: "+why)
	}
	once("before anything dies")

	require.Eventually(t, standsBy, readyMax, 100*time.Millisecond) // still: what it says of itself grows old on a busy machine
	said := must(t, "projections", "takeover", "employee_fact", "--dir", dir)
	require.Contains(t, said, "employee_fact was taken from "+holder+"; next is ")
	require.Eventually(t, func() bool {
		return strings.HasSuffix(models(t, dir)["employee_fact"].Owner, "/"+strconv.Itoa(second.Process.Pid))
	}, readyMax, 100*time.Millisecond)
	require.True(t, owns(owner), "the others stay where they are")

	owner.kill()
	began := time.Now()
	require.Eventually(t, func() bool { return owns(second) }, readyMax, 50*time.Millisecond)
	took := time.Since(began)
	t.Logf("the one that stood by owned the read models %s after the kill of their owner", took.Round(time.Millisecond))
	require.Less(t, took, takeoverMax)
	once("after the kill of the owner")
	require.Equal(t, http.StatusOK, status(t, second.of("health")))

	api.kill()
	api = start(t, "serve", "--roles", "api", "--dir", dir)
	once("after the kill of an API")

	node.kill()
	node = start(t, "serve", "--roles", "node,api", "--dir", dir)
	once("after the kill of the node, with the projectors that ran before it")
	require.True(t, owns(second))

	second.kill()
	require.Eventually(t, func() bool {
		code, text := ask(t, node.of("API")+"/healthz")
		return code == http.StatusServiceUnavailable && strings.Contains(text, "audit_log is run by no process")
	}, readyMax, 100*time.Millisecond)
	require.Equal(t, http.StatusOK, status(t, node.of("API")+"/livez"))
	owner = start(t, "serve", "--roles", "projections", "--dir", dir)
	require.Eventually(t, func() bool { return status(t, node.of("API")+"/healthz") == http.StatusOK }, readyMax, 100*time.Millisecond)
	once("after the kill of the last projectors")
	api.stop(t)
	owner.stop(t)
	node.stop(t)
}

// The API and the projectors are two processes: who reads behind a write is told
// the truth in time, whatever becomes of the projectors.
func TestReadingBehindAWriteWorksAcrossProcesses(t *testing.T) {
	t.Parallel()
	dir, pool := folder(t), postgrestest.New(t)
	env := []string{"DAYBOOK_DATABASE=" + pool.Config().ConnString()}
	node := startWith(t, env, "serve", "--roles", "node,api", "--dir", dir)
	projectors := startWith(t, env, "serve", "--roles", "projections", "--dir", dir)
	token, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	require.NoError(t, err)
	call := func(method, path, body string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, node.of("API")+path, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		r.Header.Set("Content-Type", "application/json")
		got, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		t.Cleanup(func() { got.Body.Close() })
		return got
	}
	location := func(name string) (id, position string) {
		t.Helper()
		got := call(http.MethodPost, "/v1/organisation/locations", `{"name":"`+name+`"}`)
		require.Equal(t, http.StatusCreated, got.StatusCode)
		var made struct{ ID string }
		require.NoError(t, json.NewDecoder(got.Body).Decode(&made))
		return made.ID, got.Header.Get("Daybook-Position")
	}
	behind := func(position string) (got *http.Response, code string, text string) {
		t.Helper()
		got = call(http.MethodGet, "/v1/audit/events?limit=500&after="+url.QueryEscape(position), "")
		body, err := io.ReadAll(got.Body)
		require.NoError(t, err)
		var problem struct{ Code string }
		_ = json.Unmarshal(body, &problem)
		return got, problem.Code, string(body)
	}

	for n := range 20 {
		id, position := location(strconv.Itoa(n))
		got, _, text := behind(position)
		require.Equal(t, http.StatusOK, got.StatusCode, text)
		require.Contains(t, text, id)
		at, err := eventstore.ParsePosition(got.Header.Get("Daybook-Position"))
		require.NoError(t, err)
		want, err := eventstore.ParsePosition(position)
		require.NoError(t, err)
		require.False(t, at.Less(want), "the answer is of %s", at)
	}

	require.Equal(t, http.StatusOK, call(http.MethodPost, "/v1/projections/audit_log/pause", `{}`).StatusCode)
	_, position := location("paused")
	got, code, _ := behind(position)
	require.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
	require.Equal(t, "read-model-paused", code)
	require.Equal(t, http.StatusOK, call(http.MethodPost, "/v1/projections/audit_log/resume", `{}`).StatusCode)
	require.Eventually(t, func() bool { got, _, _ := behind(position); return got.StatusCode == http.StatusOK }, readyMax, 100*time.Millisecond)

	projectors.kill()
	_, position = location("nobody there")
	began := time.Now()
	got, code, _ = behind(position)
	require.Equal(t, []any{http.StatusServiceUnavailable, "not-reached", "1"}, []any{got.StatusCode, code, got.Header.Get("Retry-After")})
	require.GreaterOrEqual(t, time.Since(began), 5*time.Second, "it waits for as long as it says")

	_, err = pool.Exec(t.Context(), "update daybook.projection_checkpoint set state = 'halted' where name = 'audit_log'")
	require.NoError(t, err)
	got, code, _ = behind(position)
	require.Equal(t, []any{http.StatusServiceUnavailable, "read-model-halted"}, []any{got.StatusCode, code})

	startWith(t, env, "serve", "--roles", "projections", "--dir", dir)
	require.Eventually(t, func() bool { got, _, _ := behind(position); return got.StatusCode == http.StatusOK }, readyMax, 100*time.Millisecond)
}
