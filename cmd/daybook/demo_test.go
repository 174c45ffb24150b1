package main_test

import (
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/projections/postgres"
)

func TestADemoIsReadyTriedAndGone(t *testing.T) {
	t.Parallel()
	// Given a demo without a folder of its own
	p := start(t, "demo")
	dir := p.of("folder")
	require.DirExists(t, dir)

	// When the five printed lines are run as they stand
	_, after, _ := strings.Cut(p.out.String(), "Try next:\n")
	tries := strings.Split(strings.TrimSpace(after), "\n")
	require.Len(t, tries, 5)
	for _, line := range tries {
		shell := exec.Command("bash", "-c", line)
		shell.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
		r := finish(t, shell)

		// Then each shows something
		require.Zero(t, r.code, "%s: %s", line, r.err)
		require.Greater(t, len(r.out), 200, "%s shows next to nothing: %s", line, r.out)
		require.NotContains(t, r.out, `"status":4`, line)
	}

	// And nothing is left when it stops: neither the folder nor its database
	cluster := clusterOf(t, dir)
	p.stop(t)
	require.NoDirExists(t, dir)
	require.NoDirExists(t, cluster)
	require.Empty(t, p.err.String())
}

// clusterOf is where the private Postgres of a running process lives.
func clusterOf(t *testing.T, dir string) string {
	t.Helper()
	address, err := postgres.Attach(dir)
	require.NoError(t, err)
	u, err := url.Parse(address)
	require.NoError(t, err)
	require.DirExists(t, u.Query().Get("host"))
	return u.Query().Get("host")
}

func TestADemoInAFolderGoesOn(t *testing.T) {
	t.Parallel()
	// Given one demo that was made in one go
	whole := folder(t)
	p := start(t, "demo", "--dir", whole)
	want := story(t, whole)
	p.stop(t)
	require.FileExists(t, filepath.Join(whole, "tokens.json"), "a folder given by hand is never removed")

	// And one that was killed twice while it was made
	killed := folder(t)
	for _, after := range []time.Duration{300 * time.Millisecond, 600 * time.Millisecond} {
		p := launch(t, nil, "demo", "--dir", killed)
		p.waitFor(t, "making a company")
		time.Sleep(after)
		p.kill()
	}

	// When it is continued
	p = start(t, "demo", "--dir", killed)

	// Then it tells the same story, event by event
	require.Equal(t, want, story(t, killed))
	require.Contains(t, strings.Join(want, "\n"), "employee-fact-rescinded")
	p.stop(t)

	// And no server takes it for a real company, unless it is told
	r := daybook(t, "serve", "--dir", killed)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "holds a demo — serve it with --demo")
	start(t, "serve", "--demo", "--dir", killed).stop(t)
}

// story is what a demo recorded, but for what has to do with its keys and starts.
func story(t *testing.T, dir string) (events []string) {
	t.Helper()
	for line := range strings.Lines(must(t, "events", "read", "--limit", "100000", "--output", "json", "--dir", dir)) {
		var e struct {
			Stream, Type, ID string
			RecordedAt       string `json:"recorded_at"`
			Revision         int
		}
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		if e.Type != "access-token-issued" && e.Type != "log-named" && e.Type != "process-version-started" && !strings.HasPrefix(e.Stream, "claim-") {
			events = append(events, strings.Join([]string{e.Stream, e.Type, e.ID, e.RecordedAt}, " "))
		}
	}
	return events
}

func TestADemoRefusesAnotherLog(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	must(t, "token", "issue", "--role", "hr", "--dir", dir)
	r := daybook(t, "demo", "--dir", dir)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "holds a log that is no demo — name another folder with --dir")
}

func TestAnInterruptWhileItStartsLeavesNothing(t *testing.T) {
	t.Parallel()
	p := launch(t, []string{"TMPDIR=" + folder(t)}, "demo")
	p.waitFor(t, "making a company")
	require.NoError(t, p.Process.Signal(os.Interrupt))
	<-p.ended
	require.Equal(t, 130, p.ProcessState.ExitCode())
	require.Equal(t, "daybook: stopped before it was done\n", p.err.String())
	left, err := os.ReadDir(strings.TrimPrefix(p.Env[len(p.Env)-1], "TMPDIR="))
	require.NoError(t, err)
	require.Empty(t, left)
}
