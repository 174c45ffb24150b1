package subscription_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/eventstore/subscription"
)

func newPublisher(t *testing.T, c subscription.PublisherConfig) *subscription.Publisher {
	t.Helper()
	p, err := subscription.NewPublisher(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func newMessage(payload string) *message.Message {
	return message.NewMessage(uuid.NewString(), []byte(payload))
}

func stored(t *testing.T, client *eventstore.Client, stream string) []eventstore.Recorded {
	t.Helper()
	events, err := client.ReadStream(within(t, patience), stream, 0, eventstore.Forwards, math.MaxInt64)
	if errors.Is(err, eventstore.ErrStreamNotFound) {
		return nil
	}
	require.NoError(t, err)
	return events
}

// given a message, when it is published, then its event has its UUID, payload, metadata and name
func TestAMessageBecomesAnEvent(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	publisher := newPublisher(t, subscription.PublisherConfig{Client: client})
	named, bare := newMessage(`{"a":1}`), newMessage("no JSON")
	named.Metadata.Set("name", "order-placed")
	named.Metadata.Set("who", `<"ä">`)
	require.NoError(t, publisher.Publish("orders", named, bare))
	require.NoError(t, publisher.Publish("orders"))

	events := stored(t, client, "orders")
	require.Len(t, events, 2)
	require.Equal(t, named.UUID, events[0].ID.String())
	require.Equal(t, `{"a":1}`, string(events[0].Data))
	require.JSONEq(t, `{"name":"order-placed","who":"<\"ä\">"}`, string(events[0].Metadata))
	require.Equal(t, "order-placed", events[0].Type)
	require.Equal(t, "application/json", events[0].ContentType)
	require.Equal(t, "message", events[1].Type)
	require.Equal(t, "application/octet-stream", events[1].ContentType)
	require.Empty(t, events[1].Metadata)
}

// given a UUID that is none, when its message is published, then the event has one made of it and the subscriber brings the text back
func TestAnyUUIDComesBack(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	publisher := newPublisher(t, subscription.PublisherConfig{Client: client})
	messages := newEvents(t, subscription.EventConfig{Client: client}).subscribe("ids")
	upper := "6F0B5A3E-7A0C-4C55-9A53-0F2F7F3F5D1C"
	for _, text := range []string{"order 7", uuid.Nil.String(), upper, "01J9ZK3V0Q8X"} {
		sent := message.NewMessage(text, []byte("x"))
		sent.Metadata.Set("k", "v")
		require.NoError(t, publisher.Publish("ids", sent))
		require.NoError(t, publisher.Publish("ids", sent)) // a repeat is known
		m := next(t, messages)
		require.True(t, sent.Equals(m), "%s %v", m.UUID, m.Metadata)
		m.Ack()
	}
	require.NoError(t, publisher.Publish("ids", message.NewMessage("", nil), message.NewMessage("", nil)))
	events := stored(t, client, "ids")
	require.Len(t, events, 6)
	for _, e := range events {
		require.Equal(t, uuid.Version(4), e.ID.Version(), "%s", e.ID)
	}
	require.NotEqual(t, events[4].ID, events[5].ID)
}

// given that one message of several cannot be stored, when they are published, then none is
func TestOnePublishIsAtomic(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	publisher := newPublisher(t, subscription.PublisherConfig{Client: client})
	reserved, broken := newMessage("x"), newMessage("x")
	reserved.Metadata.Set("message_uuid", "mine")
	broken.Metadata.Set("k", "\xff")
	for _, bad := range []*message.Message{reserved, broken, newMessage(`{"$personal":{"subject":"s","purpose":"pay","value":1}}`), newMessage(string(make([]byte, 2<<20)))} {
		err := publisher.Publish("atomic", newMessage("good"), bad)
		require.Error(t, err)
		require.True(t, eventstore.Definite(err), "%v", err)
	}
	require.Empty(t, stored(t, client, "atomic"))
}

// given an expected revision, when two publish at once, then one is refused and nothing of it is stored
func TestTheExpectedRevisionIsTheCallersChoice(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	type key struct{}
	publisher := newPublisher(t, subscription.PublisherConfig{
		Client: client, Stream: func(topic string) string { return "account-" + topic },
		Type: func(topic string, _ *message.Message) string { return topic + "-paid" },
		Expected: func(_ string, messages []*message.Message) eventstore.ExpectedRevision {
			return messages[0].Context().Value(key{}).(eventstore.ExpectedRevision)
		},
	})
	at := func(e eventstore.ExpectedRevision) error {
		m := newMessage("x")
		m.SetContext(context.WithValue(t.Context(), key{}, e))
		return publisher.Publish("7", m, newMessage("y"))
	}
	require.NoError(t, at(eventstore.NoStream))
	require.ErrorIs(t, at(eventstore.NoStream), eventstore.ErrWrongExpectedRevision)
	require.NoError(t, at(eventstore.Exactly(1)))
	events := stored(t, client, "account-7")
	require.Len(t, events, 4)
	require.Equal(t, "7-paid", events[3].Type)
}

// given a store that is away, when a message is published, then it waits for the store, for its message's context and for Timeout
func TestPublishWaitsForTheStore(t *testing.T) {
	t.Parallel()
	node := eventstoretest.Start(t)
	client := node.Connect()
	publisher := newPublisher(t, subscription.PublisherConfig{Client: client})
	require.NoError(t, publisher.Publish("t", newMessage("1")))
	node.Stop()

	impatient := newPublisher(t, subscription.PublisherConfig{Client: client, Timeout: 50 * time.Millisecond})
	require.ErrorIs(t, impatient.Publish("t", newMessage("late")), eventstore.ErrUnavailable)
	given := newMessage("given up")
	ctx, cancel := context.WithCancel(t.Context())
	given.SetContext(ctx)
	time.AfterFunc(50*time.Millisecond, cancel)
	require.ErrorIs(t, publisher.Publish("t", newMessage("not sent"), given), context.Canceled)

	done := make(chan error)
	go func() { done <- publisher.Publish("t", newMessage("2")) }()
	time.Sleep(50 * time.Millisecond)
	node.Start()
	require.NoError(t, <-done)
	events := stored(t, client, "t")
	require.Equal(t, "2", string(events[len(events)-1].Data))
}

// given publishers at work, when Close is called, then it waits for them and refuses what comes later
func TestAClosedPublisherRefuses(t *testing.T) {
	t.Parallel()
	client := eventstoretest.Start(t).Connect()
	publisher, err := subscription.NewPublisher(subscription.PublisherConfig{Client: client})
	require.NoError(t, err)
	var all sync.WaitGroup
	var published atomic.Int64
	for i := range 8 {
		all.Go(func() {
			for n := 0; publisher.Publish("busy", newMessage(fmt.Sprint(i, n))) == nil; n++ {
				published.Add(1)
			}
		})
	}
	require.Eventually(t, func() bool { return published.Load() > 50 }, patience, time.Millisecond)
	require.NoError(t, publisher.Close())
	count := len(stored(t, client, "busy"))
	all.Wait()
	require.EqualValues(t, published.Load(), count)
	require.Len(t, stored(t, client, "busy"), count)
	require.ErrorContains(t, publisher.Publish("busy", newMessage("x")), "the publisher is closed")
	require.NoError(t, publisher.Close())
	_, err = subscription.NewPublisher(subscription.PublisherConfig{})
	require.ErrorContains(t, err, "Client is required")
}
