package main

import (
	"context"
	"fmt"
	"time"

	"daybook.example/eventstore"
)

const (
	toRead  = 200_000         // events in the log that is read
	peerFor = 3 * time.Second // what the peer writes for the same, at some thousands a second
)

// reads measures reading a stream of 100 events, and all events, beside the peers
// (of the CPU, P7).
func (b *bench) reads(ctx context.Context) error {
	return b.withStore(ctx, func(s *store, raw *database, peer *peer) error {
		if err := fill(ctx, s, toRead); err != nil {
			return err
		}
		if err := raw.insertMany(ctx, 0); err != nil {
			return err
		}
		stream := s.writers[0].stream
		inPostgres, err := raw.anyStream(ctx)
		if err != nil {
			return err
		}
		ours := &side{name: "stream of 100 events: official client", clients: 1, events: perStream, one: func(ctx context.Context, _ int) error {
			return expect(perStream)(countStream(ctx, s.client, stream))
		}}
		rows := &side{name: "stream of 100 events: pgx SELECT", clients: 1, events: perStream, one: func(ctx context.Context, _ int) error {
			return expect(perStream)(raw.load(ctx, inPostgres))
		}}
		all := &side{name: fmt.Sprintf("all events (%d): official client, catching up", toRead), clients: 1, events: toRead, one: func(ctx context.Context, _ int) error {
			return expect(toRead)(catchUp(ctx, s.client, toRead))
		}}
		sides := []*side{ours, rows, all}
		loads, everything, err := peer.reads()
		if err != nil {
			return err
		}
		if err := b.turns(ctx, append(append(sides, loads...), everything...)...); err != nil {
			return err
		}
		for _, n := range loads {
			b.atLeast("stream of 100 events: client / JetStream, events/s", over(ours.rates(), n.rates()), 1)
		}
		for _, n := range everything {
			b.atLeast("all events: client / JetStream, events/s", over(all.rates(), n.rates()), 1)
		}
		b.atMost("CPU us an event read: catching up, with the node (P7)", all.cpus(), "%.1f", 8)
		return nil
	})
}

// fill appends so many events in streams of 100.
func fill(ctx context.Context, s *store, events int) error {
	for range events / perStream {
		if err := s.engine(perStream)(ctx, 0); err != nil {
			return err
		}
	}
	return nil
}

func expect(count int) func(int, error) error {
	return func(n int, err error) error {
		if err == nil && n != count {
			err = fmt.Errorf("%d events were read and not %d", n, count)
		}
		return err
	}
}

func countStream(ctx context.Context, c *eventstore.Client, stream string) (n int, err error) {
	for _, err := range c.Stream(ctx, stream, 0) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// catchUp subscribes from the start until so many events have come.
func catchUp(ctx context.Context, c *eventstore.Client, count int) (n int, err error) {
	subscription, err := c.SubscribeAll(ctx, eventstore.Position{})
	if err != nil {
		return 0, err
	}
	defer subscription.Close()
	for n < count {
		message, err := subscription.Recv(ctx)
		if err != nil {
			return n, err
		}
		if message.Event != nil && !message.Event.System() {
			n++
		}
	}
	return n, nil
}
