package scenario

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/test/program"
)

// The README promises two commands. This is what make demo runs: the five lines
// that it prints work as printed, an interrupt ends it well, and nothing is left.
func TestTheDemoOfTheReadme(t *testing.T) {
	t.Parallel()
	for _, promise := range []string{"make demo", "make test"} {
		require.Contains(t, snippets(t), promise)
	}
	place := t.TempDir()
	demo, err := program.Launch(program.Options{Binary: program.Binary(), Verb: "demo", Env: []string{"TMPDIR=" + place}})
	require.NoError(t, err)
	t.Cleanup(demo.Kill)
	lines := untilPrinted(t, demo, 5)
	for _, line := range lines {
		answer := run(t, t.TempDir(), line)
		require.NotEmpty(t, strings.TrimSpace(answer), line)
		if strings.HasPrefix(line, "curl") {
			require.True(t, json.Valid([]byte(answer)), "%s: %s", line, answer)
			require.NotContains(t, answer, "problems/", line)
		} else {
			require.Greater(t, strings.Count(answer, "\n"), 1, "%s: a heading and something below it: %s", line, answer)
		}
	}
	took, err := demo.Stop(10 * time.Second)
	require.NoError(t, err)
	t.Logf("stopped after %s", took.Round(time.Millisecond))
	left, err := os.ReadDir(place)
	require.NoError(t, err)
	require.Empty(t, left, "a temporary demo leaves nothing")
}

// snippets are the shell lines of the README.
func snippets(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	var all strings.Builder
	for i, part := range strings.Split(string(content), "```") {
		if text, shell := strings.CutPrefix(part, "sh\n"); i%2 == 1 && shell {
			all.WriteString(text)
		}
	}
	return all.String()
}

// untilPrinted waits for the lines to try next.
func untilPrinted(t *testing.T, demo *program.Process, n int) (lines []string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		_, next, found := strings.Cut(demo.Printed(), "Try next:\n")
		lines = strings.Split(strings.TrimRight(next, "\n"), "\n")
		if found && len(lines) == n && strings.HasSuffix(next, "\n") {
			break
		}
		require.False(t, time.Now().After(end), "%s%s", demo.Printed(), demo.Complaints())
	}
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

// run types a line into a shell that stands in a folder and finds the binary.
func run(t *testing.T, folder, line string) string {
	t.Helper()
	within, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	shell := exec.CommandContext(within, "sh", "-c", line)
	shell.Dir = folder
	shell.Env = append(os.Environ(), "PATH="+filepath.Dir(program.Binary())+":"+os.Getenv("PATH"))
	printed, err := shell.CombinedOutput()
	require.NoError(t, err, "%s: %s", line, printed)
	return string(printed)
}

// Every other program line of the README names verbs and flags that there are.
// Asking what they do leaves nothing.
func TestTheReadmesLinesAreKnownToTheProgram(t *testing.T) {
	t.Parallel()
	place := t.TempDir()
	for line := range strings.Lines(snippets(t)) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
		if words := strings.Fields(line); len(words) > 1 && words[0] == "daybook" {
			require.Contains(t, run(t, place, line+" --help"), "Usage:", line)
		}
	}
	left, err := os.ReadDir(place)
	require.NoError(t, err)
	require.Empty(t, left)
}
