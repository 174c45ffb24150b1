package subscription

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"daybook.example/eventstore"
)

// tombstone is the type of the event that deletes a stream for ever.
const tombstone = "$streamDeleted"

// A follower delivers the events of a stream, or of all, one at a time. It
// reads on from the last one acknowledged when the connection was lost.
type follower struct {
	config EventConfig
	stream string
	place  Place
	out    chan<- *message.Message
	passed func(Place) // told after each acknowledgement; nil for nobody
}

// run delivers until ctx ends, or there is nothing more to come, ever.
func (f *follower) run(ctx context.Context) {
	for attempt := 0; ; attempt++ {
		before := f.place
		err := f.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, eventstore.ErrStreamDeleted):
			f.config.Logger.Error("the subscription ends: its stream was deleted for ever", "stream", f.stream)
			return
		case f.place != before:
			attempt = 0
		}
		if !again(ctx, f.config.Logger, attempt, err, "stream", f.stream) {
			return
		}
	}
}

// again waits before a lost subscription is made again; false when ctx ended.
func again(ctx context.Context, logger *slog.Logger, attempt int, err error, about ...any) bool {
	level := slog.LevelDebug
	if attempt == 0 { // said once, however long the store is away
		level = slog.LevelWarn
	}
	logger.Log(ctx, level, "subscription lost, subscribing again", append(about, "attempt", attempt, "error", err)...)
	pause := doubling(backoffMin, backoffMax, attempt)
	return sleep(ctx, pause/2+rand.N(pause))
}

func (f *follower) follow(ctx context.Context) error {
	subscription, err := f.subscribe(ctx)
	if err != nil {
		return err
	}
	defer subscription.Close()
	for {
		m, err := subscription.Recv(ctx)
		if err != nil {
			return err
		}
		if m.Event == nil || !f.isNew(m.Event) {
			continue
		}
		if !f.leavesOut(m.Event) {
			if !deliver(ctx, f.out, f.config.NackDelay, func(ctx context.Context) *message.Message { return messageOf(ctx, m.Event) }) {
				return ctx.Err()
			}
		}
		f.pass(m.Event)
	}
}

func (f *follower) all() bool { return f.stream == Topic }

func (f *follower) subscribe(ctx context.Context) (*eventstore.Subscription, error) {
	if f.all() {
		return f.config.Client.SubscribeAll(ctx, f.place.Position)
	}
	if f.place.Next == 0 {
		return f.config.Client.SubscribeStream(ctx, f.stream, nil)
	}
	last := f.place.Next - 1
	return f.config.Client.SubscribeStream(ctx, f.stream, &last)
}

// isNew keeps away an event again, which no store should send.
func (f *follower) isNew(event *eventstore.Recorded) bool {
	if f.all() {
		return f.place.Position.Less(event.Position)
	}
	return event.Revision >= f.place.Next
}

// leavesOut is for what nobody published. A checkpoint of a group must not come
// to a group that reads all streams: its acknowledgement would be another one.
func (f *follower) leavesOut(event *eventstore.Recorded) bool {
	return event.Type == tombstone || f.all() && (event.System() || event.Type == groupCheckpoint)
}

// pass moves on. What is left out moves nobody's checkpoint: two groups that
// read all streams would keep each other awake for ever.
func (f *follower) pass(event *eventstore.Recorded) {
	if event.Type == tombstone {
		return
	}
	f.place = Place{Next: event.Revision + 1, Position: event.Position}
	if f.all() {
		f.place.Next = 0 // of many streams there is none
	}
	if f.passed != nil && !f.leavesOut(event) {
		f.passed(f.place)
	}
}

// deliver hands out a message until the handler acknowledges it, and reports
// whether it did before ctx ended. Each delivery is a new message, made by fresh.
func deliver(ctx context.Context, out chan<- *message.Message, nackDelay func(attempt int) time.Duration, fresh func(context.Context) *message.Message) bool {
	for attempt := 0; !deliverOnce(ctx, out, fresh); attempt++ {
		if !sleep(ctx, nackDelay(attempt)) {
			return false
		}
	}
	return true
}

// deliverOnce reports whether the handler acknowledged the message. What is to
// be found in its context is put there by fresh: a copy that Watermill makes of
// a refused message would have lost it.
func deliverOnce(ctx context.Context, out chan<- *message.Message, fresh func(context.Context) *message.Message) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if ctx.Err() != nil { // a select would choose by chance
		return false
	}
	m := fresh(ctx)
	select {
	case out <- m:
	case <-ctx.Done():
		return false
	}
	select {
	case <-m.Acked():
		return true
	case <-m.Nacked():
		return false
	case <-ctx.Done():
	}
	select {
	case <-m.Acked(): // both had happened
		return true
	default:
		return false
	}
}
