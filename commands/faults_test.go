package commands

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/eventstore"
)

// A fault is what happens to one append on its way.
type fault int

const (
	none         fault = iota
	unsent             // it never reaches the store
	unanswered         // it is stored, the answer is lost
	slow               // it takes a while
	crashed            // the process ends before it
	crashedAfter       // the process ends when it is stored
)

// faulty stands between a handler and the store.
type faulty struct {
	claimStore
	onAppend func(n int) fault // n counts from 0
	appends  atomic.Int64
	sent     sync.Map // first event ID -> the bytes first sent
	changed  atomic.Bool
}

func (f *faulty) Append(ctx context.Context, stream string, expected eventstore.ExpectedRevision, events []eventstore.Proposed) (eventstore.Written, error) {
	if first, again := f.sent.LoadOrStore(events[0].ID, string(events[0].Data)); again && first != string(events[0].Data) {
		f.changed.Store(true)
	}
	switch f.onAppend(int(f.appends.Add(1)) - 1) {
	case unsent:
		return eventstore.Written{}, eventstore.ErrUnavailable
	case unanswered:
		_, _ = f.claimStore.Append(ctx, stream, expected, events)
		return eventstore.Written{}, context.DeadlineExceeded
	case crashedAfter:
		_, _ = f.claimStore.Append(ctx, stream, expected, events)
		return eventstore.Written{}, eventstore.ErrAccessDenied // ends all attempts
	case crashed:
		return eventstore.Written{}, eventstore.ErrAccessDenied
	case slow:
		time.Sleep(50 * time.Millisecond)
	}
	return f.claimStore.Append(ctx, stream, expected, events)
}

func TestALostAnswerIsAskedForAgainWithTheSameBytes(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]fault{"unsent": unsent, "unanswered": unanswered} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			house := newHouse(t)
			line := &faulty{claimStore: house.client, onAppend: func(n int) fault {
				if n < 3 {
					return lost
				}
				return none
			}}
			stream := newStream()

			answer, err := jarsOf(house.processOn(line, house.client)).Handle(t.Context(), stream, creating(request("open")), open{Label: stream, Owner: "Ida", Subject: uuid.New(), Coins: []int{1, 2}})

			require.NoError(t, err)
			require.False(t, line.changed.Load(), "a repeat had other bytes")
			events := house.events(stream)
			require.Len(t, events, 3)
			require.Equal(t, events[2].Position, answer.Position)
		})
	}
}

func TestAnUnknownResultIsFoundOutByTheSameRequest(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]fault{"unsent": unsent, "unanswered": unanswered} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			house := newHouse(t)
			house.patience = 300 * time.Millisecond
			var cut atomic.Bool
			line := &faulty{claimStore: house.client, onAppend: func(int) fault {
				if cut.Load() {
					return lost
				}
				return none
			}}
			handler := jarsOf(house.processOn(line, house.client))
			stream, r := opened(t, handler), request("put")

			cut.Store(true)
			_, err := handler.Handle(t.Context(), stream, r, put{Coins: 1})
			require.Equal(t, domain.Unknown, kindOf(t, err))

			cut.Store(false)
			answer, err := handler.Handle(t.Context(), stream, r, put{Coins: 1})
			require.NoError(t, err)
			require.Equal(t, lost == unanswered, answer.Repeated)
			require.Equal(t, uint64(1), answer.Revision)
			_, err = handler.Handle(t.Context(), stream, request("more"), put{Coins: 1, Max: 2})
			require.NoError(t, err)
			require.Len(t, house.events(stream), 3)
		})
	}
}

// Control: with a handler that forgets the commands of a stream on loading it,
// this test finds doubled events.
func TestUnderLossesEveryCommandIsStoredAtMostOnceAndEveryAnswerIsTrue(t *testing.T) {
	t.Parallel()
	const commands = 60
	house := newHouse(t)
	line := &faulty{claimStore: house.client, onAppend: func(n int) fault {
		return []fault{none, unanswered, unsent, none, none}[n%5]
	}}
	core, second := house.processOn(line, house.client), house.process()
	core.patience = 30 * time.Millisecond
	handlers := []*Handler[jarCommand, jar, jarEvent]{jarsOf(core), jarsOf(second)}
	stream := opened(t, handlers[1])

	var all sync.WaitGroup
	for i := range commands {
		all.Go(func() {
			r := request("put")
			for n := i; ; n++ {
				_, err := handlers[n%2].Handle(t.Context(), stream, r, put{Coins: 1})
				if err == nil {
					return
				}
				require.Equal(t, domain.Unknown, kindOf(t, err))
			}
		})
	}
	all.Wait()

	require.Len(t, house.events(stream), 1+commands)
}
