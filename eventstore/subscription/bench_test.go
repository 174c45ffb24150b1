package subscription_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/eventstore/subscription"
)

// BenchmarkCatchUp compares reading the log through the subscriber with a bare
// read of the same events.
func BenchmarkCatchUp(b *testing.B) {
	const events = 20_000
	client := eventstoretest.Start(b).Connect()
	for i := range events / 500 {
		batch := make([]eventstore.Proposed, 500)
		for j := range batch {
			batch[j] = eventstore.Proposed{ID: uuid.New(), Type: "counted", Data: make([]byte, 600), Metadata: []byte(`{}`)}
		}
		_, err := client.Append(b.Context(), fmt.Sprint("s-", i), eventstore.Any, batch)
		require.NoError(b, err)
	}
	perSecond := func(b *testing.B) { b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s") }
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			all, err := client.ReadAll(b.Context(), eventstore.Position{}, eventstore.Forwards, math.MaxInt64)
			require.NoError(b, err)
			require.Len(b, all, events)
		}
		perSecond(b)
	})
	b.Run("subscriber", func(b *testing.B) {
		for b.Loop() {
			s, err := subscription.New(subscription.Config{Client: client, From: fromStart, Logger: eventstoretest.Quiet})
			require.NoError(b, err)
			messages, err := s.Subscribe(b.Context(), subscription.Topic)
			require.NoError(b, err)
			for n := 0; n < events; {
				m := <-messages
				batch, _ := subscription.BatchFrom(m)
				n += len(batch.Events)
				m.Ack()
			}
			require.NoError(b, s.Close())
		}
		perSecond(b)
	})
}

// BenchmarkVisible compares an append whose event is waited for at the
// subscriber with a bare append.
func BenchmarkVisible(b *testing.B) {
	client := eventstoretest.Start(b).Connect()
	store := func() {
		_, err := client.Append(b.Context(), "s", eventstore.Any,
			[]eventstore.Proposed{{ID: uuid.New(), Type: "counted", Data: make([]byte, 600)}})
		require.NoError(b, err)
	}
	b.Run("append", func(b *testing.B) {
		for b.Loop() {
			store()
		}
	})
	b.Run("visible", func(b *testing.B) {
		head := func(ctx context.Context) (eventstore.Position, error) { return client.Head(ctx) }
		s, err := subscription.New(subscription.Config{Client: client, From: head, Logger: eventstoretest.Quiet})
		require.NoError(b, err)
		messages, err := s.Subscribe(b.Context(), subscription.Topic)
		require.NoError(b, err)
		for b.Loop() {
			store()
			(<-messages).Ack()
		}
		require.NoError(b, s.Close())
	})
}
