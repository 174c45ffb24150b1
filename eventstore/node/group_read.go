package node

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"daybook.example/eventstore/log"
)

const (
	slotsMax   = 10_000 // events that one consumer may hold
	lettersMax = 64     // of them that wait to be sent
)

type nackAction = persistent.ReadReq_Nack_Action

const (
	nackUnknown = persistent.ReadReq_Nack_Unknown
	nackPark    = persistent.ReadReq_Nack_Park
	nackRetry   = persistent.ReadReq_Nack_Retry
)

// A consumer of a persistent subscription holds as many events as it has slots.
type consumer struct {
	id       string
	slots    int
	holding  map[uuid.UUID][]*message // by event ID; two of one ID are two
	held     int
	outbox   []*message
	bytes    int // that outbox holds
	ready    chan struct{}
	dropped  chan struct{}
	drop     func()
	measured measurement
	about    *persistent.SubscriptionInfo_ConnectionInfo
}

func newConsumer(ctx context.Context, slots int) *consumer {
	c := &consumer{
		id: uuid.NewString(), slots: slots, holding: map[uuid.UUID][]*message{}, ready: make(chan struct{}, 1), dropped: make(chan struct{}),
		measured: measurement{since: time.Now()},
		about:    &persistent.SubscriptionInfo_ConnectionInfo{Username: principalOf(ctx).login},
	}
	c.drop = sync.OnceFunc(func() { close(c.dropped) })
	if p, ok := peer.FromContext(ctx); ok {
		c.about.From = p.Addr.String()
	}
	if names := metadata.ValueFromIncomingContext(ctx, "connection-name"); len(names) > 0 {
		c.about.ConnectionName = names[0]
	}
	return c
}

// takes tells whether a consumer may be given another event: it has a slot for it,
// and what it was given and not sent yet is within a reader's share.
func (g *group) takes(c *consumer) bool {
	return c.held < c.slots && (g.service.readers.hoard || len(c.outbox) < lettersMax && c.bytes < g.service.readers.share())
}

func (c *consumer) give(m *message, timeout time.Duration) {
	if timeout > 0 {
		m.due = time.Now().Add(timeout)
	}
	c.holding[m.record.ID] = append(c.holding[m.record.ID], m)
	c.held++
	c.measured.count()
	c.outbox = append(c.outbox, m)
	c.bytes += m.size()
	c.wake()
}

func (c *consumer) wake() {
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// take finds what a consumer holds under an ID and gives its slot back.
func (c *consumer) take(id uuid.UUID) *message {
	same := c.holding[id]
	if len(same) == 0 {
		return nil
	}
	if c.holding[id] = same[1:]; len(same) == 1 {
		delete(c.holding, id)
	}
	c.held--
	return same[0]
}

// overdue takes back what was held for too long. What it has not even been sent
// yet is not sent to it any more.
func (c *consumer) overdue(now time.Time) (late []*message) {
	for id, same := range c.holding {
		if m := same[0]; !m.due.IsZero() && now.After(m.due) {
			late = append(late, c.take(id))
			c.outbox = slices.DeleteFunc(c.outbox, func(o *message) bool { return o == m })
			c.bytes = sizeOf(c.outbox)
		}
	}
	slices.SortFunc(late, func(a, b *message) int { return int(a.at - b.at) })
	return late
}

// Read lets somebody consume a persistent subscription.
func (g *groups) Read(srv persistent.PersistentSubscriptions_ReadServer) error {
	ctx := srv.Context()
	requests := incoming(ctx, srv.Recv)
	o, err := g.firstOf(ctx, requests)
	if err != nil {
		return err
	}
	key, err := g.mayConsume(ctx, o)
	if err != nil {
		return err
	}
	if o.GetBufferSize() <= 0 || o.GetBufferSize() > slotsMax {
		return invalid("the buffer of a consumer has room for 1 to %d events", slotsMax)
	}
	found, err := g.named(ctx, o, key.Stream == allStreams)
	if err != nil {
		return err
	}
	c := newConsumer(ctx, int(o.GetBufferSize()))
	if err := found.join(ctx, c); err != nil {
		return err
	}
	defer found.leave(c)
	g.service.readers.count.Add(1)
	defer g.service.readers.count.Add(-1)
	if err := srv.Send(&persistent.ReadResp{Content: &persistent.ReadResp_SubscriptionConfirmation_{
		SubscriptionConfirmation: &persistent.ReadResp_SubscriptionConfirmation{SubscriptionId: key.String()},
	}}); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- found.listen(ctx, c, requests) }()
	return found.deliver(srv, c, o.GetUuidOption().GetString_() != nil, ended)
}

func (g *groups) firstOf(ctx context.Context, requests <-chan received[*persistent.ReadReq]) (*persistent.ReadReq_Options, error) {
	select {
	case first := <-requests:
		if first.err != nil && !errors.Is(first.err, io.EOF) {
			return nil, first.err
		}
		if o := first.message.GetOptions(); o != nil {
			return o, nil
		}
		return nil, invalid("the reading of a persistent subscription begins with its options")
	case <-g.service.closing:
		return nil, shuttingDown(ctx)
	}
}

