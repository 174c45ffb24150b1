//go:build failpoints

package log

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/test/level"
)

// steps are all that the sources name.
func steps(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	call := regexp.MustCompile(`\tfailpoint\("([^"]+)"\)`)
	for _, name := range files {
		source, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, found := range call.FindAllStringSubmatch(string(source), -1) {
			require.NotContains(t, all, found[1], "two steps of one name")
			all = append(all, found[1])
		}
	}
	return all
}

// dies runs the writing process until it dies at a step, or is killed for not
// coming by in time.
func dies(t *testing.T, dir, step string, said *ledger) (there bool) {
	t.Helper()
	passes := 1 // of what happens once, or once a second
	switch part, _, _ := strings.Cut(step, ":"); part {
	case "commit", "publish", "answer":
		passes += rand.IntN(100)
	case "segment", "seal", "snapshot":
		passes += rand.IntN(3)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashFolder+"="+dir, fmt.Sprintf("%s=%s@%d", failpointVariable, step, passes))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	there = true
	late := time.AfterFunc(2*time.Second, func() { there = false; _ = child.Process.Kill() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		require.NoError(t, said.hear(lines.Text()))
	}
	err = child.Wait()
	late.Stop()
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL, "%v", err)
	return there
}

// T22 of the design's list of faults: a process that is killed at any step, of
// opening too, loses and doubles nothing that was acknowledged.
func TestGivenAKillAtAnyStepThenNothingIsLost(t *testing.T) {
	t.Parallel()
	all := steps(t)
	require.GreaterOrEqual(t, len(all), 25)
	for _, step := range all {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			reached := 0
			for range level.Of(1, 20, 100) {
				dir, said := t.TempDir(), ledger{}
				for i := range crashWriters {
					said.tried[i], said.acknowledged[i] = -1, -1
				}
				for range 2 { // the second opens what the first left
					if dies(t, dir, step, &said) {
						reached++
					}
					said.holds(t, dir)
				}
			}
			require.Positive(t, reached, "nobody came by")
		})
	}
}

// holds opens the log and compares it with what the killed said.
func (j *ledger) holds(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, segmentName(0))); errors.Is(err, fs.ErrNotExist) {
		require.Equal(t, int64(-1), slices.Max(j.acknowledged[:]), "there was a log once")
		return
	}
	l, err := Open(small(dir))
	require.NoError(t, err)
	total := 0
	for writer := range crashWriters {
		total += j.verify(t, l, writer)
	}
	require.Len(t, everything(t, l), total)
	require.NoError(t, l.Close())
}

// The control: what was acknowledged and is gone shows.
func TestGivenALogThatForgetsThenItShows(t *testing.T) {
	t.Parallel()
	dir, said := t.TempDir(), ledger{}
	for i := range crashWriters {
		said.tried[i], said.acknowledged[i] = -1, -1
	}
	for said.acknowledged[0] < 1 {
		dies(t, dir, "answer: one given", &said)
	}
	require.NoError(t, os.RemoveAll(dir))
	l, err := Open(small(dir))
	require.NoError(t, err)
	defer l.Close()
	require.Negative(t, l.Stream("w-0").Head)
	require.Positive(t, said.acknowledged[0], "the ledger knows better")
}
