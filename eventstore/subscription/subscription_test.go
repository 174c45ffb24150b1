package subscription_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/eventstore/subscription"
)

// The official client forgets a connection without closing it when the node goes
// away: gRPC keeps it, and dials, until it has been idle for half an hour.
// Watermill's suite leaves goroutines that nobody reads from any more.
func TestMain(m *testing.M) {
	if helped() {
		return
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("google.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run"),
		goleak.IgnoreAnyFunction("google.golang.org/grpc.(*addrConn).resetTransportAndUnlock"),
		goleak.IgnoreAnyFunction("github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe.func2"),
		goleak.IgnoreAnyFunction("github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe.func3"),
		goleak.IgnoreAnyFunction("github.com/ThreeDotsLabs/watermill/pubsub/tests.TestReconnect.func2"))
}

const patience = 20 * time.Second

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func fromStart(context.Context) (eventstore.Position, error) { return eventstore.Position{}, nil }

// A way is how a subscription reads: alone or by a feed. Both keep the same promises.
type way struct{ fed bool }

func bothWays(t *testing.T, test func(t *testing.T, with way)) {
	t.Parallel()
	for name, with := range map[string]way{"alone": {}, "by a feed": {fed: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, with)
		})
	}
}

// config is c, with a feed of its own where that is the way.
func (w way) config(t *testing.T, c subscription.Config) subscription.Config {
	t.Helper()
	if w.fed {
		c.Feed = newFeed(t, subscription.FeedConfig{Client: c.Client, Decode: c.Decode})
		c.Client, c.Decode = nil, nil
	}
	return c
}

// subscribe starts a subscription that the test's end closes. What c leaves open is filled in.
func (w way) subscribe(t *testing.T, c subscription.Config) (<-chan *message.Message, *subscription.Subscriber) {
	t.Helper()
	if c.From == nil {
		c.From = fromStart
	}
	c.Logger = eventstoretest.Quiet
	s, err := subscription.New(w.config(t, c))
	require.NoError(t, err)
	messages, err := s.Subscribe(t.Context(), subscription.Topic)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return messages, s
}

func receive(t *testing.T, messages <-chan *message.Message) (*message.Message, *subscription.Batch) {
	t.Helper()
	select {
	case m, ok := <-messages:
		require.True(t, ok, "the channel was closed")
		batch, ok := subscription.BatchFrom(m)
		require.True(t, ok)
		require.Len(t, batch.Decoded, len(batch.Events))
		require.Len(t, batch.Errs, len(batch.Events))
		return m, batch
	case <-time.After(patience):
		require.Fail(t, "no message came")
		return nil, nil
	}
}

func nothing(t *testing.T, messages <-chan *message.Message, d time.Duration) {
	t.Helper()
	select {
	case m := <-messages:
		batch, _ := subscription.BatchFrom(m)
		require.Fail(t, "a message came", "%d events, to %s", len(batch.Events), batch.To)
	case <-time.After(d):
	}
}

func appendTo(t *testing.T, client *eventstore.Client, stream string, n int) eventstore.Written {
	t.Helper()
	events := make([]eventstore.Proposed, n)
	for i := range events {
		events[i] = eventstore.Proposed{ID: uuid.New(), Type: "counted", Data: []byte(strconv.Itoa(i))}
	}
	written, err := client.Append(within(t, patience), stream, eventstore.Any, events)
	require.NoError(t, err)
	return written
}

func TestGivenAnIdleHandlerWhenAnEventComesThenItIsABatchAtOnce(t *testing.T) {
	bothWays(t, func(t *testing.T, with way) {
		client := eventstoretest.Start(t).Connect()
		messages, _ := with.subscribe(t, subscription.Config{Client: client})
		from := eventstore.Position{}
		for range 3 {
			written := appendTo(t, client, "s", 1)
			m, batch := receive(t, messages)
			require.Len(t, batch.Events, 1)
			require.Equal(t, from, batch.From)
			require.Equal(t, written.Position, batch.To)
			require.Equal(t, written.Position, batch.Head)
			require.Equal(t, batch.Events[0].ID.String(), m.UUID)
			require.Equal(t, fmt.Sprintf(`{"from":"%s","to":"%s","n":1}`, batch.From, batch.To), string(m.Payload))
			require.Equal(t, message.Metadata{"from": batch.From.String(), "to": batch.To.String(), "count": "1"}, m.Metadata)
			from = batch.To
			m.Ack()
		}
	})
}

