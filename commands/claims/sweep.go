package claims

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"

	"daybook.example/domain"
	"daybook.example/domain/claim"
	"daybook.example/eventstore"
)

const pageMax = 1000 // events of one read of the whole log

// sweep is how far the janitor has read and which claims were pending there.
type sweep struct {
	mu      sync.Mutex
	from    eventstore.Position
	pending map[string]bool // by stream
}

// Sweep is the janitor: it settles the claims that a crash left behind, those with
// a stored fact by confirming them, expired ones without by releasing them. It
// returns how many. The first sweep reads the whole log, later ones what is new.
func (c *Claims) Sweep(ctx context.Context) (settled int, err error) {
	c.sweep.mu.Lock()
	defer c.sweep.mu.Unlock()
	if err := c.gather(ctx); err != nil {
		return 0, err
	}
	for stream := range maps.Clone(c.sweep.pending) {
		s, err := c.lookAt(ctx, stream)
		if err != nil {
			return settled, err
		}
		if s.Free() || s.Confirmed {
			delete(c.sweep.pending, stream)
			continue
		}
		if s.Expires.After(c.Clock()) {
			continue // its command may be under way
		}
		if err := c.settle(ctx, s); err != nil && !errors.Is(err, eventstore.ErrWrongExpectedRevision) {
			return settled, err
		}
		delete(c.sweep.pending, stream)
		settled++
	}
	return settled, ctx.Err()
}

// gather notes what was taken since the last sweep.
func (c *Claims) gather(ctx context.Context) error {
	if c.sweep.pending == nil {
		c.sweep.pending = map[string]bool{}
	}
	for ctx.Err() == nil {
		events, err := c.Store.ReadAll(ctx, c.sweep.from, eventstore.Forwards, pageMax)
		if err != nil {
			return err
		}
		for _, event := range events {
			c.sweep.note(event)
		}
		// a read begins with the event at its position: that alone is nothing new
		if len(events) == 0 || events[len(events)-1].Position == c.sweep.from {
			return nil
		}
		c.sweep.from = events[len(events)-1].Position
	}
	return ctx.Err()
}

// note keeps the claims whose last event is that they were taken.
func (s *sweep) note(event eventstore.Recorded) {
	switch {
	case !strings.HasPrefix(event.Stream, claim.Category+"-"):
	case event.Type == (claim.Taken{}).EventType():
		s.pending[event.Stream] = true
	default:
		delete(s.pending, event.Stream)
	}
}

// settle decides an unconfirmed claim by its owner's stream: with the fact in it
// the claim is confirmed, without it an expired claim is released. A claim that
// may yet get its fact stays, and errPending says so.
func (c *Claims) settle(ctx context.Context, s standing) error {
	stored, err := c.stored(ctx, s.by)
	switch {
	case err != nil:
		return err
	case stored:
		return c.append(s, c.janitor(s), claim.Confirm{Owner: s.by.owner})
	case s.Expires.After(c.Clock()):
		return errPending
	}
	return c.append(s, c.janitor(s), claim.Release{Owner: s.by.owner, Reason: "expired"})
}

var errPending = errors.New("the claim is not settled yet")

// stored reports whether the owner's stream holds an event of the request.
func (c *Claims) stored(ctx context.Context, by party) (bool, error) {
	events, err := c.read(ctx, by.owner, 0)
	if err != nil {
		return false, err
	}
	for _, event := range events {
		var m domain.Metadata
		if err := domain.Unmarshal(event.Metadata, &m); err != nil {
			continue // a foreign event is no fact of ours
		}
		if m.CommandID == by.command && m.RequestMAC == by.mac {
			return true, nil
		}
	}
	return false, nil
}

// janitor is the metadata of what is settled without a command of a principal.
func (c *Claims) janitor(s standing) domain.Metadata {
	return domain.Metadata{
		CommandID:       domain.Derive("claim-settled", s.taken.String()),
		CorrelationID:   s.cause.CorrelationID,
		CausationID:     s.taken,
		Actor:           domain.Actor{ID: "claims", Kind: domain.Process},
		RecordedAt:      c.recordedAt(s),
		SoftwareVersion: c.SoftwareVersion,
		PolicyVersion:   c.PolicyVersion,
	}
}
