package node

import (
	"context"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore/log"
)

// intruder appends an event right behind each of the first pages, at the one
// moment when a follower that looked for changes too late would sleep through it.
type intruder struct {
	source
	appends func()
	left    int
}

func (i *intruder) page(ctx context.Context, want int) ([]log.Record, bool, error) {
	records, more, err := i.source.page(ctx, want)
	if i.left > 0 {
		i.left--
		i.appends()
	}
	return records, more, err
}

// receiver is the far end of a call.
type receiver struct {
	streams.Streams_ReadServer
	ctx    context.Context
	events chan wire
}

func (r receiver) Context() context.Context     { return r.ctx }
func (r receiver) Send(*streams.ReadResp) error { return nil }
func (r receiver) SendMsg(m any) error {
	sent := m.(*flying)
	r.events <- wire(sent.SliceBuffer)
	sent.Free()
	return nil
}

func TestAnEventThatComesBetweenAReadAndTheSleepWakesTheFollower(t *testing.T) {
	t.Parallel()
	l, err := log.Open(log.Options{Dir: filepath.Join(t.TempDir(), "log")})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	appends := func() {
		_, err := l.Append(context.Background(), log.Append{Stream: "things-1", Expected: log.Any, Events: []log.Proposed{
			{ID: uuid.New(), Type: "thing-happened", JSON: true, Data: []byte("{}")},
		}})
		require.NoError(t, err)
	}
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), principalKey{}, principal{owner: true}), 10*time.Second)
	s := &service{log: l, closing: make(chan struct{})}
	for _, from := range []source{s.allSource(0, log.Forwards), s.streamSource("things-1", 0, log.Forwards)} {
		far := receiver{ctx: ctx, events: make(chan wire, 16)}
		before := int(l.Stream("things-1").Head + 1)
		sub := subscription{
			service: s, query: query{stream: allStreams, count: math.MaxUint64},
			send: sender{Streams_ReadServer: far, service: s, flight: newInFlight()}, source: &intruder{from, appends, 3},
		}
		done := make(chan error, 1)
		go func() { done <- sub.follow(ctx) }()
		for range before + 3 {
			select {
			case <-far.events:
			case <-time.After(5 * time.Second):
				t.Fatal("the follower sleeps")
			}
		}
		defer func() { require.Error(t, <-done) }()
	}
	cancel()
}

func TestAFollowerThatLosesItsStreamGetsNothingTwice(t *testing.T) {
	t.Parallel()
	l, err := log.Open(log.Options{Dir: filepath.Join(t.TempDir(), "log")})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	happened := func() log.Proposed { return log.Proposed{ID: uuid.New(), Type: "thing-happened"} }
	_, err = l.Append(t.Context(), log.Append{Stream: "things-1", Expected: log.NoStream, Events: []log.Proposed{happened(), happened(), happened()}})
	require.NoError(t, err)
	_, err = l.Tombstone(t.Context(), "things-1", log.Any)
	require.NoError(t, err)

	s := &service{log: l}
	far := receiver{ctx: t.Context(), events: make(chan wire, 16)}
	sub := subscription{
		service: s, query: query{stream: "things-1"}, send: sender{Streams_ReadServer: far, service: s, flight: newInFlight()},
		source: s.streamSource("things-1", 2, log.Forwards), live: true, seen: 0, // two events came while it read
	}
	require.Error(t, sub.lost(t.Context(), log.ErrStreamDeleted))
	require.Len(t, far.events, 2, "the third event and the tombstone")
}
