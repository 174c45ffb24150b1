package subscription

import (
	"context"
	"errors"
	"fmt"
	"time"

	"daybook.example/eventstore"
)

// How long the reader waits before it subscribes again.
const (
	backoffMin = 50 * time.Millisecond
	backoffMax = 2 * time.Second
)

// headPatience bounds the question for the head, which is only for show.
const headPatience = 2 * time.Second

// An item is what the reader found: an event, or with none, news of its state.
type item struct {
	event   *eventstore.Recorded
	decoded any
	err     error

	live bool                // all that is in the log has come
	head eventstore.Position // as known; zero = no news
}

// A reader follows the log and decodes what comes. It knows where it is, so a
// lost subscription costs nothing that was read already.
type reader struct {
	config Config
	at     eventstore.Position // of the last event passed on
	pass   func(context.Context, item) bool
	lost   func()      // told when the subscription was lost; may be nil
	enough func() bool // asked after each event: whether to end; nil = never
}

// errEnough ends a reader.
var errEnough = errors.New("enough was read")

// run follows the log until ctx ends, or enough was read. It subscribes to all streams, without a
// filter: with one, the store's own events would be a head that no checkpoint
// ever reaches.
func (r *reader) run(ctx context.Context) {
	for attempt := 0; ; attempt++ {
		before := r.at
		err := r.follow(ctx)
		if ctx.Err() != nil || errors.Is(err, errEnough) || !r.pass(ctx, item{live: false}) {
			return
		}
		if r.lost != nil {
			r.lost()
		}
		if r.at != before {
			attempt = 0
		}
		if !again(ctx, r.config.Logger, attempt, err, "after", r.at.String()) {
			return
		}
	}
}

// follow subscribes after r.at and passes on what comes until that ends.
func (r *reader) follow(ctx context.Context) error {
	subscription, err := r.config.Client.SubscribeAll(ctx, r.at)
	if err != nil {
		return err
	}
	defer subscription.Close()
	if !r.pass(ctx, item{head: r.head(ctx)}) {
		return ctx.Err()
	}
	for {
		m, err := subscription.Recv(ctx)
		if err != nil {
			return err
		}
		i, ok := r.item(m)
		if ok && !r.pass(ctx, i) {
			return ctx.Err()
		}
		if ok && r.enough != nil && r.enough() {
			return errEnough
		}
	}
}

func (r *reader) head(ctx context.Context) eventstore.Position {
	ctx, cancel := context.WithTimeout(ctx, headPatience)
	defer cancel()
	head, err := r.config.Client.Head(ctx)
	if err != nil {
		r.config.Logger.Debug("head of the log unknown", "error", err)
	}
	return head
}

// item is what a message of the store means to the batches, if anything.
func (r *reader) item(m eventstore.Message) (item, bool) {
	switch {
	case m.CaughtUp || m.FellBehind:
		return item{live: m.CaughtUp}, true
	case m.Event == nil || !r.at.Less(m.Event.Position):
		return item{}, false // a checkpoint; or an event again, which no store should send
	}
	r.at = m.Event.Position
	i := item{event: m.Event}
	if !m.Event.System() {
		i.decoded, i.err = decode(r.config.Decode, *m.Event)
	}
	return i, true
}

// decode turns a panic into the error of its event: one bad event must not stop
// what does not care about it.
func decode(f func(eventstore.Recorded) (any, error), event eventstore.Recorded) (decoded any, err error) {
	defer func() {
		if p := recover(); p != nil {
			decoded, err = nil, fmt.Errorf("decode %s: panic of type %T", event.Type, p) // its text may show the data
		}
	}()
	return f(event)
}

// into passes items into a channel.
func into(items chan<- item) func(context.Context, item) bool {
	return func(ctx context.Context, i item) bool {
		select {
		case items <- i:
			return true
		case <-ctx.Done():
			return false
		}
	}
}
