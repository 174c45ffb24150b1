package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// adventureWorks is the folder of the data, which stands beside the project and
// never in it.
func adventureWorks(t *testing.T) string {
	t.Helper()
	data, err := filepath.Abs("../../../shared/data/adventureworks")
	require.NoError(t, err)
	if _, err := os.Stat(data); err != nil {
		t.Skip("not tested: the AdventureWorks files are not at ../shared/data/adventureworks beside the project")
	}
	return data
}

// A report is what an import prints as JSON.
type report struct {
	Commands, Added, Known, Refused int
	Totals                          []struct{ Name, Expected, Found string } `json:"control_totals"`
	Left                            []struct{ Ref, Reason string }           `json:"left_aside"`
}

func reported(t *testing.T, r result) (made report) {
	t.Helper()
	require.Zero(t, r.code, r.err)
	require.NoError(t, json.Unmarshal([]byte(r.out), &made))
	return made
}

func TestAnImportHappensOnceHoweverOftenItIsKilled(t *testing.T) {
	t.Parallel()
	data, dir, env := adventureWorks(t), folder(t), database(t)
	verb := []string{"import", "adventureworks", data, "--output", "json", "--dir", dir}

	// Given an import into a running server that is killed half way
	server := startWith(t, env, "serve", "--dir", dir)
	caller := launch(t, env, verb...)
	untilPosted(t, dir, 500)
	caller.kill()

	// And another one whose server is killed
	caller = launch(t, env, verb...)
	untilPosted(t, dir, 1500)
	server.kill()
	<-caller.ended
	require.Equal(t, 1, caller.ProcessState.ExitCode())
	require.Contains(t, caller.err.String(), "repeat the import: it goes on where it stopped")

	// When it is repeated, without a server
	whole := reported(t, daybookWith(t, env, verb...))

	// Then all is there, once
	require.Equal(t, 6219, whole.Commands)
	require.Equal(t, 2, whole.Refused)
	require.Equal(t, 6217, whole.Added+whole.Known)
	require.NotZero(t, whole.Known)
	require.Len(t, whole.Totals, 25)
	for _, total := range whole.Totals {
		require.Equal(t, total.Expected, total.Found, total.Name)
	}
	require.Len(t, whole.Left, 12+323+41+2)

	// And once more adds nothing
	events := daybookWith(t, env, "events", "read", "--limit", "100000", "--dir", dir).out
	again := reported(t, daybookWith(t, env, verb...))
	require.Zero(t, again.Added)
	require.Equal(t, 6217, again.Known)
	require.Equal(t, whole.Totals, again.Totals)
	require.Equal(t, events, daybookWith(t, env, "events", "read", "--limit", "100000", "--dir", dir).out)
	require.Equal(t, 1566+3689, strings.Count(events, "  journal-entry-posted  "))
	require.Equal(t, 290, strings.Count(events, "  employee-hired  "))
}

// untilPosted waits until an import is somewhere in the middle.
func untilPosted(t *testing.T, dir string, count int) {
	t.Helper()
	require.Eventually(t, func() bool {
		info, err := os.Stat(filepath.Join(dir, "addresses.json"))
		if err != nil || info.Size() == 0 {
			return false
		}
		r := daybook(t, "events", "read", "--type", "journal-entry-posted", "--limit", "100000", "--dir", dir)
		return strings.Count(r.out, "\n") >= count
	}, readyMax, 200*time.Millisecond) // each look is a process of its own
}
