package subscription

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"daybook.example/eventstore"
)

// groupCheckpoint is the type of all events in the stream of a group.
const groupCheckpoint = "consumergroup-checkpoint"

const (
	groupMetadata  = `{"$maxCount":1}` // only the last one counts
	appendPatience = 5 * time.Second   // for one try of an append to the group's stream
	leavePatience  = 5 * time.Second   // for the last checkpoint at the end
	silences       = 3                 // times TakeOver without a sign of life before a member asks for one
	longTime       = time.Hour
)

// groupStream keeps the checkpoint of a group on a stream.
func groupStream(group, stream string) string { return "consumergroup-" + group + "::" + stream }

// A seat is what every event in a group's stream says: which member is served,
// how far the group has come, and who asks whether that member still lives.
type seat struct {
	Owner uuid.UUID `json:"owner"` // zero = nobody
	Place
	AskedBy *uuid.UUID `json:"asked_by,omitempty"`
}

// A member of a group is served when it has the seat and waits for it otherwise.
//
// All writes to the group's stream expect its last known revision, so of two
// members who take the seat at once one is refused, and so is a checkpoint of one
// who lost the seat without knowing. No clocks are compared: who waits asks, and
// if no answer comes, takes the seat. Where nobody waits, nothing is written
// while nothing is read.
type member struct {
	config EventConfig
	source string // the stream that is read
	stream string // the group's
	from   Place
	id     uuid.UUID
	out    chan<- *message.Message
	life   context.Context // of the subscription

	seat     seat
	revision eventstore.Revision // of the last event known in the group's stream
	exists   bool                // there is one
	heard    bool                // the owner gave a sign of life since this member looks on
	due      time.Time           // when a member that waits has to do something
	tried    bool                // it may have the seat
	written  time.Time           // the last checkpoint

	service *service // nil when not served
	acks    acks
}

// A service is the follower of the member that is served.
type service struct {
	end  context.CancelFunc
	done chan struct{}
}

// acks is the last place acknowledged; changed holds a token when there is news.
type acks struct {
	mu      sync.Mutex
	place   Place
	changed chan struct{}
}

