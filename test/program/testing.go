package program

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/test/level"
)

// Level says how much a test does: the default of make test, CI's numbers, or
// those of the night, where they are others.
func Level(few, ci int, nightly ...int) int {
	return level.Of(few, ci, append(nightly, ci)[0])
}

// binary is the program that this test package built.
var binary string

// Main builds the program, runs the tests and removes what it built. A program
// that DAYBOOK_TEST_BINARY names, as one to be released, is tested as it is.
func Main(m *testing.M) int {
	if binary = os.Getenv("DAYBOOK_TEST_BINARY"); binary != "" {
		return m.Run()
	}
	folder, err := os.MkdirTemp("", "daybook-binary-")
	if err == nil {
		defer os.RemoveAll(folder)
		binary, err = Build(folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Binary is the program that Main built.
func Binary() string { return binary }

// A Home is a folder that the program is started on, again and again.
type Home struct {
	Dir string
	Now *Process // as it was ready last
}

// NewHome makes a folder for a test; with it goes whatever still runs there.
func NewHome(t *testing.T) *Home {
	t.Helper()
	dir, err := os.MkdirTemp("", "daybook-") // short: a socket lies in it
	require.NoError(t, err)
	h := &Home{Dir: dir}
	t.Cleanup(func() {
		if h.Now != nil {
			h.Now.Kill()
			require.NoError(t, h.Now.DropCluster())
		}
		require.NoError(t, os.RemoveAll(dir))
	})
	return h
}

// Start starts the program on the folder, with more arguments and environment
// where the test has some, and returns when it is ready.
func (h *Home) Start(t *testing.T, o Options) *Process {
	t.Helper()
	p := h.Launch(t, o)
	require.NoError(t, p.Ready(t.Context()))
	h.Now = p
	return p
}

// Launch starts the program on the folder and returns at once.
func (h *Home) Launch(t *testing.T, o Options) *Process {
	t.Helper()
	o.Binary, o.Dir = binary, h.Dir
	p, err := Launch(o)
	require.NoError(t, err)
	t.Cleanup(p.Kill)
	return p
}

// Stop interrupts the program, which must end well in time.
func (h *Home) Stop(t *testing.T) {
	t.Helper()
	took, err := h.Now.Stop(15 * time.Second)
	require.NoError(t, err)
	require.Less(t, took, 10*time.Second)
}

// Must is the answer to a command or question that is to go well.
func Must(t *testing.T) func(Answer, error) Answer {
	t.Helper()
	return func(a Answer, err error) Answer {
		t.Helper()
		require.NoError(t, err)
		require.Less(t, a.Status, 300, "%s", a.Body)
		return a
	}
}
