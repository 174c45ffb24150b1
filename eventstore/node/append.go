package node

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"time"
	"unicode/utf8"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"

	"daybook.example/eventstore/log"
)

const (
	appendMax   = 1 << 20         // bytes of an append: data, metadata and twice the type of every event
	lingerMax   = 5 * time.Second // how long a refused client may go on sending
	contentJSON = "application/json"

	metadataPrefix     = "$$"   // of the stream that holds another's metadata
	metadataOfMetadata = "$$$$" // how the name of metadata of metadata would begin
)

// Append collects a whole append, then stores it at once or not at all.
func (s *service) Append(srv streams.Streams_AppendServer) error {
	ctx := srv.Context()
	a, err := s.receive(srv)
	if err != nil {
		linger(srv)
		return err
	}
	result, err := s.log.Append(ctx, a)
	if wrong, ok := errors.AsType[*log.WrongExpectedRevision](err); ok {
		return srv.SendAndClose(wrongExpected(wrong))
	}
	if err != nil {
		return s.failure(ctx, a.Stream, err)
	}
	return srv.SendAndClose(appended(result))
}

// receive reads the options and then every event, and stops at the first that
// cannot be taken.
func (s *service) receive(srv streams.Streams_AppendServer) (a log.Append, err error) {
	ctx := srv.Context()
	first, err := srv.Recv()
	if err != nil && !errors.Is(err, io.EOF) {
		return a, err
	}
	o := first.GetOptions()
	if o == nil {
		return a, invalid("an append begins with its options")
	}
	if a.Stream, err = s.writable(ctx, writing, o.GetStreamIdentifier()); err != nil {
		return a, err
	}
	if a.Expected, err = expectedRevision(o, o.GetExpectedStreamRevision() != nil); err != nil {
		return a, err
	}
	for size := 0; ; {
		message, err := srv.Recv()
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil {
			return a, err
		}
		if message.GetProposedMessage() == nil {
			return a, invalid("after its options an append holds proposed events only")
		}
		event, err := proposed(message.GetProposedMessage())
		if errors.Is(err, errMissingMetadata) {
			return a, missingMetadata(ctx)
		}
		if err != nil {
			return a, err
		}
		if size += len(event.Data) + len(event.Metadata) + 2*len(event.Type); size > appendMax {
			return a, appendTooLarge(ctx)
		}
		a.Events = append(a.Events, event)
	}
}

// linger lets a client whose append is refused finish sending: one that is still
// sending when the answer comes reports a broken stream instead of reading it.
func linger(srv grpc.ServerStream) {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for {
			if srv.RecvMsg(&streams.AppendReq{}) != nil {
				return
			}
		}
	}()
	select {
	case <-sent:
	case <-time.After(lingerMax):
	}
}

// writable reads the name of a stream that the caller may change.
func (s *service) writable(ctx context.Context, do action, id *shared.StreamIdentifier) (string, error) {
	name, err := streamName(id)
	if err != nil {
		return "", err
	}
	return name, s.may(ctx, do, name)
}

func streamName(id *shared.StreamIdentifier) (string, error) {
	name := id.GetStreamName()
	if len(name) == 0 || !utf8.Valid(name) {
		return "", invalid("a stream's name is UTF-8 text of at least one byte")
	}
	return string(name), nil
}

// expectation is what the options of append, delete and tombstone share.
type expectation interface {
	GetRevision() uint64
	GetNoStream() *shared.Empty
	GetAny() *shared.Empty
	GetStreamExists() *shared.Empty
}

func expectedRevision(e expectation, set bool) (int64, error) {
	switch {
	case !set:
		return 0, invalid("an expected revision is required: a number, any, no stream or stream exists")
	case e.GetAny() != nil:
		return log.Any, nil
	case e.GetNoStream() != nil:
		return log.NoStream, nil
	case e.GetStreamExists() != nil:
		return log.StreamExists, nil
	case e.GetRevision() > math.MaxInt64:
		return 0, invalid("expected revision %d is beyond every stream's end", e.GetRevision())
	}
	return int64(e.GetRevision()), nil
}

// proposal is what the events of both kinds of append share.
type proposal interface {
	GetId() *shared.UUID
	GetMetadata() map[string]string
	GetCustomMetadata() []byte
	GetData() []byte
}

var errMissingMetadata = errors.New("a proposed event lacks type or content-type in its metadata")

// proposed checks an event as it comes in. Metadata other than its type and
// content type are dropped.
func proposed(m proposal) (e log.Proposed, err error) {
	kind, typed := m.GetMetadata()["type"]
	content, described := m.GetMetadata()["content-type"]
	if !typed || !described {
		return e, errMissingMetadata
	}
	if kind == "" {
		return e, invalid("an event type is empty")
	}
	id, err := eventID(m.GetId())
	return log.Proposed{ID: id, Type: kind, JSON: content == contentJSON, Data: m.GetData(), Metadata: m.GetCustomMetadata()}, err
}

// eventID reads both forms of an ID: two big-endian halves, or text. The log
// refuses the zero UUID.
func eventID(message *shared.UUID) (id uuid.UUID, err error) {
	if halves := message.GetStructured(); halves != nil {
		binary.BigEndian.PutUint64(id[:8], uint64(halves.GetMostSignificantBits()))
		binary.BigEndian.PutUint64(id[8:], uint64(halves.GetLeastSignificantBits()))
	} else if id, err = uuid.Parse(message.GetString_()); err != nil {
		return id, invalid("an event ID is no UUID")
	}
	return id, nil
}

func structuredID(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

var empty = &shared.Empty{}

func appended(r log.Result) *streams.AppendResp {
	success := &streams.AppendResp_Success{
		PositionOption: &streams.AppendResp_Success_Position{
			Position: &streams.AppendResp_Position{CommitPosition: r.Position, PreparePosition: r.Position},
		},
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(r.Revision)},
	}
	if r.Revision < 0 {
		success.CurrentRevisionOption = &streams.AppendResp_Success_NoStream{NoStream: empty}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: success}}
}

// wrongExpected fills every field twice: clients from before version 20.6.0 read
// fields of their own, which cannot say "no stream" for what was expected.
func wrongExpected(w *log.WrongExpectedRevision) *streams.AppendResp {
	m := &streams.AppendResp_WrongExpectedVersion{}
	if w.Current < 0 {
		m.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: empty}
		m.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{NoStream_20_6_0: empty}
	} else {
		m.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: uint64(w.Current)}
		m.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: uint64(w.Current)}
	}
	switch w.Expected {
	case log.Any:
		m.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: empty}
		m.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_Any_20_6_0{Any_20_6_0: empty}
	case log.StreamExists:
		m.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: empty}
		m.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0{StreamExists_20_6_0: empty}
	case log.NoStream:
		m.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: empty}
		m.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: math.MaxUint64}
	default:
		m.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: uint64(w.Expected)}
		m.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: uint64(w.Expected)}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: m}}
}
