package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/projections/postgres"
)

// binary is the program that all tests drive, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "daybook-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	binary = filepath.Join(folder, "daybook")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

const (
	readyMax = 60 * time.Second // on a busy machine
	stopMax  = 10 * time.Second
)

// folder makes a folder for a test and removes it with its private Postgres. Its
// path is short, for sockets.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "daybook-")
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, postgres.Remove(dir))
		require.NoError(t, os.RemoveAll(dir))
	})
	return dir
}

// program prepares a run; it sees nothing of the machine's own Daybook.
func program(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(binary, args...)
	for _, set := range os.Environ() {
		if !strings.HasPrefix(set, "DAYBOOK_") {
			cmd.Env = append(cmd.Env, set)
		}
	}
	cmd.Env = append(cmd.Env, "DAYBOOK_LISTEN=127.0.0.1:0", "DAYBOOK_NODE_LISTEN=127.0.0.1:0")
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// A result is what a run printed and how it ended.
type result struct {
	out, err string
	code     int
}

// daybook runs a verb to its end.
func daybook(t *testing.T, args ...string) result { return daybookWith(t, nil, args...) }

func daybookWith(t *testing.T, env []string, args ...string) result {
	t.Helper()
	return finish(t, program(t, env, args...))
}

func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Start())
	overdue := time.AfterFunc(readyMax, func() { _ = cmd.Process.Kill() })
	defer overdue.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// must runs a verb that succeeds.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := daybook(t, args...)
	require.Zero(t, r.code, "daybook %s: %s", strings.Join(args, " "), r.err)
	return r.out
}

// A process is one that runs until it is stopped.
type process struct {
	*exec.Cmd
	out, err lines
	ended    chan struct{}
}

// lines is what a process has printed so far.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// launch starts a process without waiting for anything.
func launch(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: program(t, env, args...), ended: make(chan struct{})}
	p.Stdout, p.Stderr = &p.out, &p.err
	require.NoError(t, p.Start())
	go func() {
		_ = p.Wait() // its state says how it ended
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.Process.Signal(os.Interrupt)
		select {
		case <-p.ended:
		case <-time.After(stopMax):
			p.kill()
		}
	})
	return p
}

// start starts a process and waits until it is ready.
func start(t *testing.T, args ...string) *process { return startWith(t, nil, args...) }

func startWith(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := launch(t, env, args...)
	p.waitFor(t, "Ctrl-C stops it")
	if strings.HasPrefix(args[0], "demo") {
		p.waitFor(t, "daybook events read")
	}
	return p
}

func (p *process) waitFor(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		select {
		case <-p.ended:
			return true
		default:
			return strings.Contains(p.out.String(), text)
		}
	}, readyMax, 10*time.Millisecond, "it does not print %q", text)
	require.Contains(t, p.out.String(), text, "it ended: %s", &p.err)
}

// stop interrupts the process, which ends well and in time.
func (p *process) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.ended:
	case <-time.After(stopMax):
		require.Fail(t, "it does not stop in time", "%s", &p.err)
	}
	require.Zero(t, p.ProcessState.ExitCode(), "%s", &p.err)
}

func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.ended
}

// of is what the process printed behind a word at the start of a line.
func (p *process) of(word string) string {
	for line := range strings.Lines(p.out.String()) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), word+" "); ok {
			return strings.Fields(rest)[0]
		}
	}
	return ""
}

func addressesOf(t *testing.T, dir string) (a map[string]string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &a))
	return a
}
