package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"daybook.example/eventstore/node"
)

func subscribe(t *testing.T, c *esdb.Client, stream string, from esdb.StreamPosition) *esdb.Subscription {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	sub, err := c.SubscribeToStream(ctx, stream, esdb.SubscribeToStreamOptions{From: from})
	require.NoError(t, err)
	return sub
}

func subscribeToAll(t *testing.T, c *esdb.Client, o esdb.SubscribeToAllOptions) *esdb.Subscription {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	sub, err := c.SubscribeToAll(ctx, o)
	require.NoError(t, err)
	return sub
}

// tell turns the next message into a word: a revision, or what else it is.
func tell(t *testing.T, sub *esdb.Subscription) string {
	t.Helper()
	m := sub.Recv()
	switch {
	case m.EventAppeared != nil:
		return strconv.FormatUint(m.EventAppeared.OriginalEvent().EventNumber, 10)
	case m.CaughtUp != nil:
		return "caught up"
	case m.FellBehind != nil:
		return "fell behind"
	case m.CheckPointReached != nil:
		return "checkpoint"
	}
	return "dropped: " + status.Convert(m.SubscriptionDropped.Error).Code().String()
}

func tellAll(t *testing.T, sub *esdb.Subscription, n int) (words []string) {
	t.Helper()
	for range n {
		words = append(words, tell(t, sub))
	}
	return words
}

func TestAStreamIsFollowedFromBehindTheRevisionAskedFor(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(3)...)
	appendTo(t, c, s.stream("others-1"), esdb.NoStream{}, events(3)...)
	for name, test := range map[string]struct {
		from esdb.StreamPosition
		then []string
	}{
		"start":        {esdb.Start{}, []string{"0", "1", "2", "caught up"}},
		"first":        {esdb.Revision(0), []string{"1", "2", "caught up"}},
		"last":         {esdb.Revision(2), []string{"caught up"}},
		"end":          {esdb.End{}, []string{"caught up"}},
		"not yet here": {esdb.Revision(4), []string{"caught up"}},
	} {
		t.Run(name, func(t *testing.T) {
			sub := subscribe(t, c, s.stream("things-1"), test.from)
			defer sub.Close()
			require.Equal(t, test.then, tellAll(t, sub, len(test.then)))
		})
	}

	late, early := subscribe(t, c, s.stream("things-1"), esdb.Revision(4)), subscribe(t, c, s.stream("things-1"), esdb.End{})
	require.Equal(t, []string{"caught up"}, tellAll(t, late, 1))
	require.Equal(t, []string{"caught up"}, tellAll(t, early, 1))
	appendTo(t, c, s.stream("others-1"), esdb.Any{}, events(1)...)
	appendTo(t, c, s.stream("things-1"), esdb.Any{}, events(3)...)
	require.Equal(t, []string{"3", "4", "5"}, tellAll(t, early, 3))
	require.Equal(t, []string{"5"}, tellAll(t, late, 1))
}

func TestAMissingStreamCanBeFollowedUntilItIsThere(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	sub := subscribe(t, c, s.stream("things-1"), esdb.Start{})
	require.Equal(t, "caught up", tell(t, sub))
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(2)...)
	require.Equal(t, []string{"0", "1"}, tellAll(t, sub, 2))
	_, err := c.DeleteStream(within(t), s.stream("things-1"), esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}})
	require.NoError(t, err)
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(1)...)
	require.Equal(t, "2", tell(t, sub), "a deletion does not end a subscription")
}

func TestATombstoneIsTheLastThatAFollowerGets(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(2)...)
	sub := subscribe(t, c, s.stream("things-1"), esdb.Revision(0))
	require.Equal(t, []string{"1", "caught up"}, tellAll(t, sub, 2))

	_, err := c.TombstoneStream(within(t), s.stream("things-1"), esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
	require.NoError(t, err)

	stone := sub.Recv()
	require.NotNil(t, stone.EventAppeared)
	require.Equal(t, "$streamDeleted", stone.EventAppeared.Event.EventType)
	require.Equal(t, "dropped: FailedPrecondition", tell(t, sub))

	o := streamQuery(s.stream("things-1"))
	o.CountOption = &streams.ReadReq_Options_Subscription{}
	all, trailer, err := s.read(o, 5)
	require.Empty(t, all)
	require.Equal(t, codes.FailedPrecondition, status.Code(err))
	require.Equal(t, []string{"stream-deleted", s.stream("things-1")}, append(trailer.Get("exception"), trailer.Get("stream-name")...))
}