func TestGivenABusyHandlerWhenEventsComeThenTheNextBatchHoldsThemAll(t *testing.T) {
	bothWays(t, func(t *testing.T, with way) {
		client := eventstoretest.Start(t).Connect()
		messages, _ := with.subscribe(t, subscription.Config{Client: client})
		appendTo(t, client, "s", 1)
		first, _ := receive(t, messages)
		for range 10 {
			appendTo(t, client, "s", 10)
		}
		nothing(t, messages, 50*time.Millisecond) // one in flight
		first.Ack()
		m, batch := receive(t, messages)
		require.Len(t, batch.Events, 100)
		require.True(t, batch.Live)
		m.Ack()
	})
}

func TestGivenALongLogWhenCatchingUpThenBatchesAreFullUntilTheLast(t *testing.T) {
	bothWays(t, func(t *testing.T, with way) {
		client := eventstoretest.Start(t).Connect()
		for range 5 {
			appendTo(t, client, "s", 1000)
		}
		head := appendTo(t, client, "s", 1).Position
		messages, _ := with.subscribe(t, subscription.Config{Client: client})
		m, batch := receive(t, messages)
		require.Len(t, batch.Events, 4096)
		require.False(t, batch.Live)
		require.Equal(t, head, batch.Head)
		m.Ack()
		total, live := len(batch.Events), false
		for total < 5001 {
			var next *subscription.Batch
			m, next = receive(t, messages)
			require.Equal(t, batch.To, next.From)
			total, live, batch = total+len(next.Events), next.Live, next
			m.Ack()
		}
		require.Equal(t, 5001, total)
		require.True(t, live)
		require.Equal(t, head, batch.To)
	})
}

func TestBatchesAreBoundedInEventsAndBytes(t *testing.T) {
	bothWays(t, func(t *testing.T, with way) {
		client := eventstoretest.Start(t).Connect()
		appendTo(t, client, "s", 100)
		for limit, c := range map[int]subscription.Config{
			1:  {Client: client, MaxEvents: 1},
			30: {Client: client, MaxEvents: 30},
			10: {Client: client, MaxBytes: 10}, // the first ten numbers have one digit
		} {
			messages, s := with.subscribe(t, c)
			total := 0
			for total < 100 {
				m, batch := receive(t, messages)
				require.LessOrEqual(t, len(batch.Events), limit)
				require.Equal(t, strconv.Itoa(total), string(batch.Events[0].Data))
				total += len(batch.Events)
				m.Ack()
			}
			require.NoError(t, s.Close())
		}
	})
}

func TestGivenACheckpointWhenSubscribedThenBatchesBeginAfterIt(t *testing.T) {
	bothWays(t, func(t *testing.T, with way) {
		client := eventstoretest.Start(t).Connect()
		middle := appendTo(t, client, "s", 5).Position
		appendTo(t, client, "s", 5)
		messages, _ := with.subscribe(t, subscription.Config{Client: client,
			From: func(context.Context) (eventstore.Position, error) { return middle, nil }})
		m, batch := receive(t, messages)
		require.Equal(t, middle, batch.From)
		require.Len(t, batch.Events, 5)
		require.EqualValues(t, 5, batch.Events[0].Revision)
		m.Ack()
	})
}

