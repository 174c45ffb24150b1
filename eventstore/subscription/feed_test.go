package subscription_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/eventstore/subscription"
	"daybook.example/test/level"
)

func newFeed(t *testing.T, c subscription.FeedConfig) *subscription.Feed {
	t.Helper()
	c.Logger = eventstoretest.Quiet
	f, err := subscription.NewFeed(c)
	require.NoError(t, err)
	return f
}

// A pupil takes what a subscription brings, at a pace, and remembers it.
type pupil struct {
	from eventstore.Position
	seen []uuid.UUID
	to   eventstore.Position
	err  error
	pace func()        // before each acknowledgement; nil = none
	done chan struct{} // closed when it has heard the end
}

// listen takes batches until one ends with an event of type end, or the channel
// is closed. One in ten is refused first.
func (p *pupil) listen(messages <-chan *message.Message, end string) {
	p.to = p.from
	p.err = errors.New("the subscription ended")
	for m := range messages {
		batch, _ := subscription.BatchFrom(m)
		if batch.From != p.to {
			p.err = fmt.Errorf("a batch began after %s and not %s", batch.From, p.to)
			return
		}
		if p.pace != nil {
			p.pace()
		}
		if rand.N(10) == 0 {
			m.Nack()
			continue
		}
		p.to = batch.To
		last := ""
		for _, event := range batch.Events {
			p.seen = append(p.seen, event.ID)
			last = event.Type
		}
		m.Ack()
		if last == end {
			p.err = nil
			return
		}
	}
}

// missed says where what the pupil saw differs from the log after its start.
func (p *pupil) missed(log []eventstore.Recorded) error {
	if p.err != nil {
		return p.err
	}
	after, _ := slices.BinarySearchFunc(log, p.from, func(e eventstore.Recorded, at eventstore.Position) int {
		if at.Less(e.Position) {
			return 1
		}
		return -1
	})
	for i, event := range log[after:] {
		if i >= len(p.seen) || p.seen[i] != event.ID {
			return fmt.Errorf("event %d after %s is not the log's", i, p.from)
		}
	}
	if len(p.seen) != len(log)-after {
		return errors.New("more came than there is in the log")
	}
	return nil
}

// wholeLog reads the log. A client that has just lost its node may be refused at first.
func wholeLog(t *testing.T, client *eventstore.Client) []eventstore.Recorded {
	t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		log, err := readLog(within(t, patience), client)
		if err != nil && time.Since(began) < patience {
			continue
		}
		require.NoError(t, err)
		return log
	}
}

func readLog(ctx context.Context, client *eventstore.Client) (log []eventstore.Recorded, err error) {
	for event, err := range client.All(ctx, eventstore.Position{}) {
		if err != nil {
			return nil, err
		}
		log = append(log, event)
	}
	return log, nil
}

func appendEnd(t *testing.T, client *eventstore.Client) {
	t.Helper()
	_, err := client.Append(within(t, patience), "end", eventstore.Any, []eventstore.Proposed{{ID: uuid.New(), Type: "end", Data: []byte(`{}`)}})
	require.NoError(t, err)
}

// A class is some pupils of one feed.
type class struct {
	feed   *subscription.Feed
	pupils []*pupil
}

// enrol lets a pupil listen until the end, in batches of at most so many events.
func (c *class) enrol(t *testing.T, p *pupil, most int) {
	t.Helper()
	s, err := subscription.New(subscription.Config{Feed: c.feed, MaxEvents: most, Logger: eventstoretest.Quiet,
		From:      func(context.Context) (eventstore.Position, error) { return p.from, nil },
		NackDelay: func(int) time.Duration { return time.Millisecond }})
	require.NoError(t, err)
	messages, err := s.Subscribe(within(t, 10*patience), subscription.Topic)
	require.NoError(t, err)
	p.done = make(chan struct{})
	c.pupils = append(c.pupils, p)
	go func() {
		defer close(p.done)
		p.listen(messages, "end")
		p.err = errors.Join(p.err, s.Close())
	}()
}

