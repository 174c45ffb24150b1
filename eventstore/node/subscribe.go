package node

import (
	"context"
	"errors"
	"math"

	"github.com/google/uuid"
	"google.golang.org/grpc/status"

	"daybook.example/eventstore/log"
)

const (
	metadataType  = "$metadata"
	tombstoneType = "$streamDeleted"
	fallsBehindAt = 1024 // events that a live subscription may be late by before it is told
)

// A subscription follows the log at its own pace: it holds one page at most and
// nobody waits for it. There is no seam between old events and new ones, since
// both are read from the same place in the same way.
type subscription struct {
	service *service
	query   query
	send    sender
	source  source
	live    bool   // it has been told that it caught up
	late    int    // events read since it last stood at the end
	seen    uint64 // the log's head when it last began to read what it then had whole
	marks   checkpoints
}

func (s *service) subscribe(q query, send sender) error {
	ctx := send.Context()
	sub := subscription{service: s, query: q, send: send, seen: s.log.Head()}
	if q.stream == allStreams {
		from := sub.firstPosition()
		sub.source = s.allSource(from, log.Forwards)
		sub.marks = checkpoints{interval: q.interval, passed: max(from, 1) - 1}
	} else {
		state := s.log.Stream(q.stream)
		if state.Tombstoned {
			return streamDeleted(ctx, q.stream)
		}
		sub.source = s.streamSource(q.stream, sub.firstRevision(state), log.Forwards)
	}
	if err := send.confirmation(uuid.NewString()); err != nil {
		return err
	}
	return sub.follow(ctx)
}

// firstPosition stands behind the position asked for, so that a client goes on
// where it stopped.
func (s *subscription) firstPosition() uint64 {
	switch {
	case s.query.fromStart:
		return 0
	case s.query.from == end:
		return s.seen + 1
	}
	return s.query.from + 1
}

func (s *subscription) firstRevision(state log.StreamState) int64 {
	switch {
	case s.query.fromStart:
		return 0
	case s.query.from == end:
		return state.Head + 1
	}
	return int64(min(s.query.from, math.MaxInt64-1)) + 1
}

func (s *subscription) follow(ctx context.Context) error {
	for {
		changed := s.service.log.Changed() // taken before the read: nothing is missed between the two
		head := s.service.log.Head()
		records, more, err := s.source.page(ctx, pageEvents)
		if err != nil {
			return s.lost(ctx, err)
		}
		given, whole, err := s.service.give(s.source, records, s.deliver)
		if err != nil {
			return err
		}
		if more = more || !whole; !more {
			s.seen = head
		}
		if err := s.progress(given, more); err != nil {
			return err
		}
		if err := s.await(ctx, changed, more); err != nil {
			return err
		}
	}
}

// await returns when there is something to read, to one who may.
func (s *subscription) await(ctx context.Context, changed <-chan struct{}, more bool) error {
	if !more {
		select {
		case <-changed:
		case <-s.service.closing:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	if s.service.closes() {
		return shuttingDown(ctx)
	}
	return s.service.may(ctx, reading, s.query.stream) // the right may have been lost meanwhile
}

func (s *subscription) deliver(r log.Record) error {
	if s.query.shows(r) {
		if err := s.send.event(r); err != nil {
			return err
		}
	}
	if s.marks.pass(r.Position) {
		return s.checkpoint()
	}
	return nil
}

// progress tells the client when it reaches the log's end and when it loses it.
func (s *subscription) progress(read int, more bool) error {
	if !more {
		s.late = 0
		return s.catchUp()
	}
	if s.late += read; s.live && s.late > fallsBehindAt {
		s.live = false
		if err := s.checkpoint(); err != nil {
			return err
		}
		return s.send.fellBehind()
	}
	return nil
}

func (s *subscription) catchUp() error {
	if s.live {
		return nil
	}
	s.live = true
	if err := s.checkpoint(); err != nil {
		return err
	}
	return s.send.caughtUp()
}

func (s *subscription) checkpoint() error {
	at, ok := s.marks.next()
	if !ok {
		return nil
	}
	return s.send.checkpoint(at)
}

// lost ends a subscription. One that stood at the end of a stream which is
// deleted for ever still gets what came before, and the tombstone itself: the
// stream cannot be read any more, the log can.
func (s *subscription) lost(ctx context.Context, reason error) error {
	l, stream := s.service.log, s.query.stream
	followed, ok := s.source.(*streamSource)
	if !ok || !s.live || !errors.Is(reason, log.ErrStreamDeleted) {
		return s.service.failure(ctx, stream, reason)
	}
	rest := s.service.allSource(s.seen+1, log.Forwards)
	for s.seen < l.Head() {
		page, _, err := rest.page(ctx, pageEvents)
		if err != nil {
			return s.service.failure(ctx, stream, err)
		}
		for _, record := range page {
			if s.seen = record.Position; record.Stream != stream || record.Revision < followed.next {
				continue
			}
			if err := s.send.event(record); err != nil {
				return err
			}
			if record.Type == tombstoneType {
				return s.service.failure(ctx, stream, reason)
			}
		}
	}
	return s.service.failure(ctx, stream, reason)
}

// checkpoints count what a filtered subscription passes over, so that a client
// whose filter lets nothing through still knows how far it is.
type checkpoints struct {
	interval uint64 // 0: none are sent
	count    uint64 // events since the last one
	passed   uint64 // position of the last event considered
	sent     uint64 // position of the last checkpoint
}

// pass counts an event and tells whether a checkpoint is due.
func (c *checkpoints) pass(at uint64) bool {
	c.passed = at
	c.count++
	return c.count == c.interval
}

// next is the checkpoint to send now; none twice.
func (c *checkpoints) next() (at uint64, ok bool) {
	c.count = 0
	if c.interval == 0 || c.passed <= c.sent {
		return 0, false
	}
	c.sent = c.passed
	return c.sent, true
}
