package eventstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What only a copy of a log needs.

// The content types that a store keeps.
const (
	ContentJSON   = "application/json"
	ContentBinary = "application/octet-stream"
)

// AppendRecorded is Append for events that another store has recorded: they keep
// their IDs, types, content types, data and metadata. Whatever stands in them
// was stored before, so nobody looks for personal values here.
func (c *Client) AppendRecorded(ctx context.Context, stream string, expected ExpectedRevision, events []Recorded) (Written, error) {
	proposals := make([]esdb.EventData, len(events))
	for i, e := range events {
		proposals[i] = esdb.EventData{EventID: e.ID, EventType: e.Type, Data: e.Data, Metadata: e.Metadata}
		switch e.ContentType {
		case ContentJSON:
			proposals[i].ContentType = esdb.ContentTypeJson
		case ContentBinary:
			proposals[i].ContentType = esdb.ContentTypeBinary
		default:
			return Written{}, fmt.Errorf("append to %s: %w: event %d has the content type %.40q", stream, ErrInvalid, i, e.ContentType)
		}
	}
	revision := expected.wire()
	if revision == nil || len(events) == 0 {
		return Written{}, fmt.Errorf("append to %s: %w: no expected revision or no events", stream, ErrInvalid)
	}
	return c.send(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: revision}, proposals)
}

// Tombstone deletes a stream for ever: it can neither be read nor appended to
// again. A stream that is deleted already is ErrStreamDeleted.
func (c *Client) Tombstone(ctx context.Context, stream string, expected ExpectedRevision) (Position, error) {
	revision := expected.wire()
	if revision == nil {
		return Position{}, fmt.Errorf("delete %s for ever: %w: no expected revision", stream, ErrInvalid)
	}
	deleted, err := call(ctx, c.conn, func(ctx context.Context) (*esdb.DeleteResult, error) {
		return c.conn.inner.TombstoneStream(ctx, stream, esdb.TombstoneStreamOptions{ExpectedRevision: revision})
	})
	if status.Code(err) == codes.FailedPrecondition && !errors.Is(err, ErrStreamDeleted) {
		err = fmt.Errorf("%w: %w", ErrWrongExpectedRevision, err) // the client maps it for appends only
	}
	if err != nil {
		return Position{}, fmt.Errorf("delete %s for ever: %w", stream, err)
	}
	return Position{Commit: deleted.Position.Commit, Prepare: deleted.Position.Prepare}, nil
}

// RenameLog gives a copy of a log a name of its own, for positions of the
// original mean nothing on it. A log without a name stays without.
func (c *Client) RenameLog(ctx context.Context, named Proposed) error {
	last, err := c.ReadStream(ctx, logStream, EndRevision, Backwards, 1)
	if errors.Is(err, ErrStreamNotFound) {
		return nil
	}
	if err != nil || len(last) == 0 {
		return err
	}
	_, err = c.Append(ctx, logStream, Exactly(last[0].Revision), []Proposed{named})
	return err
}
