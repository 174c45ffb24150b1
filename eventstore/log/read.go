package log

import (
	"context"
	"errors"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
)

// Record is a stored event, checked against its checksum.
type Record struct {
	Position uint64
	Stream   string
	Revision int64
	ID       uuid.UUID
	Type     string
	Created  time.Time
	Event    []byte // serialized RecordedEvent, with the ID structured; the caller's to keep
}

// Decode unpacks the serialized event.
func (r Record) Decode() (*streams.ReadResp_ReadEvent_RecordedEvent, error) {
	event := &streams.ReadResp_ReadEvent_RecordedEvent{}
	return event, proto.Unmarshal(r.Event, event)
}

// Direction is the way a read goes.
type Direction int

// Directions of a read.
const (
	Forwards Direction = iota
	Backwards
)

// StreamState is what the log knows of a stream without reading it.
type StreamState struct {
	Exists     bool  // it has events and is not deleted
	Head       int64 // its last revision, deleted or not; -1 = never had an event
	Deleted    bool  // soft-deleted
	Tombstoned bool  // deleted for ever
	First      int64 // the first revision that $tb and $maxCount leave readable
}

// Stream tells the state of a stream.
func (l *Log) Stream(stream string) StreamState { return StreamState{Head: -1} }

// ReadStream reads up to maxEvents of a stream from a revision, inclusive both
// ways; math.MaxInt64 backwards means from the end. What $tb, $maxCount and
// $maxAge hide is left out. A stream that is missing or soft-deleted reads as
// empty (ask Stream); a tombstoned one gives ErrStreamDeleted.
func (l *Log) ReadStream(ctx context.Context, stream string, from int64, dir Direction, maxEvents int) ([]Record, error) {
	return nil, errors.ErrUnsupported
}

// ReadAll reads the whole log: forwards from the first record at or after from,
// backwards from the last one before it (math.MaxUint64 = the end). It returns
// at most maxEvents and stops once maxBytes are reached, but gives at least one
// event where there is one.
func (l *Log) ReadAll(ctx context.Context, from uint64, dir Direction, maxEvents, maxBytes int) ([]Record, error) {
	return nil, errors.ErrUnsupported
}

// Head is the position of the last durable event, 0 in an empty log.
func (l *Log) Head() uint64 { return 0 }

// Changed returns a channel that is closed when the log next grows. Take it
// before reading: what is published between the two is never missed.
func (l *Log) Changed() <-chan struct{} { return nil }
