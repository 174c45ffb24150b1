package subscription

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"daybook.example/eventstore"
)

// NameMetadata is where Watermill's cqrs package keeps the name of an event in
// the metadata of a message. The publisher makes it the event's type, and the
// subscriber makes the type of an event that has no such metadata the name.
const NameMetadata = "name"

const (
	unnamed      = "message"      // type of an event whose message has no name
	uuidMetadata = "message_uuid" // of a message whose UUID is no event ID
	octets       = "application/octet-stream"

	publishPatience = 30 * time.Second
)

// messageIDs is the namespace of event IDs made from UUIDs of messages that are none.
var messageIDs = uuid.MustParse("6f0b5a3e-7a0c-4c55-9a53-0f2f7f3f5d1c")

// PublisherConfig of a Publisher. Client is required.
type PublisherConfig struct {
	Client *eventstore.Client

	// Stream is the stream of a topic; by default it has the topic's name.
	Stream func(topic string) string

	// Type is the type of a message's event; by default NameMetadata, and
	// "message" without it.
	Type func(topic string, m *message.Message) string

	// Expected is what the messages of one Publish require of their stream; by
	// default eventstore.Any. The contexts of the messages can bring it here.
	Expected func(topic string, messages []*message.Message) eventstore.ExpectedRevision

	Timeout time.Duration // of one Publish, which sends again meanwhile; 30 s by default
}

func (c *PublisherConfig) complete() error {
	if c.Client == nil {
		return errors.New("publisher: Client is required")
	}
	if c.Stream == nil {
		c.Stream = sameName
	}
	if c.Type == nil {
		c.Type = typeByName
	}
	if c.Expected == nil {
		c.Expected = func(string, []*message.Message) eventstore.ExpectedRevision { return eventstore.Any }
	}
	if c.Timeout <= 0 {
		c.Timeout = publishPatience
	}
	return nil
}

func sameName(topic string) string { return topic }

func typeByName(_ string, m *message.Message) string {
	if name := m.Metadata.Get(NameMetadata); name != "" {
		return name
	}
	return unnamed
}

var _ message.Publisher = (*Publisher)(nil)

// Publisher is a Watermill publisher: a message becomes an event.
type Publisher struct {
	config PublisherConfig

	mu     sync.Mutex // guards against Publish during Close
	closed bool
	calls  sync.WaitGroup
}

// NewPublisher makes a publisher. The client stays its caller's to close.
func NewPublisher(c PublisherConfig) (*Publisher, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	return &Publisher{config: c}, nil
}

// Publish appends the messages to the stream of the topic, in their order, all
// or none, and returns when they are durable. The UUID of a message is the ID of
// its event, its payload the data, its metadata the metadata.
//
// While the result is unknown it sends the same events again, until Timeout or
// until the context of one of the messages ends. After an error that is not
// eventstore.Definite, publish the same messages again to find out: what was
// stored already is recognised by its UUID and not stored twice.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if err := p.begin(); err != nil {
		return fmt.Errorf("publish to %q: %w", topic, err)
	}
	defer p.calls.Done()
	if len(messages) == 0 {
		return nil
	}
	stream := p.config.Stream(topic)
	events := make([]eventstore.Proposed, len(messages))
	for i, m := range messages {
		var err error
		if events[i], err = proposed(stream, p.config.Type(topic, m), m); err != nil {
			return fmt.Errorf("publish to %q: message %d: %w", topic, i, err)
		}
	}
	ctx, cancel := patienceOf(messages, p.config.Timeout)
	defer cancel()
	if err := p.store(ctx, stream, p.config.Expected(topic, messages), events); err != nil {
		return fmt.Errorf("publish to %q: %w", topic, err)
	}
	return nil
}

func (p *Publisher) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.New("the publisher is closed")
	}
	p.calls.Add(1)
	return nil
}

func (p *Publisher) store(ctx context.Context, stream string, expected eventstore.ExpectedRevision, events []eventstore.Proposed) error {
	for attempt := 0; ; attempt++ {
		_, err := p.config.Client.Append(ctx, stream, expected, events)
		if err == nil || eventstore.Definite(err) || !sleep(ctx, doubling(backoffMin, backoffMax, attempt)) {
			return err
		}
	}
}

// patienceOf lasts until the first of the messages' contexts ends, and no longer
// than most.
func patienceOf(messages []*message.Message, most time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	var stops []func() bool
	for _, m := range messages {
		if m.Context().Done() != nil {
			stops = append(stops, context.AfterFunc(m.Context(), cancel))
		}
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

// proposed is the event of a message.
func proposed(stream, kind string, m *message.Message) (eventstore.Proposed, error) {
	id, kept := eventID(stream, m.UUID)
	metadata, err := metadataOf(m, kept)
	if err != nil {
		return eventstore.Proposed{}, err
	}
	event := eventstore.Proposed{ID: id, Type: kind, Data: m.Payload, Metadata: metadata}
	if !json.Valid(m.Payload) {
		event.ContentType = octets
	}
	return event, nil
}

// eventID is the UUID of a message where it is one. Of any other text it is a
// UUID that the same text gives again, so that a repeat is known; of none it is
// random. kept is what the subscriber has to bring back instead of the ID.
func eventID(stream, text string) (id uuid.UUID, kept string) {
	if text == "" {
		return uuid.New(), ""
	}
	id, err := uuid.Parse(text)
	switch {
	case err != nil || id == uuid.Nil:
		return uuid.NewHash(sha256.New(), messageIDs, []byte(stream+"\x00"+text), 4), text
	case id.String() != text:
		return id, text // written in another way
	}
	return id, ""
}

// metadataOf is the metadata as JSON, nil where there is none.
func metadataOf(m *message.Message, kept string) ([]byte, error) {
	if len(m.Metadata) == 0 && kept == "" {
		return nil, nil
	}
	all := make(map[string]string, len(m.Metadata)+1)
	for key, value := range m.Metadata {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return nil, fmt.Errorf("%w: metadata %.40q is not UTF-8, which JSON cannot hold; encode it, or put it in the payload", eventstore.ErrInvalid, key)
		}
		all[key] = value
	}
	if _, taken := all[uuidMetadata]; taken {
		return nil, fmt.Errorf("%w: metadata %q is where a UUID that is no event ID is kept; choose another name", eventstore.ErrInvalid, uuidMetadata)
	}
	if kept != "" {
		if !utf8.ValidString(kept) {
			return nil, fmt.Errorf("%w: the UUID is not UTF-8", eventstore.ErrInvalid)
		}
		all[uuidMetadata] = kept
	}
	return json.Marshal(all)
}

// Close lets no more messages in and returns when those under way are through.
func (p *Publisher) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.calls.Wait()
	return nil
}
