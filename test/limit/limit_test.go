package limit

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// watched notes that a test failed, without failing.
type watched struct {
	testing.TB
	failed bool
}

func (w *watched) Errorf(string, ...any) { w.failed = true }
func (w *watched) Helper()               {}

var kept []byte

func TestWhatCostsTooMuchFails(t *testing.T) {
	for name, c := range map[string]struct {
		size int
		work func()
		want bool
	}{
		"little":                    {1, func() { kept = make([]byte, 1<<20) }, false},
		"much memory":               {1, func() { kept = make([]byte, memoryMax+1<<20) }, true},
		"much time":                 {1, func() { burn(perMiB + perMiB/5) }, true},
		"much time for a large one": {1 << 20, func() { burn(perMiB + perMiB/5) }, false},
	} {
		w := &watched{TB: t}
		check := Input(w, c.size)
		c.work()
		check()
		require.Equal(t, c.want, w.failed, name)
	}
}

func burn(d time.Duration) {
	for began := spent(nil); spent(nil)-began < d; {
	}
}
