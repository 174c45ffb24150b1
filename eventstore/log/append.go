package log

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// What an append or a deletion may expect of its stream, instead of a revision.
const (
	Any          = int64(-2) // whatever is there
	NoStream     = int64(-1) // no event yet, or soft-deleted
	StreamExists = int64(-4) // at least one event or some metadata
)

// Errors that a caller decides by. After ErrStopped, and after a context that
// ended while an append was waiting, its result is unknown: the same append
// sent again to the reopened log finds out.
var (
	ErrStreamDeleted = errors.New("stream deleted")
	ErrClosed        = errors.New("log closed")
	ErrStopped       = errors.New("log stopped: a write or sync failed, restart the node to read back what is durable")
	ErrDiskFull      = errors.New("disk full: free some space, appends resume by themselves")
	ErrTooLarge      = errors.New("append too large")
	ErrInvalid       = errors.New("invalid append")
)

// WrongExpectedRevision says that a stream was not where an append expected it.
type WrongExpectedRevision struct { //nolint:errname // the event store's own word
	Stream   string
	Expected int64
	Current  int64 // -1 = no stream
}

func (e *WrongExpectedRevision) Error() string {
	return fmt.Sprintf("wrong expected revision: expected %d, current %d", e.Expected, e.Current)
}

// Proposed is an event as it is handed in.
type Proposed struct {
	ID       uuid.UUID
	Type     string
	JSON     bool // the content type: JSON or octets
	Data     []byte
	Metadata []byte
}

// Append is a batch of events for one stream, stored whole or not at all.
type Append struct {
	Stream   string
	Expected int64
	Events   []Proposed
}

// Result says where the last event of an append stands.
type Result struct {
	Revision   int64 // -1 = an empty append to no stream
	Position   uint64
	Idempotent bool // it had been stored before; nothing was written
}

// Append stores a batch and returns once it is durable and can be read.
func (l *Log) Append(ctx context.Context, a Append) (Result, error) {
	if err := a.validate(); err != nil {
		return Result{}, err
	}
	return l.submit(ctx, newRequest(a))
}

// A Pending append has its place among the others, and is being made durable.
type Pending struct {
	log     *Log
	request *request
	cost    int64
}

// Enqueue hands in a batch and returns before it is durable. Batches that one
// caller hands in one after the other are decided in that order, so that each may
// expect what the one before makes of its stream. Wait must be called.
func (l *Log) Enqueue(ctx context.Context, a Append) (*Pending, error) {
	if err := a.validate(); err != nil {
		return nil, err
	}
	r := newRequest(a)
	cost, err := l.queue.admit(ctx, r)
	if err != nil {
		return nil, err
	}
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	return &Pending{log: l, request: r, cost: cost}, l.queue.put(r, cost)
}

// Wait returns what came of it, as Append does.
func (p *Pending) Wait(ctx context.Context) (Result, error) {
	return p.log.await(ctx, p.request, p.cost)
}

// Delete soft-deletes a stream: reads find nothing, and a later append goes on
// at the revision after its last. The position is that of the marking event.
func (l *Log) Delete(ctx context.Context, stream string, expected int64) (position uint64, err error) {
	return l.remove(ctx, softDeletion, stream, expected)
}

// Tombstone deletes a stream for ever: nothing can be appended or read again.
func (l *Log) Tombstone(ctx context.Context, stream string, expected int64) (position uint64, err error) {
	return l.remove(ctx, tombstoning, stream, expected)
}

func (l *Log) remove(ctx context.Context, kind requestKind, stream string, expected int64) (uint64, error) {
	if _, ok := describes(stream); ok {
		return 0, fmt.Errorf("%w: metadata cannot be deleted; delete the stream itself", ErrInvalid)
	}
	a := Append{Stream: stream, Expected: expected}
	if err := a.validate(); err != nil {
		return 0, err
	}
	r := newRequest(a)
	r.kind = kind
	result, err := l.submit(ctx, r)
	return result.Position, err
}
