package commands

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/eventstore"
)

// far is a store that takes longer to reach than others have it.
type far struct {
	claimStore
	lost  atomic.Int64 // appends that came late
	whole atomic.Int64 // streams read from their beginning
}

func (f *far) Append(ctx context.Context, stream string, expected eventstore.ExpectedRevision, events []eventstore.Proposed) (eventstore.Written, error) {
	time.Sleep(time.Millisecond)
	written, err := f.claimStore.Append(ctx, stream, expected, events)
	if err != nil {
		f.lost.Add(1)
	}
	return written, err
}

func (f *far) ReadStream(ctx context.Context, stream string, from eventstore.Revision, dir eventstore.Direction, max uint64) ([]eventstore.Recorded, error) {
	if from == 0 {
		f.whole.Add(1)
	}
	time.Sleep(time.Millisecond)
	return f.claimStore.ReadStream(ctx, stream, from, dir, max)
}

// Control: with a state that cannot be copied each loss costs the whole stream,
// and without patience the losers are refused.
func TestOfTwoBusyProcessesOnOneLongStreamNeitherIsKeptOut(t *testing.T) {
	t.Parallel()
	uncopied := jars
	uncopied.Copy = nil
	for name, c := range map[string]struct {
		decider  domain.Decider[jarCommand, jar, jarEvent]
		patience time.Duration
		lossMax  int64 // then the crowd nearby goes away
		kept     bool
	}{
		"as it is":                  {jars, 0, 2000, true},
		"control: without a copy":   {uncopied, 0, 20, false},
		"control: without patience": {jars, time.Nanosecond, 20, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			house := newHouse(t)
			line := &far{claimStore: house.client}
			core := house.processOn(line, house.client)
			core.conflictMax = c.patience
			near, distant := jarsOf(house.process()), NewHandler(core, c.decider, jarCatalog, "jar")
			stream := opened(t, near)
			crowd(100, func() { house.put(near, stream) })

			var over atomic.Bool
			var refused atomic.Int64
			var all sync.WaitGroup
			all.Go(func() {
				crowd(8, func() {
					for !over.Load() && line.lost.Load() < c.lossMax {
						house.put(near, stream)
					}
				})
			})
			crowd(8, func() {
				for sent := 0; sent < 5 || line.lost.Load() < 20; sent++ {
					_, err := distant.Handle(t.Context(), stream, request("put"), put{Coins: 1})
					if err != nil {
						require.ErrorIs(t, err, domain.Code("conflict"))
						refused.Add(1)
					}
				}
			})
			over.Store(true)
			all.Wait()

			require.Equal(t, c.kept, refused.Load() == 0 && 2*line.whole.Load() < line.lost.Load(), "%d refused, %d lost, %d read whole", refused.Load(), line.lost.Load(), line.whole.Load())
		})
	}
}

func crowd(n int, do func()) {
	var all sync.WaitGroup
	for range n {
		all.Go(do)
	}
	all.Wait()
}

func (h *house) put(handler *Handler[jarCommand, jar, jarEvent], stream string) {
	_, err := handler.Handle(h.t.Context(), stream, request("put"), put{Coins: 1})
	require.NoError(h.t, err)
}
