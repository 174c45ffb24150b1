package node

import (
	"math"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore/log"
)

// Given a node that has little patience.
// When a slow reader reads a stream and the log, both ways.
// Then pages are taken from it in the middle, and it gets each event once.
func TestAReaderThatStallsGetsEachEventOnce(t *testing.T) {
	t.Parallel()
	const count = 60
	l, err := log.Open(log.Options{Dir: filepath.Join(t.TempDir(), "log")})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	var want []uint64
	for range count {
		r, err := l.Append(t.Context(), log.Append{Stream: "things-1", Expected: log.Any, Events: []log.Proposed{
			{ID: uuid.New(), Type: "thing-happened", Data: make([]byte, 200)},
		}})
		require.NoError(t, err)
		want = append(want, r.Position)
	}
	s := &service{log: l, patience: 3 * time.Millisecond}
	for _, from := range []source{s.allSource(0, log.Forwards), s.streamSource("things-1", 0, log.Forwards)} {
		got, short := readSlowly(t, s, from)
		require.Equal(t, want, got)
		require.Positive(t, short, "pages that were let go")
	}
	slices.Reverse(want)
	for _, from := range []source{s.allSource(math.MaxUint64, log.Backwards), s.streamSource("things-1", math.MaxInt64, log.Backwards)} {
		got, short := readSlowly(t, s, from)
		require.Equal(t, want, got)
		require.Positive(t, short, "pages that were let go")
	}
}

func readSlowly(t *testing.T, s *service, from source) (got []uint64, short int) {
	t.Helper()
	for more := true; more; {
		records, ok, err := from.page(t.Context(), pageEvents)
		require.NoError(t, err)
		_, whole, err := s.give(from, records, func(r log.Record) error {
			require.NotEmpty(t, r.Event)
			got = append(got, r.Position)
			time.Sleep(time.Millisecond)
			return nil
		})
		require.NoError(t, err)
		if more = ok || !whole; !whole {
			short++
		}
	}
	return got, short
}

// Given what may be in flight to a reader.
// When more than that waits for it.
// Then its sender waits until half of it was taken, and one event is never too large.
func TestWhatIsInFlightIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newInFlight()
		require.NoError(t, f.take(t.Context(), 5000, 1000), "alone")
		require.False(t, f.tryTake(1, 1000))
		f.give(5000)
		<-f.room
		for range 10 {
			require.NoError(t, f.take(t.Context(), 100, 1000))
		}
		var taken atomic.Bool
		go func() { taken.Store(f.take(t.Context(), 100, 1000) == nil) }()
		for range 5 {
			synctest.Wait()
			require.False(t, taken.Load(), "more than its share was in flight")
			f.give(100)
		}
		synctest.Wait()
		require.True(t, taken.Load(), "room for half, and it still waits")
	})
}

// A few readers get what gRPC would give them, many share what there is.
func TestReadersShareMemory(t *testing.T) {
	t.Parallel()
	for count, share := range map[int64]int{0: 64 << 10, 1: 64 << 10, 64: 64 << 10, 128: 32 << 10, 1024: 4 << 10, 5000: 4 << 10} {
		r := &readers{}
		r.count.Store(count)
		require.Equal(t, share, r.share(), "%d readers", count)
	}
}