func TestTheStoresOwnEventsOnlyMoveTheCheckpointAndAtMostOnceASecond(t *testing.T) {
	bothWays(t, func(t *testing.T, with way) {
		client := eventstoretest.Start(t).Connect()
		messages, _ := with.subscribe(t, subscription.Config{Client: client})
		own := func() eventstore.Position {
			written, err := client.Append(within(t, patience), "$$s", eventstore.Any,
				[]eventstore.Proposed{{ID: uuid.New(), Type: "$metadata", Data: []byte(`{}`)}})
			require.NoError(t, err)
			return written.Position
		}
		began, last, count := time.Now(), eventstore.Position{}, 0
		first := own()
		m, batch := receive(t, messages)
		require.Empty(t, batch.Events)
		require.Equal(t, first, batch.To)
		require.NotEqual(t, uuid.Nil.String(), m.UUID)
		m.Ack()
		for range 20 {
			last = own()
		}
		for batch.To != last {
			m, batch = receive(t, messages)
			require.Empty(t, batch.Events)
			count++
			m.Ack()
		}
		require.LessOrEqual(t, count, 1+int(time.Since(began)/time.Second))

		own()
		ours := appendTo(t, client, "s", 1).Position
		m, batch = receive(t, messages)
		if len(batch.Events) == 0 { // the beat came just between the two
			m.Ack()
			m, batch = receive(t, messages)
		}
		require.Len(t, batch.Events, 1, "an event of ours waits for no beat")
		require.Equal(t, ours, batch.To)
		m.Ack()
	})
}

// given a handler that takes no event of a type, when many come, then their batches wait for company, and an event that is taken waits for nothing
func TestBatchesOfWhichNothingIsTakenComeTogether(t *testing.T) {
	bothWays(t, func(t *testing.T, with way) {
		client := eventstoretest.Start(t).Connect()
		const apart = 2 * time.Second
		messages, _ := with.subscribe(t, subscription.Config{Client: client, MoveEvery: apart,
			Takes: func(eventType string) bool { return eventType == "taken" }})
		began := time.Now()
		appendTo(t, client, "s", 1)
		m, batch := receive(t, messages)
		require.Len(t, batch.Events, 1, "the first one comes at once")
		m.Ack()
		var last eventstore.Position
		for range 20 {
			last = appendTo(t, client, "s", 1).Position
		}
		count := 0
		for batch.To != last {
			m, batch = receive(t, messages)
			count++
			m.Ack()
		}
		require.LessOrEqual(t, count, 1+int(time.Since(began)/apart))

		appendTo(t, client, "s", 1)
		written, err := client.Append(within(t, patience), "s", eventstore.Any, []eventstore.Proposed{{ID: uuid.New(), Type: "taken", Data: []byte("1")}})
		require.NoError(t, err)
		for batch.To != written.Position {
			m, batch = receive(t, messages)
			m.Ack()
		}
		require.Equal(t, "taken", batch.Events[len(batch.Events)-1].Type)
	})
}

func TestADecodeErrorBelongsToItsEvent(t *testing.T) {
	bothWays(t, func(t *testing.T, with way) {
		client := eventstoretest.Start(t).Connect()
		bad := errors.New("bad")
		appendTo(t, client, "s", 3)
		messages, _ := with.subscribe(t, subscription.Config{Client: client, Decode: func(e eventstore.Recorded) (any, error) {
			switch e.Revision {
			case 1:
				return nil, bad
			case 2:
				panic("the secret value")
			}
			return string(e.Data), nil
		}})
		m, batch := receive(t, messages)
		require.Equal(t, []any{"0", nil, nil}, batch.Decoded)
		require.NoError(t, batch.Errs[0])
		require.ErrorIs(t, batch.Errs[1], bad)
		require.ErrorContains(t, batch.Errs[2], "panic")
		require.NotContains(t, batch.Errs[2].Error(), "secret")
		m.Ack()
	})
}

