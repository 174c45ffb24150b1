package scenario

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/test/program"
)

// What keeps the program from starting is said in one line with the way out,
// and is no loss to anybody: the folder is as it was.
func TestWhatItCannotStartOnItRefusesInOneLine(t *testing.T) {
	t.Parallel()
	home := program.NewHome(t)
	running := home.Start(t, program.Options{})
	admin := running.Client()
	_, err := program.Found(t.Context(), admin, "UTC")
	require.NoError(t, err)
	before, err := admin.Events(t.Context())
	require.NoError(t, err)

	port := taken(t)
	open := filepath.Join(t.TempDir(), "open")
	require.NoError(t, os.Mkdir(open, 0o755))

	for name, c := range map[string]struct {
		args []string
		says []string
	}{
		"a folder in use":          {serve(home.Dir), []string{"in use", "--dir"}},
		"a demo on a real log":     {append([]string{"demo"}, serve(home.Dir)[1:]...), []string{"in use"}},
		"a folder others can read": {serve(open), []string{"read by others", "chmod 700"}},
		"a database that is away":  {append(serve(fresh(t)), "--database", "postgres://nobody@127.0.0.1:1/none"), []string{"database", "DAYBOOK_DATABASE"}},
		"no database address":      {append(serve(fresh(t)), "--database", "mysql:/x"), []string{"--database"}},
		"no event store address":   {append(serve(fresh(t)), "--eventstore", "http:/x"), []string{"DAYBOOK_EVENTSTORE"}},
		"a role that is none":      {append(serve(fresh(t)), "--roles", "node,king"), []string{"king", "node,api,projections"}},
		"the node's port is taken": {append(serve(fresh(t)), "--node-listen", port), []string{port}},
		"a flag that is none":      {append(serve(fresh(t)), "--lisen", port), []string{"--lisen"}},
		"a folder without data":    {[]string{"import", "adventureworks", open, "--dir", home.Dir}, []string{"hr", "Employee.csv"}},
	} {
		t.Run(name, func(t *testing.T) {
			line := refused(t, c.args...)
			require.Equal(t, 1, strings.Count(line, "\n"), line)
			require.True(t, strings.HasPrefix(line, "daybook: "), line)
			for _, word := range c.says {
				require.Contains(t, line, word)
			}
		})
	}
	after, err := admin.Events(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
}

// taken is an address on which somebody else listens.
func taken(t *testing.T) string {
	t.Helper()
	somebody, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { somebody.Close() })
	return somebody.Addr().String()
}

// A log without its keys is a company of erased people: it is not served. Nor is
// one at a port that is taken; that is found out late, and ends all that had begun.
func TestAFolderWithoutKeysOrPortIsRefusedAndKept(t *testing.T) {
	t.Parallel()
	home := program.NewHome(t)
	home.Start(t, program.Options{})
	home.Stop(t)
	port := taken(t)
	require.Contains(t, refused(t, append(serve(home.Dir), "--listen", port)...), port)
	require.NoError(t, os.Rename(filepath.Join(home.Dir, "keys"), filepath.Join(home.Dir, "elsewhere")))
	require.Contains(t, refused(t, serve(home.Dir)...), "keys")
	// And with them it goes on.
	require.NoError(t, os.RemoveAll(filepath.Join(home.Dir, "keys")))
	require.NoError(t, os.Rename(filepath.Join(home.Dir, "elsewhere"), filepath.Join(home.Dir, "keys")))
	home.Start(t, program.Options{})
}

func serve(dir string) []string {
	return []string{"serve", "--dir", dir, "--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0"}
}

// fresh is where a folder may be made; one of the test's own is readable by others.
func fresh(t *testing.T) string { return filepath.Join(t.TempDir(), "books") }

// refused is what the program says when it ends badly, at once.
func refused(t *testing.T, args ...string) string {
	t.Helper()
	within, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var said strings.Builder
	cmd := exec.CommandContext(within, program.Binary(), args...)
	cmd.Stderr = &said
	require.Error(t, cmd.Run())
	require.NoError(t, within.Err(), "it did not end by itself: %s", said.String())
	require.Equal(t, 1, cmd.ProcessState.ExitCode(), said.String())
	return said.String()
}
