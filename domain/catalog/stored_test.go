package catalog_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	. "daybook.example/domain/catalog"
)

// stored lists the paths of an event in the golden files of its aggregate, where
// every shape is pinned.
func stored(t *testing.T, event Type) (paths []string) {
	t.Helper()
	folder := filepath.Base(event.Go.PkgPath())
	content, err := os.ReadFile(filepath.Join("..", folder, "testdata", "stored.golden"))
	require.NoError(t, err)
	found := false
	for line := range strings.Lines(string(content)) {
		if !strings.HasPrefix(line, event.Name+" ") {
			continue
		}
		found = true
		var data any
		require.NoError(t, json.Unmarshal([]byte(line[strings.Index(line, "{"):]), &data))
		paths = walk(paths, "", data)
	}
	require.True(t, found, "%s is not pinned", event.Name)
	slices.Sort(paths)
	return slices.Compact(paths)
}

func walk(paths []string, at string, data any) []string {
	switch value := data.(type) {
	case map[string]any:
		if _, marked := value["$personal"]; marked || strings.HasSuffix(at, "/replacement/data") {
			return append(paths, at)
		}
		for name, member := range value {
			paths = walk(paths, at+"/"+name, member)
		}
		return paths
	case []any:
		for _, element := range value {
			paths = walk(paths, at+"/*", element)
		}
		return paths
	}
	return append(paths, at)
}
