package subscription_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/eventstore/log"
	"daybook.example/eventstore/subscription"
)

// An eventsTest is a subscriber under test, which the test's end closes.
type eventsTest struct {
	*subscription.EventSubscriber
	t *testing.T
}

func newEvents(t *testing.T, c subscription.EventConfig) eventsTest {
	t.Helper()
	c.Logger = eventstoretest.Quiet
	s, err := subscription.NewEventSubscriber(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return eventsTest{s, t}
}

func (e eventsTest) subscribe(topic string) <-chan *message.Message {
	e.t.Helper()
	messages, err := e.Subscribe(e.t.Context(), topic)
	require.NoError(e.t, err)
	return messages
}

func next(t *testing.T, messages <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case m, ok := <-messages:
		require.True(t, ok, "the channel was closed")
		return m
	case <-time.After(patience):
		require.Fail(t, "no message came")
		return nil
	}
}

func none(t *testing.T, messages <-chan *message.Message, d time.Duration) {
	t.Helper()
	select {
	case m, ok := <-messages:
		require.Fail(t, "a message came, or the end", "%v %v", m, ok)
	case <-time.After(d):
	}
}

func payloads(t *testing.T, messages <-chan *message.Message, n int) (texts []string) {
	t.Helper()
	for range n {
		m := next(t, messages)
		texts = append(texts, string(m.Payload))
		m.Ack()
	}
	return texts
}

// given events that others wrote, when they are delivered, then they are messages, and the event is beside them
func TestEventsOfOthersAreMessagesToo(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	id := uuid.New()
	written, err := client.Append(t.Context(), "s", eventstore.Any, []eventstore.Proposed{
		{ID: id, Type: "hired", Data: []byte(`{}`), Metadata: []byte(`{"$correlationId":"c","n":1,"o":{"p":[true]}}`)},
		{ID: uuid.New(), Type: "hired", Data: []byte(`{}`), Metadata: []byte(`[1]`)},
	})
	require.NoError(t, err)
	messages := newEvents(t, subscription.EventConfig{Client: client}).subscribe("s")
	m := next(t, messages)
	require.Equal(t, id.String(), m.UUID)
	require.Equal(t, message.Metadata{"$correlationId": "c", "n": "1", "o": `{"p":[true]}`, "name": "hired"}, m.Metadata)
	m.Ack()
	m = next(t, messages)
	require.Equal(t, message.Metadata{"name": "hired"}, m.Metadata)
	event, ok := subscription.EventFrom(m)
	require.True(t, ok)
	require.Equal(t, "s", event.Stream)
	require.Equal(t, written.Revision, event.Revision)
	require.Equal(t, written.Position, event.Position)
	_, ok = subscription.EventFrom(newMessage("x"))
	require.False(t, ok)
}

// given a refused message, when its delay is over, then it comes again with its event, before any other
func TestARefusedEventComesAgainFirst(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	appendTo(t, client, "s", 2)
	var attempts []int
	messages := newEvents(t, subscription.EventConfig{Client: client, NackDelay: func(attempt int) time.Duration {
		attempts = append(attempts, attempt)
		return 30 * time.Millisecond
	}}).subscribe("s")
	for range 3 {
		m := next(t, messages)
		_, ok := subscription.EventFrom(m)
		require.True(t, ok)
		require.Equal(t, "0", string(m.Payload))
		refused := time.Now()
		m.Nack()
		none(t, messages, 20*time.Millisecond)
		require.Error(t, m.Context().Err())
		require.Less(t, time.Since(refused), time.Second)
	}
	require.Equal(t, []string{"0", "1"}, payloads(t, messages, 2))
	require.Equal(t, []int{0, 1, 2}, attempts)
}