func TestTheWholeLogIsFollowedFromBehindThePositionAskedFor(t *testing.T) {
	s := alone(t)
	c := s.client()
	before := s.end()
	first := appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(1)...)
	appendTo(t, c, s.stream("others-1"), esdb.NoStream{}, events(2)...)
	position := esdb.Position{Commit: first.CommitPosition, Prepare: first.PreparePosition}
	fromStart := subscribeToAll(t, c, esdb.SubscribeToAllOptions{From: before})
	fromPosition := subscribeToAll(t, c, esdb.SubscribeToAllOptions{From: position})
	fromEnd := subscribeToAll(t, c, esdb.SubscribeToAllOptions{From: esdb.End{}})
	require.Equal(t, []string{"0", "0", "1", "caught up"}, tellAll(t, fromStart, 4))
	require.Equal(t, []string{"0", "1", "caught up"}, tellAll(t, fromPosition, 3))
	require.Equal(t, []string{"caught up"}, tellAll(t, fromEnd, 1))

	appendTo(t, c, s.stream("others-1"), esdb.Any{}, events(1)...)
	for _, sub := range []*esdb.Subscription{fromStart, fromPosition, fromEnd} {
		require.Equal(t, []string{"2"}, tellAll(t, sub, 1))
	}
}

// Writers append while subscribers come at random times: each must see every
// event behind where it began, once and in order.
func TestNothingIsLostOrDoubledWhereOldEventsMeetNewOnes(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	const writers, batches = 4, 80
	var writing, reading sync.WaitGroup
	appendTo(t, c, s.stream("things-0"), esdb.Any{}, events(1)...)
	for w := range writers {
		writing.Go(func() {
			own := s.client()
			for range batches {
				appendTo(t, own, s.stream(fmt.Sprintf("things-%d", w)), esdb.Any{}, events(1+rand.IntN(4))...)
			}
			appendTo(t, own, s.stream("done"), esdb.Any{}, events(1)...)
		})
	}
	for range 8 {
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
		reading.Go(func() { followToTheEnd(t, s, writers) })
		reading.Go(func() { followOneStream(t, s) })
	}
	writing.Wait()
	appendTo(t, c, s.stream("things-0"), esdb.Any{}, event("last", "{}"))
	reading.Wait()
}

func followToTheEnd(t *testing.T, s *server, writers int) {
	c := s.client()
	before := readAll(t, c, esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}, uint64(1+rand.IntN(20)))
	from := before[len(before)-1].Event.Position
	sub := subscribeToAll(t, c, esdb.SubscribeToAllOptions{From: from})
	defer sub.Close()
	// On a fast disk some writers are done before this follower begins.
	earlier, _ := readStream(t, c, s.stream("done"), esdb.ReadStreamOptions{}) // none, when it is not there yet
	done := 0
	for _, e := range earlier {
		if e.Event.Position.Commit <= from.Commit {
			done++
		}
	}
	var got []uint64
	for done < writers {
		m := sub.Recv()
		require.Nil(t, m.SubscriptionDropped)
		if m.EventAppeared == nil {
			continue
		}
		got = append(got, m.EventAppeared.Event.Position.Commit)
		if m.EventAppeared.Event.StreamID == s.stream("done") {
			done++
		}
	}
	if len(got) == 0 {
		return
	}
	all := readAll(t, c, esdb.ReadAllOptions{From: from}, uint64(len(got)+1))
	require.Len(t, all, len(got)+1)
	for i, e := range all[1:] {
		require.Equal(t, e.Event.Position.Commit, got[i])
	}
}

func followOneStream(t *testing.T, s *server) {
	sub := subscribe(t, s.client(), s.stream("things-0"), esdb.Revision(0))
	defer sub.Close()
	for next := uint64(1); ; {
		m := sub.Recv()
		require.Nil(t, m.SubscriptionDropped)
		if m.EventAppeared == nil {
			continue
		}
		require.Equal(t, next, m.EventAppeared.Event.EventNumber)
		if next++; m.EventAppeared.Event.EventType == "last" {
			return
		}
	}
}

func TestAFilteredSubscriptionIsToldHowFarItIs(t *testing.T) {
	s := alone(t)
	c := s.client()
	before := s.end()
	for range 25 {
		appendTo(t, c, s.stream("things-1"), esdb.Any{}, events(1)...)
	}
	rare := appendTo(t, c, s.stream("rare-1"), esdb.NoStream{}, events(1)...)
	sub := subscribeToAll(t, c, esdb.SubscribeToAllOptions{
		From: before, MaxSearchWindow: 5, CheckpointInterval: 2,
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{s.stream("rare-")}},
	})
	require.Equal(t, []string{"checkpoint", "checkpoint", "0"}, tellAll(t, sub, 3), "every ten events")
	end := sub.Recv()
	require.NotNil(t, end.CheckPointReached, "and where it caught up")
	require.Equal(t, rare.CommitPosition, end.CheckPointReached.Commit)
	require.Equal(t, "caught up", tell(t, sub))

	last := appendTo(t, c, s.stream("things-1"), esdb.Any{}, events(10)...)
	live := sub.Recv()
	require.NotNil(t, live.CheckPointReached)
	require.Equal(t, last.CommitPosition, live.CheckPointReached.Commit)
}

