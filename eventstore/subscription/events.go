package subscription

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"daybook.example/eventstore"
)

const (
	takeOver        = 10 * time.Second
	checkpointEvery = 100 * time.Millisecond
)

// A Place is how far a handler has come. The zero Place is the beginning.
type Place struct {
	Next     eventstore.Revision `json:"next"`     // in a stream: the first revision that has not been handled
	Position eventstore.Position `json:"position"` // in the whole log: of the last event that has been
}

// EventConfig of an EventSubscriber. Client is required.
type EventConfig struct {
	Client *eventstore.Client

	// Stream is the stream of a topic; by default it has the topic's name. The
	// stream "$all" is all streams but the store's own ($...).
	Stream func(topic string) string

	// Group is the consumer group. Its members share one checkpoint per stream,
	// kept in the event store, and one of them is served at a time. Without a
	// group every subscription gets every event.
	Group string

	// From says where a subscription without a group begins, and where a group
	// begins that has no checkpoint yet; the beginning by default. Who keeps its
	// place in its own database gives that.
	From func(ctx context.Context, stream string) (Place, error)

	// TakeOver is how long the member of a group that is served may leave a
	// question of the others unanswered, until one of them takes its place; 10 s
	// by default. It need not be the same everywhere.
	TakeOver time.Duration

	// CheckpointEvery is the least time between two checkpoints of a group. What
	// was acknowledged since the last one comes again after a crash, not after a
	// Close; 100 ms by default.
	CheckpointEvery time.Duration

	// NackDelay is how long a refused message waits before it comes again;
	// attempt counts from 0. By default 100 ms, doubling up to 30 s.
	NackDelay func(attempt int) time.Duration

	Logger *slog.Logger // slog.Default by default
}

func (c *EventConfig) complete() error {
	switch {
	case c.Client == nil:
		return errors.New("subscription: Client is required")
	case strings.Contains(c.Group, "::"):
		return fmt.Errorf("subscription: the name of the group %.40q holds \"::\", which stands between group and stream", c.Group)
	}
	if c.Stream == nil {
		c.Stream = sameName
	}
	if c.From == nil {
		c.From = func(context.Context, string) (Place, error) { return Place{}, nil }
	}
	if c.TakeOver <= 0 {
		c.TakeOver = takeOver
	}
	if c.CheckpointEvery <= 0 {
		c.CheckpointEvery = checkpointEvery
	}
	if c.NackDelay == nil {
		c.NackDelay = nackDelay
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

var _ message.Subscriber = (*EventSubscriber)(nil)

// EventSubscriber is a Watermill subscriber to which every event is a message.
// For read models a Subscriber, whose messages are batches, is much faster.
type EventSubscriber struct {
	config EventConfig
	life   lifetime
}

// NewEventSubscriber makes a subscriber. The client stays its caller's to close.
func NewEventSubscriber(c EventConfig) (*EventSubscriber, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	return &EventSubscriber{config: c, life: newLifetime()}, nil
}

// Subscribe delivers the events of a topic's stream, those there are and those
// to come, one after the other: the next one comes when the last is acknowledged,
// and a refused one comes again. The stream need not exist yet. A lost connection
// is made again.
//
// It ends, and the channel is closed, when ctx ends, by Close, or when the stream
// is deleted for ever. A message that is out then is forgotten, and its context
// ends.
func (s *EventSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	stream := s.config.Stream(topic)
	if stream == "" {
		return nil, fmt.Errorf("subscribe to %q: the topic has no stream", topic)
	}
	from, err := s.config.From(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("subscribe to %q: ask where to begin: %w", topic, err)
	}
	out := make(chan *message.Message)
	if err := s.life.start(ctx, func(ctx context.Context) {
		defer close(out)
		if s.config.Group == "" {
			(&follower{config: s.config, stream: stream, place: from, out: out}).run(ctx)
			return
		}
		newMember(s.config, stream, from, out).run(ctx)
	}); err != nil {
		return nil, err
	}
	return out, nil
}

// Close ends all subscriptions and returns when their channels are closed and
// the checkpoints of the group are stored. It does not wait for handlers.
func (s *EventSubscriber) Close() error {
	s.life.close()
	return nil
}

// A lifetime is that of a subscriber, whose subscriptions end with it.
type lifetime struct {
	context context.Context
	end     context.CancelFunc
	mu      *sync.Mutex // guards against a start during close
	tasks   *sync.WaitGroup
}

func newLifetime() lifetime {
	ctx, end := context.WithCancel(context.Background())
	return lifetime{context: ctx, end: end, mu: &sync.Mutex{}, tasks: &sync.WaitGroup{}}
}

// start runs tasks that share a context, which ends with the first of them, with
// ctx and with the lifetime.
func (l *lifetime) start(ctx context.Context, tasks ...func(context.Context)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.context.Err() != nil {
		return errors.New("subscribe: the subscriber is closed")
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(l.context, cancel)
	for _, task := range tasks {
		l.tasks.Go(func() {
			defer stop()
			defer cancel()
			task(ctx)
		})
	}
	return nil
}

func (l *lifetime) close() {
	l.mu.Lock()
	l.end()
	l.mu.Unlock()
	l.tasks.Wait()
}

type eventKey struct{}

// EventFrom is the event of a message that an EventSubscriber of this process
// delivered: its stream, revision, position, type and time.
func EventFrom(m *message.Message) (*eventstore.Recorded, bool) {
	event, ok := m.Context().Value(eventKey{}).(*eventstore.Recorded)
	return event, ok
}

// messageOf is the event as Watermill carries it: what its publisher was given.
func messageOf(ctx context.Context, event *eventstore.Recorded) *message.Message {
	m := message.NewMessageWithContext(context.WithValue(ctx, eventKey{}, event), event.ID.String(), event.Data)
	var metadata map[string]any
	if json.Unmarshal(event.Metadata, &metadata) == nil {
		for key, value := range metadata {
			m.Metadata.Set(key, textOf(value))
		}
	}
	if kept, ok := m.Metadata[uuidMetadata]; ok {
		m.UUID = kept
		delete(m.Metadata, uuidMetadata)
	}
	if m.Metadata.Get(NameMetadata) == "" && event.Type != unnamed {
		m.Metadata.Set(NameMetadata, event.Type)
	}
	return m
}

// textOf is a value of metadata that others wrote: a text as it is, all else as JSON.
func textOf(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // it was JSON
	}
	return string(text)
}

// newID is the ID of a member of a group and of its events.
func newID() uuid.UUID { return uuid.New() }
