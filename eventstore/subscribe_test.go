package eventstore_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
)

// events receives n events and the number of messages that the reader was up to date.
func events(t *testing.T, s *eventstore.Subscription, n int) (got []eventstore.Recorded, caughtUp int) {
	t.Helper()
	for len(got) < n {
		m, err := s.Recv(within(t, 10*time.Second))
		require.NoError(t, err)
		if m.Event != nil {
			got = append(got, *m.Event)
		}
		if m.CaughtUp {
			caughtUp++
		}
	}
	return got, caughtUp
}

func TestGivenASubscriptionToAllWhenEventsComeThenEachComesOnceInOrder(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, 30*time.Second)
	_, err := client.Append(ctx, "old", eventstore.NoStream, proposed(100))
	require.NoError(t, err)
	s, err := client.ReadOnly().SubscribeAll(ctx, eventstore.Position{})
	require.NoError(t, err)
	defer s.Close()
	for i := range 20 {
		_, err := client.Append(ctx, fmt.Sprint("new-", i), eventstore.NoStream, proposed(5))
		require.NoError(t, err)
	}
	got, _ := events(t, s, 200)
	for i, event := range got[1:] {
		require.True(t, got[i].Position.Less(event.Position))
	}

	after, err := client.SubscribeAll(ctx, got[149].Position)
	require.NoError(t, err)
	defer after.Close()
	rest, _ := events(t, after, 50)
	require.Equal(t, got[150:], rest)
	m, err := after.Recv(ctx)
	require.NoError(t, err)
	require.True(t, m.CaughtUp)
}

func TestGivenASubscriptionToAStreamThenOnlyItsEventsCome(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, 30*time.Second)
	s, err := client.SubscribeStream(ctx, "mine", nil)
	require.NoError(t, err, "the stream need not exist yet")
	defer s.Close()
	_, err = client.Append(ctx, "other", eventstore.NoStream, proposed(3))
	require.NoError(t, err)
	_, err = client.Append(ctx, "mine", eventstore.NoStream, proposed(3))
	require.NoError(t, err)
	got, caughtUp := events(t, s, 3)
	require.Equal(t, 1, caughtUp)
	for i, event := range got {
		require.Equal(t, "mine", event.Stream)
		require.EqualValues(t, i, event.Revision)
	}
	zero := eventstore.Revision(0)
	rest, err := client.SubscribeStream(ctx, "mine", &zero)
	require.NoError(t, err)
	defer rest.Close()
	got, _ = events(t, rest, 2)
	require.EqualValues(t, 1, got[0].Revision, "after the revision, not from it")
}

func TestASubscriptionEndsWithItsContextWithItsNodeAndByClose(t *testing.T) {
	t.Parallel()
	client, node := start(t)
	ctx := within(t, 30*time.Second)
	end := func(s *eventstore.Subscription) (err error) {
		for err == nil {
			_, err = s.Recv(ctx)
		}
		_, again := s.Recv(ctx)
		require.Equal(t, err, again)
		return err
	}

	short, cancel := context.WithCancel(ctx)
	s, err := client.SubscribeAll(short, eventstore.Position{})
	require.NoError(t, err)
	cancel()
	require.ErrorIs(t, end(s), eventstore.ErrSubscriptionClosed)

	s, err = client.SubscribeAll(ctx, eventstore.Position{})
	require.NoError(t, err)
	s.Close()
	require.ErrorIs(t, end(s), eventstore.ErrSubscriptionClosed)

	s, err = client.SubscribeAll(ctx, eventstore.Position{})
	require.NoError(t, err)
	waiting, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	for err == nil {
		_, err = s.Recv(waiting)
	}
	require.ErrorIs(t, err, context.DeadlineExceeded, "only the waiting ended")
	node.Stop()
	require.ErrorIs(t, end(s), eventstore.ErrUnavailable)
}

// Its messages wait at the node; they must fill neither the connection that it
// shares with the others nor our memory.
func TestASubscriptionThatNobodyReadsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, 30*time.Second)
	s, err := client.SubscribeAll(ctx, eventstore.Position{})
	require.NoError(t, err)
	defer s.Close()
	const n, size = 40, 256 << 10 // more than any window of flow control
	for range n {
		large := proposed(1)
		large[0].Data = bytes.Repeat([]byte("1"), size)
		_, err := client.Append(ctx, "s", eventstore.Any, large)
		require.NoError(t, err)
	}
	read, err := client.ReadStream(ctx, "s", 0, eventstore.Forwards, n)
	require.NoError(t, err)
	require.Len(t, read, n)
	got, _ := events(t, s, n)
	require.Equal(t, read, got)
}
