package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// given a module of somebody else, when it uses the node, the log and the Watermill adapter, then it builds and runs, without any network
func TestAModuleOutsideCanUseTheEventStore(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	dir := t.TempDir()
	for from, to := range map[string]string{"outside/go.mod": "go.mod", "outside/main.go": "main.go", "../go.sum": "go.sum"} {
		content, err := os.ReadFile(from)
		require.NoError(t, err)
		text := strings.ReplaceAll(string(content), "=> ../..", "=> "+root)
		require.NoError(t, os.WriteFile(filepath.Join(dir, to), []byte(text), 0o600))
	}
	run := exec.CommandContext(t.Context(), "go", "run", ".")
	run.Dir = dir
	// With the flags of this build most of it is compiled already.
	run.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -mod=mod", "GOPROXY=off", "GOSUMDB=off", "GOWORK=off")
	printed, err := run.CombinedOutput()
	require.NoError(t, err, "%s", printed)
	require.Equal(t, "group \"\": 100 messages in order\ngroup \"readers\": 100 messages in order\n", string(printed))
}
