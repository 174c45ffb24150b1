package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"daybook.example/eventstore/seal"
)

// Options say which event store to talk to.
type Options struct {
	URL    string       // esdb://...; empty = Socket
	Socket string       // path of the embedded node's unix socket
	Logger *slog.Logger // slog.Default by default
}

// Client writes to an event store and reads from it: the embedded node, or any
// EventStoreDB or KurrentDB. Its methods may be called from any goroutine and
// never wait longer than their context.
type Client struct{ Reader }

// Connect makes a client. It dials at the first call and again whenever the
// connection is lost, for as long as the client is open; so its errors are about
// the options only.
func Connect(o Options) (*Client, error) {
	config, err := configure(o)
	if err != nil {
		return nil, err
	}
	conn, err := dial(config)
	if err != nil {
		return nil, fmt.Errorf("event store address (DAYBOOK_EVENTSTORE): %w", err)
	}
	return &Client{Reader{conn}}, nil
}

// ReadOnly is the client without its writing half.
func (c *Client) ReadOnly() Reader { return c.Reader }

// Close ends the subscriptions, waits for the calls under way and closes the
// connection. When ctx ends first, calls that hang on a node which is away are
// left behind.
func (c *Client) Close(ctx context.Context) error { return c.conn.close(ctx) }

// Append stores events at the end of a stream, all or none, and says where the
// last one stands. An append that is repeated with the same event IDs is
// answered as the first time.
//
// Unless Definite(err), the events may have been stored: send the same bytes
// again to find out. They must not be changed afterwards, for a call that was
// given up may still be sending them.
func (c *Client) Append(ctx context.Context, stream string, expected ExpectedRevision, events []Proposed) (Written, error) {
	options, proposals, err := proposal(stream, expected, events)
	if err != nil {
		return Written{}, fmt.Errorf("append to %s: %w", stream, err)
	}
	return c.send(ctx, stream, options, proposals)
}

func (c *Client) send(ctx context.Context, stream string, options esdb.AppendToStreamOptions, proposals []esdb.EventData) (Written, error) {
	written, err := call(ctx, c.conn, func(ctx context.Context) (*esdb.WriteResult, error) {
		if _, err := c.conn.inner.GetServerVersion(); err != nil { // waits for a node, asks it nothing
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err // nothing was sent, and nothing will be
		}
		// What has begun goes on to its own deadline: when the context of an append
		// ends, the client reads the trailers that gRPC is about to write.
		return c.conn.inner.AppendToStream(context.WithoutCancel(ctx), stream, options, proposals...)
	})
	if err != nil {
		return Written{}, fmt.Errorf("append to %s: %w", stream, err)
	}
	return Written{
		Revision: written.NextExpectedVersion, // the client's name for the revision of the last event
		Position: Position{Commit: written.CommitPosition, Prepare: written.PreparePosition},
	}, nil
}

// proposal checks what the client would silently make something else of (no
// expectation means any, no event ID means a random one), and that nothing
// personal is stored in clear.
func proposal(stream string, expected ExpectedRevision, events []Proposed) (esdb.AppendToStreamOptions, []esdb.EventData, error) {
	revision := expected.wire()
	switch {
	case stream == "":
		return esdb.AppendToStreamOptions{}, nil, fmt.Errorf("%w: no stream", ErrInvalid)
	case revision == nil:
		return esdb.AppendToStreamOptions{}, nil, fmt.Errorf("%w: no expected revision", ErrInvalid)
	case len(events) == 0:
		return esdb.AppendToStreamOptions{}, nil, fmt.Errorf("%w: no events", ErrInvalid)
	}
	proposals := make([]esdb.EventData, len(events))
	for i, e := range events {
		switch {
		case e.ID == uuid.Nil || e.Type == "":
			return esdb.AppendToStreamOptions{}, nil, fmt.Errorf("%w: event %d has no ID or no type", ErrInvalid, i)
		case seal.Marked(e.Data) || seal.Marked(e.Metadata):
			return esdb.AppendToStreamOptions{}, nil, fmt.Errorf("%w: event %d (%s) was not sealed", ErrMarker, i, e.Type)
		}
		proposals[i] = esdb.EventData{
			EventID: e.ID, EventType: e.Type, ContentType: e.contentType(), Data: e.Data, Metadata: e.Metadata,
		}
	}
	return esdb.AppendToStreamOptions{ExpectedRevision: revision}, proposals, nil
}

func (e Proposed) contentType() esdb.ContentType {
	if e.ContentType == "" || e.ContentType == "application/json" {
		return esdb.ContentTypeJson
	}
	return esdb.ContentTypeBinary
}

// wire is the expectation in the client's words, nil if it is unset.
func (e ExpectedRevision) wire() esdb.ExpectedRevision {
	switch e.kind {
	case noStream:
		return esdb.NoStream{}
	case streamExists:
		return esdb.StreamExists{}
	case anyRevision:
		return esdb.Any{}
	case exactly:
		return esdb.Revision(e.revision)
	}
	return nil
}

// NameLog names the log at its first start by an event of type log-named, and
// returns the name in effect: that of the event, unless the log had one.
func (c *Client) NameLog(ctx context.Context, named Proposed) (uuid.UUID, error) {
	_, err := c.Append(ctx, logStream, NoStream, []Proposed{named})
	if err != nil && !errors.Is(err, ErrWrongExpectedRevision) {
		return uuid.Nil, err
	}
	return c.LogID(ctx)
}
