package log

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestALogIsHeldByOneProcess(t *testing.T) {
	t.Parallel()
	l := open(t, small(t.TempDir()))
	_, err := Open(l.options)
	require.ErrorContains(t, err, "in use by another process")
}

func TestAClosedLogSaysSo(t *testing.T) {
	t.Parallel()
	l := open(t, small(t.TempDir()))
	appended(t, l, "a", Any, proposed(1)...)
	require.NoError(t, l.Close())
	_, err := l.Append(t.Context(), Append{Stream: "a", Expected: Any, Events: proposed(1)})
	require.ErrorIs(t, err, ErrClosed)
	_, err = l.ReadStream(t.Context(), "a", 0, Forwards, 1)
	require.ErrorIs(t, err, ErrClosed)
}

func TestWhatCannotBeStoredIsRefused(t *testing.T) {
	t.Parallel()
	l := open(t, small(t.TempDir()))
	for name, a := range map[string]struct {
		Append
		want error
	}{
		"no stream":                 {Append{Stream: "", Events: proposed(1)}, ErrInvalid},
		"metadata of metadata":      {Append{Stream: "$$$$a", Events: proposed(1)}, ErrInvalid},
		"no event ID":               {Append{Stream: "a", Events: []Proposed{{Type: "t"}}}, ErrInvalid},
		"a type that is not UTF-8":  {Append{Stream: "a", Events: []Proposed{{ID: uuid.New(), Type: "\xff"}}}, ErrInvalid},
		"more than an append holds": {Append{Stream: "a", Events: []Proposed{{ID: uuid.New(), Data: make([]byte, appendMax)}}}, ErrTooLarge},
	} {
		a.Expected = Any
		_, err := l.Append(t.Context(), a.Append)
		require.ErrorIs(t, err, a.want, name)
	}
	_, err := l.Delete(t.Context(), "$$a", Any)
	require.ErrorIs(t, err, ErrInvalid)
	require.Zero(t, l.Head())
}

func TestAnAppendLargerThanTheNextSegmentGetsALargerOne(t *testing.T) {
	t.Parallel()
	l := open(t, small(t.TempDir()))
	appended(t, l, "a", Any, proposed(1)...)
	large := proposed(1)
	large[0].Data = make([]byte, 1<<20)
	appended(t, l, "a", 0, large...)
	appended(t, l, "a", 1, proposed(1)...)
	before := everything(t, l)
	require.Len(t, before, 3)
	removed := l.options
	require.NoError(t, l.Close())
	removeSnapshot(t, removed.Dir)
	require.Equal(t, before, everything(t, open(t, removed)))
}

func TestAFullDiskRefusesAppendsServesReadsAndPasses(t *testing.T) {
	t.Parallel()
	var free atomic.Int64
	free.Store(1 << 40)
	o := small(t.TempDir())
	o.free = func() (int64, error) { return free.Load(), nil }
	l := open(t, o)
	appended(t, l, "a", NoStream, proposed(1)...)
	try := func() error {
		_, err := l.Append(t.Context(), Append{Stream: "a", Expected: Any, Events: proposed(1)})
		return err
	}
	free.Store(0)
	require.Eventually(t, func() bool { return try() != nil }, 2*time.Second, 10*time.Millisecond)
	require.ErrorIs(t, try(), ErrDiskFull)
	require.NotEmpty(t, everything(t, l))
	free.Store(1 << 40)
	require.Eventually(t, func() bool { return try() == nil }, 2*time.Second, 10*time.Millisecond)
	before := everything(t, l)
	require.Equal(t, before, everything(t, reopen(t, l)))
}

func TestNoRoomForTheNextSegmentIsADiskFullThatPasses(t *testing.T) {
	t.Parallel()
	var free atomic.Int64
	free.Store(600 << 10)
	o := small(t.TempDir())
	o.free = func() (int64, error) { return free.Load(), nil }
	l := open(t, o)
	free.Store(o.FreeSpaceMin) // enough for the guard, too little for any segment
	event := proposed(1)
	event[0].Data = make([]byte, 20<<10)
	stored, err := 0, error(nil)
	for ; err == nil; stored++ {
		event[0].ID = uuid.New()
		_, err = l.Append(t.Context(), Append{Stream: "a", Expected: Any, Events: event})
	}
	require.ErrorIs(t, err, ErrDiskFull)
	require.Len(t, everything(t, l), stored-1)
	free.Store(1 << 40)
	require.Eventually(t, func() bool {
		_, err := l.Append(t.Context(), Append{Stream: "a", Expected: int64(stored - 2), Events: event})
		return err == nil
	}, 2*time.Second, 10*time.Millisecond)
}