// missed is what any of them did not see as it is in the log.
func (c *class) missed(t *testing.T, client *eventstore.Client) (err error) {
	t.Helper()
	log := wholeLog(t, client)
	for i, p := range c.pupils {
		<-p.done
		if one := p.missed(log); one != nil {
			err = errors.Join(err, fmt.Errorf("subscription %d: %w", i, one))
		}
	}
	return err
}

func TestSubscriptionsOfAFeedShareOneReadingOfTheLog(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	const events, subscriptions = 3000, 5
	var decoded atomic.Int32
	c := class{feed: newFeed(t, subscription.FeedConfig{Client: client, Decode: func(eventstore.Recorded) (any, error) {
		decoded.Add(1)
		return nil, nil
	}})}
	for range subscriptions {
		c.enrol(t, &pupil{}, 50)
	}
	for range events / 100 {
		appendTo(t, client, "s", 100)
	}
	appendEnd(t, client)
	require.NoError(t, c.missed(t, client))
	require.EqualValues(t, events+1, decoded.Load(), "each event is decoded once")
	require.Equal(t, subscription.FeedStats{}, c.feed.Stats(), "who has left leaves nothing behind")
}

// laggards lets subscriptions of a small window fall out of it and come back, many
// times, while others join at random places, under writers. It answers what they
// missed.
func laggards(t *testing.T, seed uint64, prepare func(*subscription.Feed)) (subscription.FeedStats, error) {
	t.Helper()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	node := eventstoretest.Start(t)
	client := node.Connect()
	total := level.Of(1000, 20_000, 20_000) // events
	c := class{feed: newFeed(t, subscription.FeedConfig{Client: client, MaxEvents: 32})}
	prepare(c.feed)
	c.enrol(t, &pupil{}, 0)
	c.enrol(t, &pupil{}, 0)
	var written atomic.Int64
	for range 2 {
		c.enrol(t, &pupil{pace: func() { // now and then until the window has gone by
			if rand.N(8) > 0 {
				return
			}
			for target := min(written.Load()+80, int64(total)); written.Load() < target; {
				time.Sleep(time.Millisecond)
			}
		}}, 1+random.IntN(20))
	}
	var stats subscription.FeedStats
	places := []eventstore.Position{{}}
	for i := 0; written.Load() < int64(total); i++ {
		n := 1 + random.IntN(10)
		places = append(places, appendTo(t, client, fmt.Sprint("s-", random.IntN(5)), n).Position)
		written.Add(int64(n))
		if i%(total/40) == 0 {
			c.enrol(t, &pupil{from: places[random.IntN(len(places))]}, 1+random.IntN(30))
		}
		now := c.feed.Stats()
		require.LessOrEqual(t, now.Events, 32)
		stats.Detours = now.Detours
	}
	appendEnd(t, client)
	t.Logf("%d subscriptions, %d times one read alone", len(c.pupils), stats.Detours)
	return stats, c.missed(t, client)
}

// given a feed that has read the log, when another subscription begins, then its first batch knows where the log ends
func TestOneThatComesLaterToAFeedKnowsTheHead(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	const events = 100
	head := appendTo(t, client, "s", events).Position
	f := newFeed(t, subscription.FeedConfig{Client: client})
	for range 2 { // the second one finds all of it in the window
		s, err := subscription.New(subscription.Config{Feed: f, From: fromStart, MaxEvents: 10, Logger: eventstoretest.Quiet})
		require.NoError(t, err)
		messages, err := s.Subscribe(t.Context(), subscription.Topic)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		_, batch := receive(t, messages) // is not acknowledged
		require.Equal(t, head, batch.Head)
		require.Eventually(t, func() bool { return f.Stats().Events >= events }, patience, time.Millisecond)
	}
}

// given subscriptions at every pace, when they fall out of the window and come back, then each sees the log, every event once, in order
func TestGivenLaggardsOfAFeedThenEachOneSeesTheLog(t *testing.T) {
	t.Parallel()
	stats, err := laggards(t, rand.Uint64(), func(*subscription.Feed) {})
	require.NoError(t, err)
	require.GreaterOrEqual(t, stats.Detours, uint64(3), "the window was left often enough to show something")
}

