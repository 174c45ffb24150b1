package test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
)

// pinned is the table of what the product may stand on, and in which version.
// A module comes in here with the reason in its commit; nothing updates itself.
// protobuf is what client_golang asks for.
var pinned = map[string]string{
	"codeberg.org/go-pdf/fpdf":                      "v0.12.0",
	"github.com/EventStore/EventStore-Client-Go/v4": "v4.2.0",
	"github.com/Shopify/toxiproxy/v2":               "v2.12.0",
	"github.com/ThreeDotsLabs/watermill":            "v1.5.3",
	"github.com/anishathalye/porcupine":             "v1.3.1",
	"github.com/bojanz/currency":                    "v1.4.4",
	"github.com/chromedp/chromedp":                  "v0.23.0",
	"github.com/cockroachdb/apd/v3":                 "v3.2.3",
	"github.com/danielgtaylor/huma/v2":              "v2.39.1",
	"github.com/getkin/kin-openapi":                 "v0.133.0",
	"github.com/go-json-experiment/json":            "v0.0.0-20260820222146-c27c302e5fc3",
	"github.com/google/uuid":                        "v1.6.0",
	"github.com/jackc/pgx/v5":                       "v5.12.0",
	"github.com/pressly/goose/v3":                   "v3.26.0",
	"github.com/prometheus/client_golang":           "v1.25.0",
	"github.com/rogpeppe/go-internal":               "v1.16.0",
	"github.com/spf13/cobra":                        "v1.10.2",
	"github.com/spf13/pflag":                        "v1.0.10",
	"github.com/stretchr/testify":                   "v1.12.1",
	"github.com/transparency-dev/formats":           "v0.1.1",
	"github.com/transparency-dev/merkle":            "v0.0.2",
	"github.com/vbauerster/mpb/v8":                  "v8.9.3",
	"go.uber.org/goleak":                            "v1.3.0",
	"golang.org/x/image":                            "v0.47.0",
	"golang.org/x/mod":                              "v0.42.0",
	"golang.org/x/sync":                             "v0.23.0",
	"golang.org/x/sys":                              "v0.48.0",
	"golang.org/x/term":                             "v0.46.0",
	"golang.org/x/text":                             "v0.42.0",
	"golang.org/x/time":                             "v0.16.0",
	"google.golang.org/genproto/googleapis/rpc":     "v0.0.0-20241007155032-5fefd90f89a9",
	"google.golang.org/grpc":                        "v1.67.1",
	"google.golang.org/protobuf":                    "v1.36.12",
	"pgregory.net/rapid":                            "v1.3.0",
}

func TestDependenciesAreThosePinned(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "go.mod")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	module, err := modfile.Parse(path, content, nil)
	require.NoError(t, err)
	require.Empty(t, module.Replace)
	require.Empty(t, module.Exclude)
	for _, required := range module.Require {
		if version, ok := pinned[required.Mod.Path]; ok || !required.Indirect {
			require.Equal(t, version, required.Mod.Version, "%s", required.Mod.Path)
		}
	}
}
