package log

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// small makes segments so small that tests go through many.
func small(dir string) Options {
	return Options{
		Dir: dir, SegmentFirst: 64 << 10, SegmentMax: 256 << 10, FreeSpaceMin: 4096,
		Logger: slog.New(slog.DiscardHandler),
	}
}

func open(t *testing.T, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func reopen(t *testing.T, l *Log) *Log {
	t.Helper()
	require.NoError(t, l.Close())
	return open(t, l.options)
}

// proposed makes n events with new IDs.
func proposed(n int) []Proposed {
	events := make([]Proposed, n)
	for i := range events {
		events[i] = Proposed{ID: uuid.New(), Type: "thing-happened", JSON: true, Data: []byte(`{"n":1}`), Metadata: []byte(`{"by":"x"}`)}
	}
	return events
}

func appended(t *testing.T, l *Log, stream string, expected int64, events ...Proposed) Result {
	t.Helper()
	result, err := l.Append(t.Context(), Append{Stream: stream, Expected: expected, Events: events})
	require.NoError(t, err)
	return result
}

func everything(t require.TestingT, l *Log) []Record {
	records, err := l.ReadAll(context.Background(), 0, Forwards, math.MaxInt, math.MaxInt)
	require.NoError(t, err)
	return records
}

func TestWhatWasAppendedIsReadBack(t *testing.T) {
	t.Parallel()
	l := open(t, small(t.TempDir()))
	events := proposed(3)
	result := appended(t, l, "a", NoStream, events...)
	require.Equal(t, int64(2), result.Revision)
	records, err := l.ReadStream(t.Context(), "a", 0, Forwards, 10)
	require.NoError(t, err)
	require.Len(t, records, 3)
	for i, r := range records {
		require.Equal(t, events[i].ID, r.ID)
		require.Equal(t, int64(i), r.Revision)
		decoded, err := r.Decode()
		require.NoError(t, err)
		require.Equal(t, events[i].Data, decoded.Data)
		require.Equal(t, events[i].Metadata, decoded.CustomMetadata)
		require.Equal(t, r.Position, decoded.CommitPosition)
		require.Equal(t, r.Position, decoded.PreparePosition)
		require.Equal(t, uint64(i), decoded.StreamRevision)
		require.Equal(t, "a", string(decoded.StreamIdentifier.StreamName))
		require.Equal(t, map[string]string{"type": "thing-happened", "content-type": contentJSON, "created": strconv.FormatUint(ticksOf(r.Created), 10)}, decoded.Metadata)
	}
	require.Equal(t, records[2].Position, l.Head())
	require.Equal(t, records[2].Position, result.Position)
	back, err := l.ReadAll(t.Context(), math.MaxUint64, Backwards, 2, math.MaxInt)
	require.NoError(t, err)
	require.Equal(t, []Record{records[2], records[1]}, back)
}

func TestALogReopensAsItWas(t *testing.T) {
	t.Parallel()
	l := open(t, small(t.TempDir()))
	for i := range 400 {
		appended(t, l, fmt.Sprintf("s-%d", i%7), Any, proposed(1+i%5)...)
	}
	require.Greater(t, len(*l.segments.Load()), 2)
	before, head, id := everything(t, l), l.Head(), l.ID()
	l = reopen(t, l)
	require.Equal(t, id, l.ID())
	require.Equal(t, head, l.Head())
	require.Equal(t, before, everything(t, l))
}

func TestManyWriteAtOnce(t *testing.T) {
	t.Parallel()
	l := open(t, small(t.TempDir()))
	const callers, each = 16, 100
	var wait sync.WaitGroup
	for c := range callers {
		wait.Go(func() {
			for i := range each {
				_, err := l.Append(context.Background(), Append{Stream: fmt.Sprintf("s-%d", c), Expected: int64(2*i - 1), Events: proposed(2)})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	require.Len(t, everything(t, l), callers*each*2)
	l = reopen(t, l)
	require.Len(t, everything(t, l), callers*each*2)
}

func removeSnapshot(t require.TestingT, dir string) {
	require.NoError(t, os.Remove(filepath.Join(dir, snapshotName)))
}
