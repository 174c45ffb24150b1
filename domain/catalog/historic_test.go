package catalog_test

import (
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	. "daybook.example/domain/catalog"
	"daybook.example/domain/domaintest"
)

// Every shape that an earlier version of Daybook wrote has a golden file beside
// its aggregate that says what it is read as. A new Was without one fails here,
// whatever the tests of the aggregate do.
func TestEveryHistoricShapeHasAGoldenFile(t *testing.T) {
	t.Parallel()
	for aggregate := range Aggregates() {
		for event := range aggregate.Types() {
			folder := filepath.Join("..", filepath.Base(event.Go.PkgPath()), "testdata")
			require.NoError(t, domaintest.Historic(folder, aggregate.Historic(), Decode), aggregate.Category)
			break
		}
	}
}

// A version that no entry lists is an error for every event there is, never taken
// for a neighbour.
func TestAVersionThatNeverWasIsUnknown(t *testing.T) {
	t.Parallel()
	for aggregate := range Aggregates() {
		for event := range aggregate.Types() {
			for _, version := range []int{-1, 0, event.Version + 1, 99} {
				decoded, err := Decode(event.Name, version, []byte(`{}`))
				require.ErrorIs(t, err, domain.ErrUnknownType, "%s version %d", event.Name, version)
				require.True(t, decoded == nil, "no typed nil")
			}
			zero := reflect.Zero(event.Go).Interface().(domain.Named)
			require.Equal(t, event.Version, domain.SchemaVersion(zero))
		}
	}
}
