package load

import (
	"os"
	"slices"
	"testing"
	"time"

	"daybook.example/test/level"
	"daybook.example/test/program"
)

// The tests of this package run one after another: each takes all of the machine,
// or watches what one process uses of it.
func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

func seconds(few, ci, nightly int) time.Duration {
	return time.Duration(level.Of(few, ci, nightly)) * time.Second
}

func median[T any](all []T, of func(T) float64) float64 {
	values := make([]float64, len(all))
	for i, one := range all {
		values[i] = of(one)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
