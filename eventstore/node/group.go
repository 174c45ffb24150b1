package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"daybook.example/eventstore/log"
)

const (
	groupTick    = 250 * time.Millisecond // between two looks at what is due
	readAheadMax = 10_000                 // events, whatever the settings ask for
	retriesSpent = "Reached retry count"
)

// A group is one persistent subscription. It reads its stream ahead into a
// buffer, hands the events to its consumers, and notes down how far all before has
// been settled. One goroutine reads, hands out and writes; calls only change what
// it works on. A restart goes on behind the checkpoint: at least once.
type group struct {
	service  *service
	key      groupKey
	settings settings
	source   source
	filter   *filter

	quit    chan struct{}
	reason  func(context.Context, groupKey) error // told to consumers on quit; nil: the node shuts down
	wake    chan struct{}
	running sync.WaitGroup

	mu        sync.Mutex
	consumers []*consumer
	buffer    []*message // read, in order, for nobody yet
	bytes     int        // that buffer holds
	retry     []*message // to be sent again, in order, replayed ones behind
	parking   []*message // on their way to the parked ones
	live      bool       // at the end of what it reads
	broken    error      // why it reads no further

	passed  int64  // revision or position of the last event read; -1 before any
	counted uint64 // events read
	kept    struct {
		at      int64 // of the checkpoint that is stored; -1 without one
		counted uint64
		tried   time.Time
	}
	replaying replay
	measured  measurement
}

// A message is an event on its way to a consumer and back. Once it was sent, and
// while others hold enough, it is without the event's bytes: they are read again
// from the log when they are needed. So who stalls costs little.
type message struct {
	record  log.Record
	target  *log.Record // what it links to, if that was asked for
	link    bool        // it is such a link
	at      int64       // revision, or position in $all
	before  int64       // that of the event before it
	ordinal uint64      // among all events read
	retries int32
	due     time.Time // when its consumer's time is over; never when zero
	pin     string
	parked  int64  // its revision among the parked ones when it is sent from there; else -1
	reason  string // why it is parked
}

// shown is the event that the consumer is after.
func (m *message) shown() log.Record {
	if m.target != nil {
		return *m.target
	}
	return m.record
}

func startGroup(ctx context.Context, s *service, key groupKey, set settings) (*group, error) {
	g := &group{
		service: s, key: key, settings: set, quit: make(chan struct{}), wake: make(chan struct{}, 1), passed: int64(set.Begin) - 1,
	}
	g.kept.at, g.kept.tried, g.measured.since = -1, time.Now(), time.Now()
	if set.Filter != nil {
		var err error
		if g.filter, err = set.Filter.compile(); err != nil {
			return nil, fmt.Errorf("the filter of the persistent subscription %s: %w", key, err)
		}
	}
	kept, found, err := g.lastCheckpoint(ctx)
	if err != nil {
		return nil, err
	}
	if found {
		g.passed, g.kept.at = kept, kept
	}
	g.source = g.sourceFrom(g.passed + 1)
	g.replaying.next = s.log.Stream(key.parked()).First
	g.replaying.settled, g.replaying.stop = g.replaying.next, g.replaying.next
	g.running.Go(g.run)
	return g, nil
}

func (g *group) sourceFrom(at int64) source {
	if g.key.Stream == allStreams {
		return g.service.allSource(uint64(at), log.Forwards)
	}
	return g.service.streamSource(g.key.Stream, at, log.Forwards)
}

// stop ends it and waits until it has written its last checkpoint.
func (g *group) stop(reason func(context.Context, groupKey) error) {
	g.mu.Lock()
	select {
	case <-g.quit:
	default:
		g.reason = reason
		close(g.quit)
	}
	g.mu.Unlock()
	g.running.Wait()
}

// nudge lets the group look at what a call has changed.
func (g *group) nudge() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *group) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tick := time.NewTicker(groupTick)
	defer tick.Stop()
	timely := false
	for {
		changed := g.service.log.Changed() // taken before the read: nothing is missed between the two
		for g.read(ctx) {
			g.dispatch()
		}
		g.dispatch()
		g.keep(ctx, timely)
		if !g.attended() {
			changed = nil
		}
		timely = false
		select {
		case <-changed:
		case <-g.wake:
		case <-tick.C:
			timely = true
			g.expire()
		case <-g.quit:
			g.keep(ctx, true)
			return
		}
	}
}

func (g *group) attended() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.consumers) > 0
}