func TestAFailedWriteStopsTheLogForGood(t *testing.T) {
	t.Parallel()
	l, err := Open(small(t.TempDir()))
	require.NoError(t, err)
	appended(t, l, "a", NoStream, proposed(1)...)
	before := everything(t, l)
	live := l.writer.live.file
	require.NoError(t, live.Close()) // as good as a disk that is gone
	for range 2 {
		_, err := l.Append(t.Context(), Append{Stream: "a", Expected: 0, Events: proposed(1)})
		require.ErrorIs(t, err, ErrStopped)
	}
	require.Equal(t, int64(0), l.Stream("a").Head)
	require.Error(t, l.Close())
	l = open(t, l.options)
	require.Equal(t, before, everything(t, l))
	appended(t, l, "a", 0, proposed(1)...)
}

func TestARepeatedAppendIsAnsweredAfterYears(t *testing.T) {
	t.Parallel()
	l := open(t, small(t.TempDir()))
	events := proposed(3)
	first := appended(t, l, "a", NoStream, events...)
	for range 100 { // more than are searched one by one
		appended(t, l, "a", Any, proposed(2)...)
	}
	require.NoError(t, l.Close())
	removeSnapshot(t, l.options.Dir)
	l = open(t, l.options)
	for _, expected := range []int64{NoStream, Any, StreamExists} {
		again := appended(t, l, "a", expected, events...)
		require.Equal(t, Result{first.Revision, first.Position, true}, again)
	}
	_, err := l.Append(t.Context(), Append{Stream: "a", Expected: Any, Events: append(events[:1:1], proposed(1)...)})
	require.ErrorAs(t, err, new(*WrongExpectedRevision), "partly repeated")
	require.Len(t, everything(t, l), 203)
}

func TestEqualHashesAreNotEqualIDs(t *testing.T) {
	t.Parallel()
	l := open(t, small(t.TempDir()))
	first := proposed(1)
	appended(t, l, "a", NoStream, first...)
	other := proposed(1)
	s := l.index.stream("a")
	l.index.mu.Lock()
	s.events[0].hash = hashID(other[0].ID) // as if both had one hash
	l.index.mu.Unlock()
	require.False(t, appended(t, l, "a", Any, other...).Idempotent)
	require.True(t, appended(t, l, "a", Any, other...).Idempotent)
	require.Equal(t, int64(1), l.Stream("a").Head)
}

func TestAReaderNeverSeesHalfABatch(t *testing.T) {
	t.Parallel()
	l := open(t, small(t.TempDir()))
	const size, batches = 7, 150
	var done atomic.Bool
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			for !done.Load() {
				stream, err := l.ReadStream(context.Background(), "a", 0, Forwards, math.MaxInt)
				if err != nil || len(stream)%size != 0 {
					t.Errorf("%d events of whole batches of %d: %v", len(stream), size, err)
					return
				}
				if all := everything(t, l); len(all)%size != 0 || len(all) < len(stream) {
					t.Errorf("%d events in all, %d in the stream", len(all), len(stream))
					return
				}
			}
		})
	}
	for i := range batches {
		appended(t, l, "a", int64(i*size-1), proposed(size)...)
	}
	done.Store(true)
	wait.Wait()
}

func TestFollowersMissAndRepeatNothing(t *testing.T) {
	t.Parallel()
	l := open(t, small(t.TempDir()))
	const events = 600
	follow := func() {
		var got []int64
		for from := uint64(0); len(got) < events; {
			changed := l.Changed()
			page, err := l.ReadAll(context.Background(), from, Forwards, 10, 2000)
			if err != nil {
				t.Error(err)
				return
			}
			for _, r := range page {
				got = append(got, r.Revision)
				from = r.Position + 1
			}
			if len(page) == 0 {
				<-changed
			}
		}
		for i, revision := range got {
			if int64(i) != revision {
				t.Errorf("event %d came at place %d", revision, i)
				return
			}
		}
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(follow)
	}
	for i := 0; i < events; i += 3 {
		appended(t, l, "a", int64(i-1), proposed(3)...)
	}
	wait.Wait()
}