func TestGivenARefusedBatchThenTheSameComesAgainAfterItsDelay(t *testing.T) {
	bothWays(t, func(t *testing.T, with way) {
		client := eventstoretest.Start(t).Connect()
		appendTo(t, client, "s", 3)
		attempts := make(chan int, 10)
		messages, _ := with.subscribe(t, subscription.Config{Client: client, NackDelay: func(attempt int) time.Duration {
			attempts <- attempt
			return time.Duration(attempt) * 10 * time.Millisecond
		}})
		m, first := receive(t, messages)
		for attempt := range 3 {
			m.Nack()
			require.Equal(t, attempt, <-attempts)
			again, batch := receive(t, messages)
			require.Same(t, first, batch, "its context holds the batch")
			require.Error(t, m.Context().Err(), "the context of a refused message ends")
			require.NoError(t, again.Context().Err())
			m = again
		}
		m.Ack()
		appendTo(t, client, "s", 1)
		m, batch := receive(t, messages)
		require.Equal(t, first.To, batch.From)
		m.Ack()
	})
}

func TestARefusedBatchIsNotSentAgainAfterTheContextEnds(t *testing.T) {
	bothWays(t, func(t *testing.T, with way) {
		client := eventstoretest.Start(t).Connect()
		appendTo(t, client, "s", 1)
		s, err := subscription.New(with.config(t, subscription.Config{Client: client, From: fromStart, Logger: eventstoretest.Quiet,
			NackDelay: func(int) time.Duration { return 0 }}))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		messages, err := s.Subscribe(ctx, subscription.Topic)
		require.NoError(t, err)
		m, _ := receive(t, messages)
		cancel()
		m.Nack()
		_, open := <-messages
		require.False(t, open)
		require.Error(t, m.Context().Err())
		require.NoError(t, s.Close())
	})
}

func TestCloseEndsEverySubscriptionAndForgetsWhatIsOut(t *testing.T) {
	bothWays(t, func(t *testing.T, with way) {
		client := eventstoretest.Start(t).Connect()
		appendTo(t, client, "s", 1)
		messages, s := with.subscribe(t, subscription.Config{Client: client})
		others, err := s.Subscribe(t.Context(), subscription.Topic)
		require.NoError(t, err)
		m, _ := receive(t, messages)
		require.NoError(t, s.Close())
		require.NoError(t, s.Close(), "closed twice")
		require.Error(t, m.Context().Err())
		for range messages {
			t.Fatal("a message after Close")
		}
		for range others {
			t.Fatal("a message after Close")
		}
		m.Ack()
		_, err = s.Subscribe(t.Context(), subscription.Topic)
		require.ErrorContains(t, err, "closed")
	})
}

func TestSubscribeSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	_, err := subscription.New(subscription.Config{Client: client})
	require.Error(t, err)
	down := errors.New("database is down")
	s, err := subscription.New(subscription.Config{Client: client,
		From: func(context.Context) (eventstore.Position, error) { return eventstore.Position{}, down }})
	require.NoError(t, err)
	_, err = s.Subscribe(t.Context(), subscription.Topic)
	require.ErrorIs(t, err, down)
	_, err = s.Subscribe(t.Context(), "employee-1")
	require.ErrorContains(t, err, `"$all"`)
	require.NoError(t, s.Close())
}

// Given writers on many streams and a handler that refuses at random, then what
// it acknowledged is the log: each event once, in order.
func TestExactUnderLoadWithRandomRefusals(t *testing.T) {
	bothWays(t, func(t *testing.T, with way) {
		node := eventstoretest.Start(t)
		client := node.Connect()
		const writers, appends, each = 8, 40, 3
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for range appends {
					appendTo(t, client, fmt.Sprint("s-", w), each)
				}
			})
		}
		messages, _ := with.subscribe(t, subscription.Config{Client: client, MaxEvents: 7,
			NackDelay: func(int) time.Duration { return time.Millisecond }})
		seen := acknowledged(t, messages, writers*appends*each, func() bool { return rand.N(4) > 0 })
		all.Wait()
		requireTheLog(t, client, seen)
	})
}

