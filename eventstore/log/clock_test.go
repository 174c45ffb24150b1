package log

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// However the clock jumps, also between two starts, events stay in the order of
// their appends and recorded time does not go back.
func TestGivenAClockThatJumpsThenOrderAndRecordedTimeHold(t *testing.T) {
	t.Parallel()
	years := int64(20 * 365 * 24 * time.Hour)
	rapid.Check(t, func(rt *rapid.T) {
		// given a clock that anyone may turn
		var clock atomic.Int64
		clock.Store(time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC).UnixNano())
		o := small(t.TempDir())
		o.Now = func() time.Time { return time.Unix(0, clock.Load()) }
		l := open(t, o)
		var ids []uuid.UUID
		// when events are appended while it jumps back and forth
		for range rapid.IntRange(2, 12).Draw(rt, "appends") {
			clock.Add(rapid.OneOf(rapid.Int64Range(-years, years), rapid.SampledFrom([]int64{0, -1, 1, -int64(time.Hour)})).Draw(rt, "jump"))
			if rapid.IntRange(0, 5).Draw(rt, "restart") == 0 {
				require.NoError(rt, l.Close())
				l = open(t, o)
			}
			ids = append(ids, uuid.New())
			stream := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "stream")
			appended(t, l, stream, Any, Proposed{ID: ids[len(ids)-1], Type: "ticked", JSON: true, Data: []byte("{}")})
		}
		// then the log has them in the order of the appends
		records := everything(rt, l)
		require.NoError(rt, l.Close())
		require.Len(rt, records, len(ids))
		for i, record := range records {
			require.Equal(rt, ids[i], record.ID)
			if i > 0 {
				require.Greater(rt, record.Position, records[i-1].Position)
				require.False(rt, record.Created.Before(records[i-1].Created), "recorded time went back by %s", records[i-1].Created.Sub(record.Created))
			}
		}
	})
}
