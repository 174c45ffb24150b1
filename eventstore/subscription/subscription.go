// Package subscription is a Watermill Publisher and Subscriber for EventStoreDB,
// KurrentDB and the embedded node.
//
// Publisher makes events of messages. EventSubscriber makes messages of the events
// of a stream or of all, for one or for the members of a group. Subscriber brings
// the whole log to the handler of a read model: one message is a batch of events,
// in the order of the log, and the next one comes only after the handler has
// acknowledged it.
//
// Watermill gives no order of its own; one message in flight does. So speed
// comes from the size of a batch, and that follows the handler: a batch is
// whatever is ready when the last one is done. README.md says more.
package subscription

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"daybook.example/eventstore"
)

// Topic is the one topic there is: all streams.
const Topic = "$all"

// Defaults of Config.
const (
	liveEvents    = 512
	catchUpEvents = 4096
	batchBytes    = 4 << 20
	batchesAhead  = 2
	moveEvery     = 5 * time.Millisecond

	nackDelayMin = 100 * time.Millisecond
	nackDelayMax = 30 * time.Second
)

// Config of a Subscriber. From is required, and Client or Feed.
type Config struct {
	Client *eventstore.Client

	// Feed lets subscriptions share what is read and decoded. Client and Decode are
	// the feed's then, and not to be given.
	Feed *Feed

	// From says where the handler is: batches begin after that position. It is
	// asked at every Subscribe.
	From func(ctx context.Context) (eventstore.Position, error)

	// Decode turns an event into what Batch.Decoded holds; nil leaves it empty.
	// Its error, or panic, belongs to the event: the batch comes all the same.
	// It is not asked about the store's own events.
	Decode func(eventstore.Recorded) (any, error)

	MaxEvents int // of a batch; by default 512, and 4096 until the handler has caught up
	MaxBytes  int // a batch that holds as many takes no further event; 4 MiB by default
	Prefetch  int // batches decoded while the handler works; 2 by default

	// Takes says whether the handler does anything with events of a type; nil = with
	// all. A batch without one still comes, with all its events, since it moves the
	// checkpoint: at once if none did for MoveEvery (5 ms), else when that has passed,
	// an event that is taken has come, or it is full.
	Takes     func(eventType string) bool
	MoveEvery time.Duration

	// NackDelay is how long a refused batch waits before it comes again; attempt
	// counts from 0. By default 100 ms, doubling up to 30 s.
	NackDelay func(attempt int) time.Duration

	Logger *slog.Logger // slog.Default by default
}

func (c *Config) complete() error {
	switch {
	case c.From == nil || c.Client == nil && c.Feed == nil:
		return errors.New("subscription: From is required, and Client or Feed")
	case c.Feed != nil && (c.Client != nil || c.Decode != nil):
		return errors.New("subscription: with a Feed, Client and Decode are the feed's: leave them out")
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = batchBytes
	}
	if c.Prefetch <= 0 {
		c.Prefetch = batchesAhead
	}
	if c.Decode == nil {
		c.Decode = decodeNothing
	}
	if c.Takes == nil {
		c.Takes = func(string) bool { return true }
	}
	if c.MoveEvery <= 0 {
		c.MoveEvery = moveEvery
	}
	if c.NackDelay == nil {
		c.NackDelay = nackDelay
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

func decodeNothing(eventstore.Recorded) (any, error) { return nil, nil }

func nackDelay(attempt int) time.Duration { return doubling(nackDelayMin, nackDelayMax, attempt) }

// doubling is least, twice that, and so on up to most.
func doubling(least, most time.Duration, attempt int) time.Duration {
	if attempt >= 30 {
		return most
	}
	return min(least<<attempt, most)
}

var _ message.Subscriber = (*Subscriber)(nil)

// Subscriber is a Watermill subscriber whose messages are batches of all streams.
type Subscriber struct {
	config Config
	life   lifetime
}

// New makes a subscriber.
func New(c Config) (*Subscriber, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	return &Subscriber{config: c, life: newLifetime()}, nil
}

// Subscribe delivers batches after the position that From answers, for ever:
// it comes back by itself when the store was away. It ends, and the channel is
// closed, when ctx ends or by Close; a message that is out then is forgotten,
// and its context ends. Subscriptions do not know each other.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if topic != Topic {
		return nil, fmt.Errorf("subscribe to %q: the one topic is %q", topic, Topic)
	}
	from, err := s.config.From(ctx)
	if err != nil {
		return nil, fmt.Errorf("subscribe: ask where to begin: %w", err)
	}
	out := make(chan *message.Message)
	items, batches := make(chan item), make(chan *Batch)
	err = s.life.start(ctx,
		s.source(from, into(items)),
		func(ctx context.Context) { newPacker(s.config, from).run(ctx, items, batches) },
		func(ctx context.Context) {
			defer close(out)
			s.deliver(ctx, batches, out)
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// source reads after a position, alone or with others.
func (s *Subscriber) source(from eventstore.Position, pass func(context.Context, item) bool) func(context.Context) {
	if s.config.Feed != nil {
		return (&cursor{feed: s.config.Feed, at: from, pass: pass}).run
	}
	return (&reader{config: s.config, at: from, pass: pass}).run
}

// deliver hands out one batch after the other.
func (s *Subscriber) deliver(ctx context.Context, batches <-chan *Batch, out chan<- *message.Message) {
	for ctx.Err() == nil {
		select {
		case batch := <-batches:
			if !deliver(ctx, out, s.config.NackDelay, batch.message) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// Close ends all subscriptions and returns when their channels are closed. It
// does not wait for handlers.
func (s *Subscriber) Close() error {
	s.life.close()
	return nil
}

// sleep reports whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
