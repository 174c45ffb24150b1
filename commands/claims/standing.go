package claims

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/claim"
	"daybook.example/eventstore"
)

// standing is a claim's state and who took it last.
type standing struct {
	claim.State
	stream string
	next   uint64 // the revision after the last one
	by     party
	cause  domain.Metadata // of the last claim-taken
	taken  uuid.UUID       // its event ID
}

// A party is one request of an owner. The MAC is part of it: under a reused key
// another body must not rely on the first one's claims.
type party struct {
	owner   string
	command uuid.UUID
	mac     string
}

func (s standing) expected() eventstore.ExpectedRevision {
	if s.next == 0 {
		return eventstore.NoStream
	}
	return eventstore.Exactly(s.next - 1)
}

func (c *Claims) look(ctx context.Context, need domain.Claim) (standing, error) {
	return c.lookAt(ctx, c.stream(need))
}

func (c *Claims) lookAt(ctx context.Context, stream string) (standing, error) {
	s := standing{stream: stream}
	events, err := c.read(ctx, stream, 0)
	if err != nil {
		return s, err
	}
	for _, event := range events {
		if err := s.fold(event); err != nil {
			return s, fmt.Errorf("revision %d of a claim: %w", event.Revision, err)
		}
	}
	return s, nil
}

func (s *standing) fold(event eventstore.Recorded) error {
	var cause domain.Metadata
	if err := domain.Unmarshal(event.Metadata, &cause); err != nil {
		return err
	}
	decoded, err := claim.Catalog.Decode(event.Type, cause.SchemaVersion, event.Data)
	if err != nil {
		return err
	}
	recording := domain.Recording{ID: event.ID, Revision: event.Revision, RecordedAt: cause.RecordedAt}
	s.State = claim.Decider.Evolve(s.State, domain.Recorded[claim.Event]{Recording: recording, Event: decoded})
	s.next = event.Revision + 1
	switch e := decoded.(type) {
	case claim.Taken:
		s.by, s.cause, s.taken = party{e.Owner, e.CommandID, cause.RequestMAC}, cause, event.ID
	case claim.Released:
		s.by = party{}
	}
	return nil
}

// recordedAt is the clock's time, but not before the claim was taken.
func (c *Claims) recordedAt(s standing) time.Time {
	now := c.Clock().UTC().Truncate(time.Microsecond)
	if now.Before(s.cause.RecordedAt) {
		return s.cause.RecordedAt
	}
	return now
}

// propose encodes the event. Its ID holds the revision, for one command may take
// a value, lose it and take it again.
func propose(s standing, cause domain.Metadata, event claim.Event) ([]eventstore.Proposed, error) {
	cause.EffectiveAt, cause.ReasonCode, cause.SubjectIDs = "", "", nil
	cause.SchemaVersion = domain.SchemaVersion(event)
	data, err := domain.Encode(event)
	if err != nil {
		return nil, err
	}
	metadata, err := domain.Marshal(cause)
	if err != nil {
		return nil, err
	}
	id := domain.EventID(cause.CommandID, cause.RequestMAC, s.stream, int(s.next))
	return []eventstore.Proposed{{ID: id, Type: event.EventType(), Data: data, Metadata: metadata}}, nil
}
