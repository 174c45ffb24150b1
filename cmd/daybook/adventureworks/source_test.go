package adventureworks

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The data stands beside the project, never in it.
func data(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs("../../../../shared/data/adventureworks")
	require.NoError(t, err)
	if _, err := os.Stat(folder); err != nil {
		t.Skip("the AdventureWorks files are not at ../shared/data/adventureworks beside the project")
	}
	return folder
}

func TestAHierarchyPathIsDecoded(t *testing.T) {
	t.Parallel()
	for org, want := range map[string][]int{
		"": nil, "58": {1}, "68": {2}, "78": {3}, "84": {4}, "5AC0": {1, 1}, "5AE158": {1, 1, 4, 1}, "7AF044": {3, 1, 16},
	} {
		got, err := path(org)
		require.NoError(t, err)
		require.Equal(t, want, got, org)
	}
	_, err := path("F0")
	require.Error(t, err)
}

func TestEveryoneButTheChiefHasAManager(t *testing.T) {
	t.Parallel()
	s, err := Read(data(t))
	require.NoError(t, err)
	managers, err := s.managers()
	require.NoError(t, err)
	require.Len(t, managers, 289)
	for _, r := range s.rows("hr/Employee.csv") {
		p, err := path(r.text("org"))
		require.NoError(t, err)
		require.Equal(t, r.text("organizationlevel"), string(rune('0'+len(p))), r.ref())
	}
}

func TestAWrongFolderNamesTheMissingFiles(t *testing.T) {
	t.Parallel()
	_, err := Read(t.TempDir())
	require.ErrorContains(t, err, "hr/Employee.csv")
	require.ErrorContains(t, err, "purchasing/PurchaseOrderHeader.csv")
}
