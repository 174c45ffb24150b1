package projtest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/eventstore"
	"daybook.example/projections"
)

// A Log makes events as the store would keep them: bytes, then decoded again.
type Log struct {
	Seal func(stream string, event uuid.UUID, data []byte) ([]byte, error) // nil: nothing is personal

	t         testing.TB
	events    []projections.Event
	revisions map[string]uint64
}

// NewLog makes an empty log.
func NewLog(t testing.TB) *Log { return &Log{t: t, revisions: map[string]uint64{}} }

// Append records events of one stream at a time and returns them. Their IDs
// depend on their place only, so that a failure can be repeated.
func (l *Log) Append(at time.Time, stream string, events ...domain.Named) []projections.Event {
	l.t.Helper()
	first := len(l.events)
	for _, event := range events {
		l.events = append(l.events, l.record(at, stream, event))
	}
	return l.events[first:]
}

// Events are all that were appended, in order.
func (l *Log) Events() []projections.Event { return l.events }

func (l *Log) record(at time.Time, stream string, event domain.Named) projections.Event {
	l.t.Helper()
	n := len(l.events)
	id := uuid.NewSHA1(LogID, []byte{byte(n >> 16), byte(n >> 8), byte(n)})
	data, err := domain.Encode(event)
	require.NoError(l.t, err)
	if l.Seal != nil {
		data, err = l.Seal(stream, id, data)
		require.NoError(l.t, err)
	}
	metadata, err := domain.Marshal(domain.Metadata{
		CommandID: id, CorrelationID: id, CausationID: id, Actor: domain.Actor{ID: "test", Kind: domain.Service},
		RecordedAt: at.UTC(), SchemaVersion: domain.SchemaVersion(event), SoftwareVersion: "test", PolicyVersion: "test",
	})
	require.NoError(l.t, err)
	place := uint64(n+1) * 1000
	recorded := eventstore.Recorded{
		ID: id, Stream: stream, Revision: l.revisions[stream], Position: eventstore.Position{Commit: place, Prepare: place},
		Type: event.EventType(), ContentType: "application/json", Data: data, Metadata: metadata, Created: at,
	}
	l.revisions[stream]++
	return projections.Decode(recorded)
}