// The control: a feed that forgets an event where a subscription begins to share must be found.
func TestAFeedThatForgetsAtTheSeamIsFound(t *testing.T) {
	t.Parallel()
	_, err := laggards(t, rand.Uint64(), (*subscription.Feed).ForgetAtSeams)
	require.Error(t, err)
}

// given a store that is stopped and started again, when a feed has many subscriptions at several places, then each one sees the log
func TestAFeedIsExactAcrossRestartsOfTheNode(t *testing.T) {
	t.Parallel()
	node := eventstoretest.Start(t)
	client := node.Connect()
	c := class{feed: newFeed(t, subscription.FeedConfig{Client: client, MaxEvents: 64})}
	c.enrol(t, &pupil{}, 5)
	c.enrol(t, &pupil{pace: func() { time.Sleep(rand.N(10 * time.Millisecond)) }}, 5)
	for range 4 {
		place := eventstore.Position{}
		for range 40 {
			place = appendTo(t, client, "s", 2).Position
		}
		node.Stop()
		c.enrol(t, &pupil{from: place}, 7)
		time.Sleep(30 * time.Millisecond)
		node.Start()
		wholeLog(t, client) // an append is not sent again while the client is not connected
	}
	appendEnd(t, client)
	require.NoError(t, c.missed(t, client))
	require.NotZero(t, c.feed.Stats().Reconnects)
}

// given a handler that does not come back, when others go on, then they get everything and what is held in memory is bounded
func TestAStalledHandlerHoldsUpNobodyAndHoldsLittle(t *testing.T) {
	t.Parallel()
	const events, window, batch = 6000, 300, 100
	client := eventstoretest.Start(t).Connect()
	var alive atomic.Int64
	c := class{feed: newFeed(t, subscription.FeedConfig{Client: client, MaxEvents: window, Decode: func(eventstore.Recorded) (any, error) {
		value := new([64]byte)
		alive.Add(1)
		runtime.AddCleanup(value, func(int) { alive.Add(-1) }, 0)
		return value, nil
	}})}
	stall, released := context.WithCancel(t.Context())
	c.enrol(t, &pupil{pace: func() { <-stall.Done() }}, batch)
	c.enrol(t, &pupil{}, batch)
	for range events / 500 {
		appendTo(t, client, "s", 500)
	}
	appendEnd(t, client)
	<-c.pupils[1].done
	require.NoError(t, c.pupils[1].missed(wholeLog(t, client)), "the other one has everything")
	// The window, the batches packed for the one that stalls and its last one, and what is on the way.
	const most = window + 3*batch + 2*256 + 1
	require.Eventually(t, func() bool { runtime.GC(); return alive.Load() <= most }, patience, 10*time.Millisecond, "%d of %d events are held", alive.Load(), events)
	released()
	require.NoError(t, c.missed(t, client))
}

// given a feed that is held up far behind, when one subscribes at the head, then it does not wait for the others
func TestOneThatBeginsFarAheadTakesTheFeedWithIt(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	for range 3 {
		appendTo(t, client, "s", 500)
	}
	c := class{feed: newFeed(t, subscription.FeedConfig{Client: client, MaxEvents: 100, MaxBytes: 10_000})}
	stall, released := context.WithCancel(t.Context())
	began, begin := context.WithCancel(t.Context())
	c.enrol(t, &pupil{pace: func() { begin(); <-stall.Done() }}, 10)
	<-began.Done()
	head, err := client.Head(within(t, patience))
	require.NoError(t, err)
	messages, _ := way{}.subscribe(t, subscription.Config{Feed: c.feed, From: func(context.Context) (eventstore.Position, error) { return head, nil }})
	written := appendTo(t, client, "s", 1)
	m, batch := receive(t, messages)
	require.Equal(t, written.Position, batch.To)
	m.Ack()
	released()
	appendEnd(t, client)
	require.NoError(t, c.missed(t, client))
}

func TestAFeedSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := subscription.NewFeed(subscription.FeedConfig{})
	require.ErrorContains(t, err, "Client")
	client := eventstoretest.Start(t).Connect()
	_, err = subscription.New(subscription.Config{Feed: newFeed(t, subscription.FeedConfig{Client: client}), Client: client, From: fromStart})
	require.ErrorContains(t, err, "leave them out")
}
