package eventstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// messagesAhead is how many messages a subscription takes in before its reader
// asks for them; what is beyond stays at the node, behind flow control.
const messagesAhead = 64

// ErrSubscriptionClosed is what Recv answers after Close.
var ErrSubscriptionClosed = errors.New("subscription closed")

// A Message of a subscription is one of an event, a checkpoint, and the news
// that the reader has come up to the present or has fallen behind it.
type Message struct {
	Event      *Recorded
	CaughtUp   bool
	FellBehind bool
	Checkpoint *Position
}

// A Subscription brings the events of a stream, or of all streams, in order:
// those there are and those to come. It does not come back by itself after an
// error: subscribe again after the last event seen.
type Subscription struct {
	messages chan Message
	cancel   context.CancelFunc
	dropped  error // set before messages is closed
}

// SubscribeAll subscribes to all streams after a position; zero is the start.
// The subscription lasts until ctx ends, or Close, or the first error.
func (r Reader) SubscribeAll(ctx context.Context, after Position) (*Subscription, error) {
	options := esdb.SubscribeToAllOptions{From: esdb.Position{Commit: after.Commit, Prepare: after.Prepare}}
	if after.IsZero() {
		options.From = esdb.Start{} // the client's default is the end
	}
	s, err := r.subscribe(ctx, func(ctx context.Context) (*esdb.Subscription, error) {
		return r.conn.inner.SubscribeToAll(ctx, options)
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to all streams: %w", err)
	}
	return s, nil
}

// SubscribeStream subscribes to one stream, which need not exist yet, after a
// revision; nil is the start.
func (r Reader) SubscribeStream(ctx context.Context, stream string, after *Revision) (*Subscription, error) {
	options := esdb.SubscribeToStreamOptions{From: esdb.Start{}}
	if after != nil {
		options.From = esdb.Revision(*after)
	}
	s, err := r.subscribe(ctx, func(ctx context.Context) (*esdb.Subscription, error) {
		return r.conn.inner.SubscribeToStream(ctx, stream, options)
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", stream, err)
	}
	return s, nil
}

func (r Reader) subscribe(ctx context.Context, open func(context.Context) (*esdb.Subscription, error)) (*Subscription, error) {
	life, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(r.conn.life, cancel)
	inner, err := call(life, r.conn, open)
	if err == nil {
		err = r.conn.begin()
	}
	if err != nil {
		stop()
		cancel()
		if ctx.Err() == nil && r.conn.life.Err() != nil {
			return nil, errClosed
		}
		return nil, err
	}
	s := &Subscription{messages: make(chan Message, messagesAhead), cancel: cancel}
	go func() {
		defer r.conn.calls.Done()
		defer stop()
		s.pump(life, inner)
	}()
	return s, nil
}

// pump moves messages on until the subscription ends.
func (s *Subscription) pump(ctx context.Context, inner *esdb.Subscription) {
	defer close(s.messages)
	defer s.cancel()
	defer inner.Close()
	for {
		event := inner.Recv()
		if event.SubscriptionDropped != nil {
			s.dropped = translate(ctx, event.SubscriptionDropped.Error)
			return
		}
		select {
		case s.messages <- message(event):
		case <-ctx.Done():
			s.dropped = ended(ctx)
			return
		}
	}
}

func message(event *esdb.SubscriptionEvent) (m Message) {
	switch {
	case event.EventAppeared != nil:
		e := recorded(event.EventAppeared)
		m.Event = &e
	case event.CheckPointReached != nil:
		m.Checkpoint = &Position{Commit: event.CheckPointReached.Commit, Prepare: event.CheckPointReached.Prepare}
	default:
		m.CaughtUp, m.FellBehind = event.CaughtUp != nil, event.FellBehind != nil
	}
	return m
}

// Recv waits for the next message. After its first error of the subscription,
// all later calls answer the same.
func (s *Subscription) Recv(ctx context.Context) (Message, error) {
	select {
	case m, ok := <-s.messages:
		if !ok {
			return Message{}, s.reason()
		}
		return m, nil
	case <-ctx.Done():
		return Message{}, ctx.Err()
	}
}

func (s *Subscription) reason() error {
	if s.dropped == nil || errors.Is(s.dropped, context.Canceled) {
		return ErrSubscriptionClosed
	}
	return fmt.Errorf("subscription dropped: %w", s.dropped)
}

// Close ends the subscription. Messages taken in but not asked for are lost.
func (s *Subscription) Close() { s.cancel() }
