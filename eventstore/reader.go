package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

// EndRevision is where a backwards read of a stream begins at its last event.
const EndRevision = Revision(math.MaxUint64)

// EndPosition is the place after every event, where a backwards read of all
// streams begins.
var EndPosition = Position{Commit: math.MaxUint64, Prepare: math.MaxUint64}

// The stream that names the log, and its event.
const (
	logStream = "log"
	logNamed  = "log-named"
)

// pageMax is how many events an iterator reads at once.
const pageMax = 512

// Reader reads from an event store and cannot write to it. It belongs to a
// Client and ends with it.
type Reader struct{ conn *connection }

// ReadStream reads at most limit events of a stream, from a revision on, which is
// included. EndRevision backwards is the last event; math.MaxUint64 events are
// the whole stream. A stream that holds nothing is ErrStreamNotFound.
func (r Reader) ReadStream(ctx context.Context, stream string, from Revision, dir Direction, limit uint64) ([]Recorded, error) {
	options := esdb.ReadStreamOptions{Direction: dir.wire(), From: esdb.Revision(from)}
	if from == EndRevision {
		options.From = esdb.End{}
	}
	events, err := r.read(ctx, limit, func(ctx context.Context) (*esdb.ReadStream, error) {
		return r.conn.inner.ReadStream(ctx, stream, options, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", stream, err)
	}
	return events, nil
}

// ReadAll reads at most limit events of all streams, those of the store itself
// ($...) too. Forwards begins with the event at from, backwards with the one
// before it; the zero Position forwards is the first event, EndPosition
// backwards the last.
func (r Reader) ReadAll(ctx context.Context, from Position, dir Direction, limit uint64) ([]Recorded, error) {
	options := esdb.ReadAllOptions{Direction: dir.wire(), From: esdb.Position{Commit: from.Commit, Prepare: from.Prepare}}
	switch from {
	case Position{}:
		options.From = esdb.Start{}
	case EndPosition:
		options.From = esdb.End{}
	}
	events, err := r.read(ctx, limit, func(ctx context.Context) (*esdb.ReadStream, error) {
		return r.conn.inner.ReadAll(ctx, options, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("read all streams: %w", err)
	}
	return events, nil
}

func (r Reader) read(ctx context.Context, limit uint64, open func(context.Context) (*esdb.ReadStream, error)) ([]Recorded, error) {
	if limit == 0 {
		return nil, nil
	}
	return call(ctx, r.conn, func(ctx context.Context) ([]Recorded, error) {
		stream, err := open(ctx)
		if err != nil {
			return nil, err
		}
		defer stream.Close()
		var events []Recorded
		for {
			event, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return events, nil
			}
			if err != nil {
				return nil, err
			}
			events = append(events, recorded(event))
		}
	})
}

// Stream reads a stream forwards from a revision on, however long it is, a page
// at a time. It ends after the first error.
func (r Reader) Stream(ctx context.Context, stream string, from Revision) iter.Seq2[Recorded, error] {
	return pages(func() ([]Recorded, error) {
		page, err := r.ReadStream(ctx, stream, from, Forwards, pageMax)
		if n := len(page); n > 0 {
			from = page[n-1].Revision + 1
		}
		return page, err
	})
}

// All reads all streams forwards after a position, a page at a time. It ends
// after the first error.
func (r Reader) All(ctx context.Context, after Position) iter.Seq2[Recorded, error] {
	return pages(func() ([]Recorded, error) {
		page, err := r.ReadAll(ctx, after, Forwards, pageMax+1) // the event at after comes again
		if len(page) > 0 && !after.Less(page[0].Position) {
			page = page[1:]
		}
		if n := len(page); n > 0 {
			after = page[n-1].Position
		}
		return page, err
	})
}

// pages goes through the pages that next reads; a short one is the last.
func pages(next func() ([]Recorded, error)) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		for {
			page, err := next()
			if err != nil {
				yield(Recorded{}, err)
				return
			}
			for _, event := range page {
				if !yield(event, nil) {
					return
				}
			}
			if len(page) < pageMax {
				return
			}
		}
	}
}

// Head is the position of the last event in the log, zero if there is none.
func (r Reader) Head(ctx context.Context) (Position, error) {
	last, err := r.ReadAll(ctx, EndPosition, Backwards, 1)
	if err != nil || len(last) == 0 {
		return Position{}, err
	}
	return last[0].Position, nil
}

// LogID is the name of the log, without which positions mean nothing: the last
// one given counts. A log without a name is ErrStreamNotFound.
func (r Reader) LogID(ctx context.Context) (uuid.UUID, error) {
	for from := EndRevision; ; {
		events, err := r.ReadStream(ctx, logStream, from, Backwards, 1)
		if err != nil {
			return uuid.Nil, err
		}
		if len(events) == 0 {
			return uuid.Nil, fmt.Errorf("read the name of the log: %w", ErrStreamNotFound)
		}
		if event := events[0]; event.NamesLog() {
			var named struct {
				LogID uuid.UUID `json:"log_id"`
			}
			if err := json.Unmarshal(event.Data, &named); err != nil {
				return uuid.Nil, fmt.Errorf("read the name of the log: %w", err)
			}
			return named.LogID, nil
		}
		if events[0].Revision == 0 {
			return uuid.Nil, fmt.Errorf("read the name of the log: %w", ErrStreamNotFound)
		}
		from = events[0].Revision - 1
	}
}

func (d Direction) wire() esdb.Direction {
	if d == Backwards {
		return esdb.Backwards
	}
	return esdb.Forwards
}

// recorded is the event as it stands in its stream: links are not resolved.
func recorded(resolved *esdb.ResolvedEvent) Recorded {
	event := resolved.OriginalEvent()
	return Recorded{
		ID:          event.EventID,
		Stream:      event.StreamID,
		Revision:    event.EventNumber,
		Position:    Position{Commit: event.Position.Commit, Prepare: event.Position.Prepare},
		Type:        event.EventType,
		ContentType: event.ContentType,
		Data:        event.Data,
		Metadata:    event.UserMetadata,
		Created:     event.CreatedDate,
	}
}

// System reports whether the stream is the store's own, which holds nothing of ours.
func (r Recorded) System() bool { return strings.HasPrefix(r.Stream, "$") }

// NamesLog reports whether an event gives its log a name.
func (r Recorded) NamesLog() bool { return r.Stream == logStream && r.Type == logNamed }