// mayConsume checks that somebody may read the stream, and change how far the
// subscription is.
func (g *groups) mayConsume(ctx context.Context, o *persistent.ReadReq_Options) (groupKey, error) {
	key, err := keyOf(o, o.GetAll() != nil || string(o.GetStreamIdentifier().GetStreamName()) == allStreams)
	if err != nil {
		return key, err
	}
	if principalOf(ctx).reader {
		return key, g.service.may(ctx, writing, key.checkpoints())
	}
	return key, g.service.may(ctx, reading, key.Stream)
}

// join adds a consumer.
func (g *group) join(ctx context.Context, c *consumer) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if limit := int(g.settings.ConsumersMax); limit > 0 && len(g.consumers) >= limit {
		return groupFull(ctx, g.key)
	}
	if g.quits() {
		return g.farewell(ctx)
	}
	g.consumers = append(g.consumers, c)
	g.nudge()
	return nil
}

// leave removes a consumer. What it held goes to others, however often it was
// tried: that it went away is not the fault of the message.
func (g *group) leave(c *consumer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.consumers = slices.DeleteFunc(g.consumers, func(other *consumer) bool { return other == c })
	for _, same := range c.holding {
		for _, m := range same {
			g.requeue(m)
		}
	}
	g.nudge()
}

// farewell is what a consumer is told when the group ends.
func (g *group) farewell(ctx context.Context) error {
	if g.reason == nil {
		return shuttingDown(ctx)
	}
	return g.reason(ctx, g.key)
}

// listen takes the answers of a consumer. It is apart from delivery: one that is
// slow to receive must still be heard.
func (g *group) listen(ctx context.Context, c *consumer, requests <-chan received[*persistent.ReadReq]) error {
	for {
		var request received[*persistent.ReadReq]
		select {
		case request = <-requests:
		case <-ctx.Done():
			return nil
		}
		if request.err != nil {
			return nil //nolint:nilerr // it has gone, or says no more
		}
		switch content := request.message.GetContent().(type) {
		case *persistent.ReadReq_Ack_:
			g.acknowledge(c, eventIDs(content.Ack.GetIds()))
		case *persistent.ReadReq_Nack_:
			g.refuse(c, eventIDs(content.Nack.GetIds()), content.Nack.GetAction(), content.Nack.GetReason())
		default:
			return invalid("a consumer acknowledges or refuses events, and gives its options once")
		}
	}
}

// eventIDs reads IDs; what is none is nobody's.
func eventIDs(messages []*shared.UUID) []uuid.UUID {
	ids := make([]uuid.UUID, 0, len(messages))
	for _, m := range messages {
		if id, err := eventID(m); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// deliver sends a consumer what it is given, until one of the two has enough.
func (g *group) deliver(srv persistent.PersistentSubscriptions_ReadServer, c *consumer, textIDs bool, ended <-chan error) error {
	ctx, flight := srv.Context(), newInFlight()
	for {
		select {
		case <-c.ready:
			if err := g.service.may(ctx, reading, g.key.Stream); err != nil { // the right may have been lost meanwhile
				return err
			}
			letters := g.letters(c)
			for i, m := range letters {
				letters[i] = message{} // nobody else holds its bytes
				if err := g.recall(ctx, &m); err != nil {
					return err
				}
				if err := g.service.push(srv, flight, m.encode(textIDs)); err != nil {
					return err
				}
			}
		case err := <-ended:
			return err
		case <-c.dropped:
			return g.whyDropped(ctx)
		case <-g.quit:
			return g.farewell(ctx)
		case <-g.service.closing:
			return shuttingDown(ctx)
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// letters are copies of what a consumer is sent next: while one is being sent, its
// message's time may be over, and it is tried once more. They hold a share of bytes,
// or are one that has let go of them.
func (g *group) letters(c *consumer) (letters []message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	full := !g.takes(c)
	for len(c.outbox) > 0 {
		m := c.outbox[0]
		if m.size() == 0 && len(letters) > 0 {
			c.wake()
			break
		}
		letters = append(letters, *m)
		g.letGo(m)
		c.outbox[0], c.outbox = nil, c.outbox[1:]
	}
	c.bytes = sizeOf(c.outbox)
	if full {
		g.nudge()
	}
	return letters
}

// recall reads again what a letter has let go of.
func (g *group) recall(ctx context.Context, m *message) (err error) {
	if m.record.Event == nil {
		m.record, err = g.service.log.ReadAt(m.record.Position)
	}
	if err == nil && m.target != nil && m.target.Event == nil {
		var target log.Record
		target, err = g.service.log.ReadAt(m.target.Position)
		m.target = &target
	}
	if err != nil {
		return g.service.failure(ctx, g.key.Stream, err)
	}
	return nil
}

func (g *group) whyDropped(ctx context.Context) error {
	g.mu.Lock()
	reason := g.broken
	g.mu.Unlock()
	if reason == nil {
		return groupDropped(ctx, g.key)
	}
	return g.service.failure(ctx, g.key.Stream, reason)
}

// encode builds the response: that of a read, and how often it was tried.
func (m *message) encode(textIDs bool) wire {
	tail := protowire.AppendTag(nil, fieldRetries, protowire.VarintType)
	tail = protowire.AppendVarint(tail, uint64(m.retries))
	original := recordedAs(m.record, textIDs)
	if !m.link {
		return encodeEvent(original, nil, m.record.Position, tail)
	}
	var target *recorded
	if m.target != nil {
		target = recordedAs(*m.target, textIDs)
	}
	return encodeEvent(target, original, m.record.Position, tail)
}