// read fills the buffer by one batch, when somebody waits and there is room, and
// tells whether there may be more. Replayed messages come first.
func (g *group) read(ctx context.Context) (more bool) {
	if !g.hasRoom() {
		return false
	}
	if again, err := g.readParked(ctx); again || err != nil {
		return again && err == nil
	}
	page, more, err := g.source.page(ctx, g.batch())
	messages := make([]*message, 0, len(page))
	passed, counted := g.passed, g.counted // nobody else changes these two
	for _, record := range page {
		m := &message{record: record, at: record.Revision, before: passed, parked: -1}
		if g.key.Stream == allStreams {
			m.at = int64(record.Position)
		}
		passed = m.at
		if g.key.Stream == allStreams && hidden(record.Stream) {
			continue // what other groups note down must not make this one note down more
		}
		counted++
		m.ordinal = counted
		if g.filter != nil && !g.filter.match(record) {
			continue
		}
		if err = errors.Join(err, g.prepare(ctx, m)); err != nil {
			break
		}
		messages = append(messages, m)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken = err; err != nil {
		g.source = g.sourceFrom(g.passed + 1) // what was read of this page comes again
		g.service.logger.Warn("a persistent subscription cannot be read", "subscription", g.key.String(), "error", err)
		g.dropAll()
		return false
	}
	g.passed, g.counted, g.live = passed, counted, !more
	for _, m := range messages {
		g.hold(m)
	}
	return more
}

// prepare finds out what takes the event's bytes.
func (g *group) prepare(ctx context.Context, m *message) (err error) {
	if g.settings.ResolveLinks && m.record.Type == linkType {
		m.target, m.link, err = g.service.resolve(ctx, m.record)
	}
	if g.settings.Strategy.pins() {
		m.pin = g.pinOf(m)
	}
	return err
}

// hold puts a message into the buffer; with its bytes if they are within a reader's
// share.
func (g *group) hold(m *message) {
	if size := m.size(); g.bytes > 0 && g.bytes+size > g.service.readers.share() {
		g.letGo(m)
	}
	g.bytes += m.size()
	g.buffer = append(g.buffer, m)
}

func (g *group) letGo(m *message) {
	if g.service.readers.hoard {
		return
	}
	m.record.Event = nil
	if m.target != nil {
		target := *m.target // the message's copy may just be sent
		target.Event = nil
		m.target = &target
	}
}

// size is what a message holds.
func (m *message) size() int {
	if m.target != nil {
		return len(m.record.Event) + len(m.target.Event)
	}
	return len(m.record.Event)
}

func sizeOf(messages []*message) (size int) {
	for _, m := range messages {
		size += m.size()
	}
	return size
}

// hasRoom tells whether the next batch fits into the buffer. One is enough, but
// where events wait for a consumer that is busy, and another is not.
func (g *group) hasRoom() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.consumers) == 0 || g.quits() {
		return false
	}
	if len(g.buffer) >= g.batch() && !(g.settings.Strategy.pins() && slices.ContainsFunc(g.consumers, g.takes)) {
		return false
	}
	return min(int(g.settings.HistoryBuffer), readAheadMax)-len(g.buffer)-len(g.retry) >= g.batch()
}

// batch is how many events are read at once.
func (g *group) batch() int { return min(int(g.settings.ReadBatch), pageEvents) }

func (g *group) quits() bool {
	select {
	case <-g.quit:
		return true
	default:
		return false
	}
}

// dispatch hands out what can be: first what was sent before.
func (g *group) dispatch() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.retry = g.handOut(g.retry)
	if len(g.retry) == 0 || g.settings.Strategy.pins() {
		before := len(g.buffer)
		if g.buffer = g.handOut(g.buffer); len(g.buffer) < before {
			g.bytes = sizeOf(g.buffer)
		}
	}
}

// handOut gives messages to consumers and returns those that nobody has room for.
func (g *group) handOut(messages []*message) (left []*message) {
	if len(g.consumers) == 0 {
		return messages
	}
	for i, m := range messages {
		c := g.choose(m)
		if c != nil {
			g.measured.count()
			c.give(m, g.settings.timeout())
			continue
		}
		if !g.settings.Strategy.pins() {
			return append(left, messages[i:]...)
		}
		left = append(left, m)
	}
	return left
}

// expire takes back what consumers have held for too long, and the bytes of what
// they take too long to receive.
func (g *group) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for _, c := range g.consumers {
		for _, m := range c.overdue(now) {
			g.again(m)
		}
		c.bytes = g.trim(c.outbox, c.bytes)
	}
	g.bytes = g.trim(g.buffer, g.bytes)
}

// trim lets go of what is beyond a reader's share, which is less when more came.
func (g *group) trim(messages []*message, held int) int {
	share := g.service.readers.share()
	if held <= share {
		return held
	}
	held = 0
	for _, m := range messages {
		if held+m.size() > share {
			g.letGo(m)
		}
		held += m.size()
	}
	return held
}

// again sends a message once more, or parks it when that was tried often enough.
func (g *group) again(m *message) {
	if m.retries >= g.settings.RetryMax {
		g.park(m, retriesSpent)
		return
	}
	g.requeue(m)
}

// requeue puts a message among those to be sent again, in their order: replayed
// ones have none in the stream and go behind.
func (g *group) requeue(m *message) {
	m.retries++
	m.due = time.Time{}
	g.letGo(m)
	place := len(g.retry)
	if m.parked < 0 {
		place, _ = slices.BinarySearchFunc(g.retry, m, func(a, b *message) int {
			if a.parked >= 0 || a.at > b.at {
				return 1
			}
			return -1
		})
	}
	g.retry = slices.Insert(g.retry, place, m)
}

func (g *group) park(m *message, reason string) {
	m.reason = reason
	g.parking = append(g.parking, m)
}

// acknowledge settles what a consumer is done with. Unknown IDs are passed over.
func (g *group) acknowledge(c *consumer, ids []uuid.UUID) {
	g.mu.Lock()
	for _, id := range ids {
		if m := c.take(id); m != nil {
			g.settle(m)
		}
	}
	g.mu.Unlock()
	g.nudge()
}

// refuse does with what a consumer could not cope with as it asks.
func (g *group) refuse(c *consumer, ids []uuid.UUID, do nackAction, reason string) {
	g.mu.Lock()
	for _, id := range ids {
		m := c.take(id)
		switch {
		case m == nil:
		case do == nackPark:
			g.park(m, reason)
		case do == nackRetry, do == nackUnknown:
			g.again(m)
		default: // skipped; the original does nothing but release it to stop, either
			g.settle(m)
		}
	}
	g.mu.Unlock()
	g.nudge()
}

// settle forgets a message. A replayed one is parked no more.
func (g *group) settle(m *message) {
	if m.parked >= 0 {
		g.replaying.settle(m.parked)
	}
}

// dropAll sends every consumer away; they may come again.
func (g *group) dropAll() {
	for _, c := range g.consumers {
		c.drop()
	}
}