// given a place, when subscribed from there, then what is before it does not come
func TestASubscriptionBeginsWhereItIsTold(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	appendTo(t, client, "s", 2)
	place := subscription.Place{Next: 2, Position: appendTo(t, client, "other", 1).Position}
	appendTo(t, client, "s", 3)
	s := newEvents(t, subscription.EventConfig{Client: client, From: func(context.Context, string) (subscription.Place, error) { return place, nil }})
	require.Equal(t, []string{"0", "1", "2"}, payloads(t, s.subscribe("s"), 3))
	require.Equal(t, []string{"0", "1", "2"}, payloads(t, s.subscribe("$all"), 3))
}

// given all streams, when subscribed, then the store's own events and the groups' checkpoints are left out
func TestAllStreamsInTheOrderOfTheLog(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	_, err := client.Append(t.Context(), "$$a", eventstore.Any, []eventstore.Proposed{{ID: uuid.New(), Type: "$metadata", Data: []byte(`{}`)}})
	require.NoError(t, err)
	publisher := newPublisher(t, subscription.PublisherConfig{Client: client})
	grouped := newEvents(t, subscription.EventConfig{Client: client, Group: "g", CheckpointEvery: time.Nanosecond}).subscribe("$all")
	alone := newEvents(t, subscription.EventConfig{Client: client}).subscribe("$all")
	for _, topic := range []string{"a", "b", "a"} {
		require.NoError(t, publisher.Publish(topic, newMessage(topic)))
		require.Equal(t, []string{topic}, payloads(t, grouped, 1))
	}
	require.Equal(t, []string{"a", "b", "a"}, payloads(t, alone, 3))
	none(t, grouped, 100*time.Millisecond)
	none(t, alone, 10*time.Millisecond)
	checkpoints := stored(t, client, "consumergroup-g::$all")
	require.Len(t, checkpoints, 1, "only the last one can be read")
	require.LessOrEqual(t, checkpoints[0].Revision, uint64(3), "a checkpoint leads to another one")
}

// given subscriptions, when the subscriber is closed, then their channels and contexts end, and it refuses
func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	appendTo(t, client, "s", 2)
	for _, group := range []string{"", "g"} {
		s := newEvents(t, subscription.EventConfig{Client: client, Group: group})
		busy, idle := s.subscribe("s"), s.subscribe("idle")
		m := next(t, busy)
		require.NoError(t, s.Close())
		_, open := <-busy
		require.False(t, open)
		_, open = <-idle
		require.False(t, open)
		require.Error(t, m.Context().Err())
		_, err := s.Subscribe(t.Context(), "s")
		require.ErrorContains(t, err, "closed")
	}
}

// given a stream that is deleted for ever, when it is read, then the channel is closed
func TestADeletedStreamEndsItsSubscription(t *testing.T) {
	t.Parallel()
	node := eventstoretest.Start(t)
	client := node.Connect()
	for _, group := range []string{"", "g"} {
		stream := "s" + group
		appendTo(t, client, stream, 1)
		s := newEvents(t, subscription.EventConfig{Client: client, Group: group})
		messages := s.subscribe(stream)
		payloads(t, messages, 1)
		_, err := node.Log().Tombstone(t.Context(), stream, log.Any)
		require.NoError(t, err)
		select {
		case m, open := <-messages:
			require.False(t, open, "%v", m)
		case <-time.After(patience):
			require.Fail(t, "the channel stayed open")
		}
	}
}

func TestNewEventSubscriberSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := subscription.NewEventSubscriber(subscription.EventConfig{})
	require.ErrorContains(t, err, "Client is required")
	client := eventstoretest.Start(t).Connect()
	_, err = subscription.NewEventSubscriber(subscription.EventConfig{Client: client, Group: "a::b"})
	require.ErrorContains(t, err, "::")
	s := newEvents(t, subscription.EventConfig{Client: client, From: func(context.Context, string) (subscription.Place, error) {
		return subscription.Place{}, errors.New("database away")
	}})
	_, err = s.Subscribe(t.Context(), "s")
	require.ErrorContains(t, err, "database away")
	_, err = s.Subscribe(t.Context(), "")
	require.ErrorContains(t, err, "no stream")
}