func TestTheWholeLogIsReadFromAnyPlaceBothWays(t *testing.T) {
	t.Parallel()
	l := open(t, small(t.TempDir()))
	random := rand.New(rand.NewPCG(9, 9))
	for i := range 120 {
		events := proposed(1 + random.IntN(6))
		events[0].Data = make([]byte, random.IntN(4000))
		appended(t, l, fmt.Sprintf("s-%d", i%5), Any, events...)
	}
	all := everything(t, l)
	require.True(t, slices.IsSortedFunc(all, func(a, b Record) int { return int(a.Position) - int(b.Position) }))
	end := all[len(all)-1].Position
	for range 300 {
		from, limit := random.Uint64N(end+5000), 1+random.IntN(20)
		if random.IntN(2) == 0 {
			from = all[random.IntN(len(all))].Position // exactly at a record
		}
		at, found := slices.BinarySearchFunc(all, from, func(r Record, at uint64) int { return int(int64(r.Position) - int64(at)) })
		forwards, err := l.ReadAll(t.Context(), from, Forwards, limit, math.MaxInt)
		require.NoError(t, err)
		require.Equal(t, append([]Record(nil), all[at:min(at+limit, len(all))]...), forwards)
		if found {
			require.Equal(t, from, forwards[0].Position, "forwards is inclusive")
		}
		backwards, err := l.ReadAll(t.Context(), from, Backwards, limit, math.MaxInt)
		require.NoError(t, err)
		want := append([]Record(nil), all[max(0, at-limit):at]...)
		slices.Reverse(want)
		require.Equal(t, want, backwards)
	}
	one, err := l.ReadAll(t.Context(), 0, Forwards, 100, 1)
	require.NoError(t, err)
	require.Len(t, one, 1, "at least one event")
}

func TestOldEventsAreHiddenByAge(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	o := small(t.TempDir())
	var after atomic.Int64
	o.Now = func() time.Time { return now.Add(time.Duration(after.Load())) }
	l := open(t, o)
	appended(t, l, "$$a", Any, Proposed{ID: uuid.New(), Type: metadataType, JSON: true, Data: []byte(`{"$maxAge":10}`)})
	for i := range 20 {
		after.Store(int64(i) * int64(time.Second))
		appended(t, l, "a", Any, proposed(1)...)
	}
	records, err := l.ReadStream(t.Context(), "a", 0, Forwards, 100)
	require.NoError(t, err)
	require.Equal(t, int64(9), records[0].Revision)
	after.Store(int64(time.Hour))
	records, err = l.ReadStream(t.Context(), "a", math.MaxInt64, Backwards, 100)
	require.NoError(t, err)
	require.Empty(t, records)
	require.True(t, l.Stream("a").Exists, "all hidden, but not missing")
}

func TestTimeNeverRunsBackwardsInTheLog(t *testing.T) {
	t.Parallel()
	o := small(t.TempDir())
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	var after atomic.Int64
	o.Now = func() time.Time { return start.Add(time.Duration(after.Load())) }
	l := open(t, o)
	for _, jump := range []time.Duration{0, time.Hour, -time.Hour, 0} {
		after.Store(int64(jump))
		appended(t, l, "a", Any, proposed(1)...)
		l = reopen(t, l)
	}
	var created []time.Time
	for _, r := range everything(t, l) {
		created = append(created, r.Created)
	}
	require.Equal(t, []time.Time{start, start.Add(time.Hour), start.Add(time.Hour), start.Add(time.Hour)}, created)
}

func TestAFullQueueMakesCallersWait(t *testing.T) {
	t.Parallel()
	o := small(t.TempDir())
	o.QueueBytes = 64 << 10
	l := open(t, o)
	q := l.queue
	q.mu.Lock()
	q.turn = true // the writer is busy
	q.mu.Unlock()
	large := proposed(1)
	large[0].Data = make([]byte, q.bytes)
	patience, cancel := context.WithCancel(t.Context())
	given := make(chan error)
	go func() {
		_, err := l.Append(patience, Append{Stream: "a", Expected: Any, Events: large})
		given <- err
	}()
	require.Eventually(t, func() bool { q.mu.Lock(); defer q.mu.Unlock(); return len(q.waiting) == 1 }, 20*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-given, context.Canceled)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := l.Append(short, Append{Stream: "b", Expected: Any, Events: large})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	q.pass()
	require.Eventually(t, func() bool { return l.Stream("a").Exists }, 20*time.Second, time.Millisecond)
	appended(t, l, "c", Any, proposed(1)...)
	require.False(t, l.Stream("b").Exists, "it never entered the queue")
}

func TestAnIndexIsRebuiltWithProgress(t *testing.T) {
	t.Parallel()
	o := small(t.TempDir())
	l := open(t, o)
	for range 50 {
		large := proposed(1)
		large[0].Data = make([]byte, 8<<10)
		appended(t, l, "a", Any, large...)
	}
	require.NoError(t, l.Close())
	removeSnapshot(t, o.Dir)
	var done, total int64
	o.Progress = func(d, of int64) { done, total = d, of }
	l = open(t, o)
	require.Positive(t, total)
	require.Equal(t, total, done)
	require.Equal(t, int64(49), l.Stream("a").Head)
}