func (a *acks) set(p Place) {
	a.mu.Lock()
	a.place = p
	a.mu.Unlock()
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

func (a *acks) get() Place {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.place
}

func newMember(c EventConfig, source string, from Place, out chan<- *message.Message) *member {
	return &member{
		config: c, source: source, stream: groupStream(c.Group, source), from: from, id: newID(), out: out,
		acks: acks{changed: make(chan struct{}, 1)},
	}
}

// run takes part in the group until ctx ends, or the stream that is read does.
func (m *member) run(ctx context.Context) {
	m.life = ctx
	for attempt := 0; ; attempt++ {
		known := m.revision
		err := m.attend(ctx)
		if ctx.Err() != nil || errors.Is(err, eventstore.ErrStreamDeleted) {
			break
		}
		if m.revision != known {
			attempt = 0
		}
		if !again(ctx, m.config.Logger, attempt, err, "group", m.config.Group, "stream", m.source) {
			break
		}
	}
	m.leave(ctx)
}

// attend watches the group's stream and does its part until an error. It goes on
// being served meanwhile.
func (m *member) attend(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	m.heard = false
	if err := m.look(ctx); err != nil {
		return err
	}
	news, lost, err := m.watch(ctx, &watching)
	if err != nil {
		return err
	}
	timer := time.NewTimer(longTime)
	defer timer.Stop()
	for {
		wait, err := m.act(ctx)
		if err != nil {
			return err
		}
		timer.Reset(wait)
		select {
		case event := <-news:
			if err := m.note(event); err != nil {
				return err
			}
		case err := <-lost:
			return err
		case <-m.acks.changed:
		case <-timer.C:
		case <-m.served():
			return fmt.Errorf("%w: %s", eventstore.ErrStreamDeleted, m.source)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look reads what the group's stream says last.
func (m *member) look(ctx context.Context) error {
	events, err := m.config.Client.ReadStream(ctx, m.stream, eventstore.EndRevision, eventstore.Backwards, 1)
	switch {
	case errors.Is(err, eventstore.ErrStreamNotFound) || err == nil && len(events) == 0:
		m.exists, m.seat = false, seat{Place: m.from}
		return nil
	case err != nil:
		return err
	}
	return m.note(&events[0])
}

// note takes in an event of the group's stream, unless it is known.
func (m *member) note(event *eventstore.Recorded) error {
	if m.exists && event.Revision <= m.revision {
		return nil
	}
	var says seat
	if err := json.Unmarshal(event.Data, &says); err != nil {
		return fmt.Errorf("checkpoint %d of %s: %w", event.Revision, m.stream, err)
	}
	m.heard = m.heard || m.exists && says.AskedBy == nil
	m.know(event.Revision, says)
	return nil
}

func (m *member) know(revision eventstore.Revision, says seat) {
	m.exists, m.revision, m.seat = true, revision, says
	switch {
	case says.AskedBy != nil:
		m.due = time.Now().Add(m.config.TakeOver)
	case m.heard:
		m.due = time.Now().Add(silences * m.config.TakeOver)
	default:
		m.due = time.Now() // nothing is known of the owner: ask
	}
}

func (m *member) watch(ctx context.Context, watching *sync.WaitGroup) (<-chan *eventstore.Recorded, <-chan error, error) {
	var after *eventstore.Revision
	if m.exists {
		after = &m.revision
	}
	subscription, err := m.config.Client.SubscribeStream(ctx, m.stream, after)
	if err != nil {
		return nil, nil, err
	}
	news, lost := make(chan *eventstore.Recorded), make(chan error, 1)
	watching.Go(func() {
		defer subscription.Close()
		for {
			said, err := subscription.Recv(ctx)
			if err != nil {
				lost <- err
				return
			}
			if said.Event == nil {
				continue
			}
			select {
			case news <- said.Event:
			case <-ctx.Done():
				return
			}
		}
	})
	return news, lost, nil
}

// act does what is due and says when to ask again, unless something happens.
func (m *member) act(ctx context.Context) (time.Duration, error) {
	if m.seat.Owner == m.id {
		return m.own(ctx)
	}
	m.stop() // somebody took the seat
	wait := time.Until(m.due)
	switch {
	case m.seat.Owner == uuid.Nil, wait <= 0 && m.seat.AskedBy != nil:
		return 0, m.claim(ctx)
	case wait <= 0:
		return 0, m.put(ctx, seat{Owner: m.seat.Owner, Place: m.seat.Place, AskedBy: &m.id})
	}
	return wait, nil
}

// claim takes the seat.
func (m *member) claim(ctx context.Context) error {
	if !m.exists {
		_, err := m.append(ctx, "$$"+m.stream, eventstore.NoStream, eventstore.Proposed{ID: newID(), Type: "$metadata", Data: []byte(groupMetadata)})
		if err != nil && !errors.Is(err, eventstore.ErrWrongExpectedRevision) {
			return err
		}
	}
	m.tried = true
	return m.put(ctx, seat{Owner: m.id, Place: m.seat.Place})
}

// own is the part of the member that has the seat: it is served, answers those
// who ask and keeps the checkpoint.
func (m *member) own(ctx context.Context) (time.Duration, error) {
	if m.service == nil {
		m.serve()
	}
	place, asked := m.acks.get(), m.seat.AskedBy != nil
	if place == m.seat.Place && !asked {
		return longTime, nil
	}
	if wait := time.Until(m.written.Add(m.config.CheckpointEvery)); wait > 0 && !asked {
		return wait, nil
	}
	return 0, m.put(ctx, seat{Owner: m.id, Place: place})
}

// serve begins to deliver at the group's checkpoint. The watch may be lost and
// found again meanwhile.
func (m *member) serve() {
	m.config.Logger.Info("served as a member of the group", "group", m.config.Group, "stream", m.source)
	m.acks.set(m.seat.Place)
	ctx, cancel := context.WithCancel(m.life)
	m.service = &service{end: cancel, done: make(chan struct{})}
	f := &follower{config: m.config, stream: m.source, place: m.seat.Place, out: m.out, passed: m.acks.set}
	go func(done chan<- struct{}) {
		defer close(done)
		defer cancel()
		f.run(ctx)
	}(m.service.done)
}

// served is closed when the follower has ended by itself.
func (m *member) served() <-chan struct{} {
	if m.service == nil {
		return nil
	}
	return m.service.done
}

// stop ends the service: no message of it is out any more.
func (m *member) stop() {
	if m.service == nil {
		return
	}
	m.service.end()
	<-m.service.done
	m.service = nil
}

// put writes to the group's stream. After a conflict it only looks who was first.
func (m *member) put(ctx context.Context, says seat) error {
	data, err := json.Marshal(says)
	if err != nil {
		return err
	}
	expected := eventstore.NoStream
	if m.exists {
		expected = eventstore.Exactly(m.revision)
	}
	written, err := m.append(ctx, m.stream, expected, eventstore.Proposed{ID: newID(), Type: groupCheckpoint, Data: data})
	if errors.Is(err, eventstore.ErrWrongExpectedRevision) {
		return m.look(ctx)
	}
	if err != nil {
		return fmt.Errorf("checkpoint of group %s: %w", m.config.Group, err)
	}
	m.know(written.Revision, says)
	m.written = time.Now()
	return nil
}

// append stores an event and, as long as it is not known whether it is stored,
// sends it again. The end of ctx does not cut it off in the middle: a claim that
// came through afterwards would be nobody's.
func (m *member) append(ctx context.Context, stream string, expected eventstore.ExpectedRevision, event eventstore.Proposed) (eventstore.Written, error) {
	for attempt := 0; ; attempt++ {
		one, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendPatience)
		written, err := m.config.Client.Append(one, stream, expected, []eventstore.Proposed{event})
		cancel()
		if err == nil || eventstore.Definite(err) || !sleep(ctx, doubling(backoffMin, backoffMax, attempt)) {
			return written, err
		}
	}
}

// leave stores the last checkpoint and gives up the seat, if it is this member's.
func (m *member) leave(ctx context.Context) {
	place, serving := m.seat.Place, m.service != nil
	m.stop()
	if serving {
		place = m.acks.get()
	}
	if !m.tried {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavePatience)
	defer cancel()
	err := m.look(ctx)
	for err == nil && m.seat.Owner == m.id {
		if !serving {
			place = m.seat.Place
		}
		err = m.put(ctx, seat{Place: place})
	}
	if err != nil {
		m.config.Logger.Warn("the last checkpoint of the group may not be stored: others wait before they go on, and some messages come again",
			"group", m.config.Group, "stream", m.source, "error", err)
	}
}
