// Package eventstore keeps streams of bytes in order. It knows EventStoreDB's
// words and no business: events go in and come out as bytes.
package eventstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A Revision is the number of an event in its stream, from 0.
type Revision = uint64

// A Position is a place in the whole log. It means something on one log only
// and is opaque but for its order.
type Position struct{ Commit, Prepare uint64 }

// Less reports whether p stands before q.
func (p Position) Less(q Position) bool {
	return p.Commit < q.Commit || p.Commit == q.Commit && p.Prepare < q.Prepare
}

// IsZero reports whether p is the place before every event.
func (p Position) IsZero() bool { return p == Position{} }

// String writes p as `<commit>/<prepare>`, its form in headers, JSON and parameters.
func (p Position) String() string {
	return strconv.FormatUint(p.Commit, 10) + "/" + strconv.FormatUint(p.Prepare, 10)
}

// ParsePosition reads what String wrote.
func ParsePosition(text string) (Position, error) {
	commit, prepare, found := strings.Cut(text, "/")
	c, err1 := strconv.ParseUint(commit, 10, 63)
	p, err2 := strconv.ParseUint(prepare, 10, 63)
	if !found || err1 != nil || err2 != nil {
		return Position{}, fmt.Errorf("position %.40q is not of the form <commit>/<prepare>", text)
	}
	return Position{Commit: c, Prepare: p}, nil
}

// MarshalText writes p as String does, so that JSON carries it as a string.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (p *Position) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePosition(string(text))
	return err
}

// ExpectedRevision is what an append requires of its stream. Its zero value is
// no valid expectation, so that none is ever forgotten.
type ExpectedRevision struct {
	kind     expectation
	revision Revision
}

type expectation uint8

const (
	unset expectation = iota
	noStream
	streamExists
	anyRevision
	exactly
)

// The expectations that name no revision.
var (
	NoStream     = ExpectedRevision{kind: noStream}
	StreamExists = ExpectedRevision{kind: streamExists}
	Any          = ExpectedRevision{kind: anyRevision}
)

// Exactly expects the stream's last event to be at revision.
func Exactly(revision Revision) ExpectedRevision {
	return ExpectedRevision{kind: exactly, revision: revision}
}

// String says the expectation in words.
func (e ExpectedRevision) String() string {
	switch e.kind {
	case noStream:
		return "no stream"
	case streamExists:
		return "stream exists"
	case anyRevision:
		return "any"
	case exactly:
		return "revision " + strconv.FormatUint(e.revision, 10)
	}
	return "unset"
}

// A Proposed event is what an append asks to store.
type Proposed struct {
	ID          uuid.UUID
	Type        string
	ContentType string // "" = application/json; all else is kept as application/octet-stream
	Data        []byte
	Metadata    []byte // JSON
}

// A Recorded event is what the store keeps, for ever.
type Recorded struct {
	ID          uuid.UUID
	Stream      string
	Revision    Revision
	Position    Position
	Type        string
	ContentType string
	Data        []byte
	Metadata    []byte
	Created     time.Time // set by the node; transport only, never shown as recorded time
}

// Written is the answer to an append: where its last event stands.
type Written struct {
	Revision Revision
	Position Position
}

// Direction is the way a read goes.
type Direction int

// Directions of a read.
const (
	Forwards Direction = iota
	Backwards
)

// Errors of the store that a caller decides by. All others of an append leave
// its result unknown: the same bytes must be sent again to find out.
var (
	ErrWrongExpectedRevision = errors.New("wrong expected revision")
	ErrStreamNotFound        = errors.New("stream not found")
	ErrStreamDeleted         = errors.New("stream deleted")
	ErrAccessDenied          = errors.New("access denied by the event store")
	ErrInvalid               = errors.New("refused by the event store as invalid")
	ErrUnavailable           = errors.New("event store unavailable")
	ErrMarker                = errors.New("data holds a personal value in clear")
)

// Definite reports whether err says for certain that an append was not stored.
func Definite(err error) bool {
	return errors.Is(err, ErrWrongExpectedRevision) || errors.Is(err, ErrStreamDeleted) ||
		errors.Is(err, ErrAccessDenied) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrMarker)
}