// Given a node that is stopped and started again, then the subscription goes on
// where it was.
func TestExactAcrossRestartsOfTheNode(t *testing.T) {
	bothWays(t, func(t *testing.T, with way) {
		node := eventstoretest.Start(t)
		client := node.Connect()
		messages, _ := with.subscribe(t, subscription.Config{Client: client, MaxEvents: 5})
		var writing sync.WaitGroup
		const total = 90
		writing.Go(func() {
			for range 3 {
				for range 30 {
					appendTo(t, client, "s", 1)
				}
				node.Stop()
				time.Sleep(30 * time.Millisecond)
				node.Start()
				wholeLog(t, client) // an append is not sent again while the client is not connected
			}
		})
		seen := acknowledged(t, messages, total, func() bool { return true })
		writing.Wait()
		requireTheLog(t, client, seen)
	})
}

// acknowledged takes batches until n events are acknowledged, and returns them.
func acknowledged(t *testing.T, messages <-chan *message.Message, n int, accept func() bool) (seen []eventstore.Recorded) {
	t.Helper()
	to := eventstore.Position{}
	for len(seen) < n {
		m, batch := receive(t, messages)
		require.Equal(t, to, batch.From)
		if !accept() {
			m.Nack()
			continue
		}
		seen, to = append(seen, batch.Events...), batch.To
		m.Ack()
	}
	return seen
}

func requireTheLog(t *testing.T, client *eventstore.Client, seen []eventstore.Recorded) {
	t.Helper()
	log := wholeLog(t, client)
	require.Len(t, seen, len(log))
	for i, event := range seen {
		require.Equal(t, log[i].ID, event.ID, "event %d", i)
	}
}

// Watermill's Router, which makes a goroutine of each message, sees the batches
// in order, one at a time, and may refuse one.
func TestInOrderThroughARouter(t *testing.T) {
	bothWays(t, func(t *testing.T, with way) {
		client := eventstoretest.Start(t).Connect()
		s, err := subscription.New(with.config(t, subscription.Config{Client: client, From: fromStart, MaxEvents: 10, Logger: eventstoretest.Quiet,
			NackDelay: func(int) time.Duration { return time.Millisecond }}))
		require.NoError(t, err)
		router, err := message.NewRouter(message.RouterConfig{CloseTimeout: patience}, watermill.NopLogger{})
		require.NoError(t, err)
		var seen []eventstore.Recorded
		var working atomic.Int32
		done := make(chan struct{})
		router.AddConsumerHandler("counter", subscription.Topic, s, func(m *message.Message) error {
			if working.Add(1) != 1 {
				t.Error("two batches at a time")
			}
			defer working.Add(-1)
			batch, ok := subscription.BatchFrom(m)
			if !ok || rand.N(5) == 0 {
				return errors.New("refused")
			}
			if seen = append(seen, batch.Events...); len(seen) == 300 {
				close(done)
			}
			return nil
		})
		running := make(chan error, 1)
		go func() { running <- router.Run(t.Context()) }()
		for range 100 {
			appendTo(t, client, "s", 3)
		}
		select {
		case <-done:
		case <-time.After(patience):
			require.Fail(t, "not all events came")
		}
		require.NoError(t, router.Close())
		require.NoError(t, <-running)
		requireTheLog(t, client, seen)
	})
}

func TestAHandlerThatIsBusyIsNotReadFarAheadOf(t *testing.T) {
	bothWays(t, func(t *testing.T, with way) {
		client := eventstoretest.Start(t).Connect()
		appendTo(t, client, "s", 100)
		var decoded atomic.Int32
		messages, _ := with.subscribe(t, subscription.Config{Client: client, MaxEvents: 5, Prefetch: 3,
			Decode: func(eventstore.Recorded) (any, error) { decoded.Add(1); return nil, nil }})
		m, _ := receive(t, messages)
		ahead := func() int32 { return decoded.Load() - 5 }
		require.Eventually(t, func() bool { return ahead() >= 3*5 }, patience, time.Millisecond, "the batches of Prefetch are ready")
		time.Sleep(20 * time.Millisecond)
		if !with.fed { // a feed decodes what its window holds
			require.LessOrEqual(t, ahead(), int32(3*5+1), "and one event waits to begin the next")
		}
		m.Ack()
	})
}
