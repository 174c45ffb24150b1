package log

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestALogTellsWhatItIs(t *testing.T) {
	t.Parallel()
	// given an open log of several segments
	l := filled(t)
	records := everything(t, l)
	streams := map[string]bool{}
	for _, r := range records {
		streams[r.Stream] = true
	}
	requireInfo := func() Info {
		i, err := Inspect(t.Context(), l.options.Dir, nil)
		require.NoError(t, err)
		require.Equal(t, l.ID(), i.LogID)
		require.EqualValues(t, len(records), i.Events)
		require.Equal(t, len(streams), i.Streams)
		require.Equal(t, records[len(records)-1].Position, i.Head)
		require.Equal(t, l.writer.end, i.End)
		require.Equal(t, i.End, i.Mark)
		require.Equal(t, records[0].Position, i.Segments[0].First)
		require.Equal(t, SegmentSealed, i.Segments[0].State)
		live := i.Segments[len(*l.segments.Load())-1]
		require.Equal(t, SegmentLive, live.State)
		require.Equal(t, i.Head, live.Last)
		return i
	}

	// then its files say so while it is open, with no snapshot, and once it is closed
	requireInfo()
	require.Eventually(t, func() bool { // one may still be on its way, since the last seal
		_ = os.Remove(filepath.Join(l.options.Dir, snapshotName))
		return requireInfo().Snapshot.Written.IsZero()
	}, 10*time.Second, 20*time.Millisecond)
	require.Eventually(t, func() bool { // and the next segment is made ahead
		return len(requireInfo().Segments) > len(*l.segments.Load())
	}, 10*time.Second, 20*time.Millisecond)
	require.NoError(t, l.Close())
	i := requireInfo()
	require.Equal(t, i.End, i.Snapshot.Covered)
	require.Equal(t, SegmentUnused, i.Segments[len(i.Segments)-1].State)
	require.Greater(t, i.Bytes, int64(i.Events)*100)
	_, err := Inspect(t.Context(), t.TempDir(), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}