func TestNoCheckpointIsSentTwice(t *testing.T) {
	s := alone(t)
	c := s.client()
	before := s.end()
	appendTo(t, c, s.stream("things-1"), esdb.Any{}, events(10)...)
	sub := subscribeToAll(t, c, esdb.SubscribeToAllOptions{
		From: before, MaxSearchWindow: 5, CheckpointInterval: 2,
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{s.stream("rare-")}},
	})
	require.Equal(t, []string{"checkpoint", "caught up"}, tellAll(t, sub, 2))
}

func TestFiltersChooseByTypeAndExpressionToo(t *testing.T) {
	s := alone(t)
	c := s.client()
	before := s.end()
	appendTo(t, c, "$"+s.stream("settings"), esdb.NoStream{}, event("$system", "{}"))
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, event("born", "{}"), event("grown", "{}"))
	for name, test := range map[string]struct {
		filter *esdb.SubscriptionFilter
		then   []string
	}{
		"type prefix":   {&esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: []string{"gr"}}, []string{"1"}},
		"type regex":    {&esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: "n$"}, []string{"0", "1"}},
		"stream regex":  {&esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: "ttin"}, []string{"0"}},
		"system events": {esdb.ExcludeSystemEventsFilter(), []string{"0", "1"}},
	} {
		sub := subscribeToAll(t, c, esdb.SubscribeToAllOptions{From: before, Filter: test.filter})
		require.Equal(t, append(test.then, "checkpoint", "caught up"), tellAll(t, sub, len(test.then)+2), name)
	}
}

// A stalled subscriber costs the others nothing, is told that it fell behind
// and misses nothing once it goes on.
func TestASlowFollowerHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	sub := subscribe(t, c, s.stream("things-1"), esdb.Start{})
	require.Equal(t, "caught up", tell(t, sub))
	for range 40 {
		var batch []esdb.EventData
		for range 100 {
			batch = append(batch, event("t", string(make([]byte, 1000))))
		}
		appendTo(t, c, s.stream("things-1"), esdb.Any{}, batch...)
	}
	var words []string
	for next := 0; next < 4000; {
		word := tell(t, sub)
		if word == strconv.Itoa(next) {
			next++
			continue
		}
		words = append(words, word)
	}
	require.Equal(t, []string{"fell behind"}, words)
	require.Equal(t, "caught up", tell(t, sub))
}

func TestFollowersAreToldThatTheNodeShutsDownAndGoOnAfterIt(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.client()
	appendTo(t, c, "things-1", esdb.NoStream{}, events(1)...)
	call, err := streams.NewStreamsClient(s.raw()).Read(within(t), &streams.ReadReq{Options: func() *streams.ReadReq_Options {
		o := allQuery()
		o.CountOption = &streams.ReadReq_Options_Subscription{}
		return o
	}()})
	require.NoError(t, err)
	for range 3 { // confirmation, event, caught up
		_, err := call.Recv()
		require.NoError(t, err)
	}
	sub := subscribeToAll(t, c, esdb.SubscribeToAllOptions{From: esdb.Start{}})
	require.Equal(t, []string{"0", "caught up"}, tellAll(t, sub, 2))

	require.NoError(t, s.node.Close(within(t)), "nothing had to be cut off")
	_, err = call.Recv()
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.Equal(t, []string{"server-shutting-down"}, call.Trailer().Get("exception"))
	require.Equal(t, "dropped: Unavailable", tell(t, sub))

	require.NoError(t, s.log.Close())
	s.open()
	appendTo(t, c, "things-1", esdb.Revision(0), events(1)...)
	sub = subscribe(t, c, "things-1", esdb.Revision(0))
	require.Equal(t, []string{"1", "caught up"}, tellAll(t, sub, 2))
}

func TestAStalledReaderIsCutOffAtTheClose(t *testing.T) {
	t.Parallel()
	s := start(t)
	for range 20 {
		appendTo(t, s.client(), "things-1", esdb.Any{}, event("t", string(make([]byte, 500_000))))
	}
	call, err := streams.NewStreamsClient(s.raw()).Read(within(t), &streams.ReadReq{Options: streamQuery("things-1")})
	require.NoError(t, err)
	_, err = call.Recv()
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	require.ErrorIs(t, s.node.Close(ctx), context.DeadlineExceeded)
	require.Less(t, time.Since(began), 10*time.Second)
	s.node, err = node.Start(s.options)
	require.NoError(t, err)
}
