package node

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"golang.org/x/sync/semaphore"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"daybook.example/eventstore/log"
)

const (
	batchesOpen   = 1024    // appends of one call that may be unfinished at once
	batchBytesMax = 8 << 20 // of one call that are on their way into the log
	batchesMax    = 4096    // appends of one call that may wait for their answers
	batchOverhead = 512     // bytes of an append beside its events
)

// BatchAppend takes many appends over one call, each in pieces under an ID of
// its client's. Each is stored whole or not at all, on its own; they are decided
// in the order in which their last pieces come, and answered in that order.
func (s *service) BatchAppend(srv streams.Streams_BatchAppendServer) error {
	b := &batches{service: s, srv: srv, open: map[string]*batch{}, room: semaphore.NewWeighted(batchBytesMax), asked: make(chan *batch, batchesMax)}
	answered := make(chan error, 1)
	go func() { answered <- b.answer() }()
	err := b.receive()
	close(b.asked)
	return errors.Join(err, <-answered)
}

// batches are the appends of one call.
type batches struct {
	service *service
	srv     streams.Streams_BatchAppendServer
	open    map[string]*batch // by the client's ID
	room    *semaphore.Weighted
	asked   chan *batch
}

// A batch is one append of a call.
type batch struct {
	id       *shared.UUID
	options  *streams.BatchAppendReq_Options
	append   log.Append
	size     int
	deadline time.Time // none when zero
	pending  *log.Pending
	refusal  *rpc.Status // instead of it
}

func (b *batches) receive() error {
	pieces := incoming(b.srv.Context(), b.srv.Recv)
	for {
		select {
		case <-b.service.closing:
			return shuttingDown(b.srv.Context())
		case piece := <-pieces:
			if errors.Is(piece.err, io.EOF) {
				return nil
			}
			if piece.err != nil {
				return piece.err
			}
			if err := b.take(piece.message); err != nil {
				return err
			}
		}
	}
}

// received is what came over a call, or why nothing more does.
type received[M any] struct {
	message M
	err     error
}

// incoming receives in the background, so that a call can also end for other
// reasons. It stops with the call's context.
func incoming[M any](ctx context.Context, receive func() (M, error)) <-chan received[M] {
	messages := make(chan received[M])
	go func() {
		for {
			message, err := receive()
			select {
			case messages <- received[M]{message, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return messages
}

// take adds a piece to its append. Pieces of one that has no options, or that is
// refused already, are passed over.
func (b *batches) take(request *streams.BatchAppendReq) error {
	id, err := eventID(request.GetCorrelationId())
	if err != nil {
		return invalid("the correlation ID of an append is no UUID")
	}
	a := b.open[string(id[:])]
	if options := request.GetOptions(); options != nil {
		if len(b.open) >= batchesOpen {
			return invalid("more than %d appends of one call are unfinished: finish some first", batchesOpen)
		}
		a = b.begin(request.GetCorrelationId(), options)
		b.open[string(id[:])] = a
	}
	if a == nil {
		return nil
	}
	for _, message := range request.GetProposedMessages() {
		a.add(message)
	}
	if !request.GetIsFinal() {
		return nil
	}
	delete(b.open, string(id[:]))
	return b.store(a)
}

func (b *batches) begin(id *shared.UUID, options *streams.BatchAppendReq_Options) *batch {
	a := &batch{id: id, options: options}
	switch d := options.GetDeadlineOption().(type) {
	case *streams.BatchAppendReq_Options_Deadline:
		a.deadline = time.Now().Add(d.Deadline.AsDuration())
	case *streams.BatchAppendReq_Options_Deadline_21_10_0:
		a.deadline = d.Deadline_21_10_0.AsTime()
	}
	name, err := streamName(options.GetStreamIdentifier())
	if err == nil {
		a.append.Stream = name
		a.append.Expected, err = expectedInBatch(options)
	}
	if err != nil {
		a.refuseInvalid(err)
		return a
	}
	switch denial, err := b.service.denies(b.srv.Context(), writing, name); {
	case err != nil:
		a.refuse(codes.Unknown, "the stream's access list cannot be read", &shared.Unknown{})
	case denial != "":
		a.refuse(codes.PermissionDenied, denial, &shared.AccessDenied{})
	}
	return a
}

func (a *batch) add(m *streams.BatchAppendReq_ProposedMessage) {
	if a.refusal != nil {
		return
	}
	event, err := proposed(m)
	if err != nil {
		a.refuseInvalid(err)
		return
	}
	if a.size += len(event.Data) + len(event.Metadata) + 2*len(event.Type); a.size > appendMax {
		a.refuse(codes.InvalidArgument, "the append is too large", &shared.MaximumAppendSizeExceeded{MaxAppendSize: appendMax})
		return
	}
	a.append.Events = append(a.append.Events, event)
}

func (a *batch) refuseInvalid(err error) {
	message := status.Convert(err).Message()
	a.refuse(codes.InvalidArgument, message, &shared.BadRequest{Message: message})
}

// refuse settles an append; what else comes of it is dropped.
func (a *batch) refuse(code codes.Code, message string, detail proto.Message) {
	a.append.Events = nil
	a.refusal = &rpc.Status{Code: int32(code), Message: message}
	if packed, err := anypb.New(detail); err == nil {
		a.refusal.Details = []*anypb.Any{packed}
	}
}

// store hands a finished append in, and lets it wait for its answer.
func (b *batches) store(a *batch) error {
	ctx := b.srv.Context()
	if a.refusal == nil && a.late() {
		a.refuse(codes.DeadlineExceeded, "the deadline passed before the append was complete", &shared.Timeout{})
	}
	if a.refusal == nil {
		if err := b.room.Acquire(ctx, a.cost()); err != nil {
			return status.FromContextError(err).Err()
		}
		var err error
		if a.pending, err = b.service.log.Enqueue(ctx, a.append); err != nil {
			b.room.Release(a.cost())
			a.refusal = b.failure(a, err)
		}
	}
	select {
	case b.asked <- a:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

func (a *batch) cost() int64 { return int64(min(a.size+batchOverhead, batchBytesMax)) }

func (a *batch) late() bool { return !a.deadline.IsZero() && time.Now().After(a.deadline) }

// answer sends what came of each append, in the order of their ends. After a
// failed answer it goes on waiting, so that nothing of them is left in the log's queue.
func (b *batches) answer() (err error) {
	for a := range b.asked {
		response := b.outcome(a)
		if err == nil {
			err = b.srv.Send(response)
		}
	}
	return err
}

func (b *batches) outcome(a *batch) *streams.BatchAppendResp {
	response := &streams.BatchAppendResp{CorrelationId: a.id, StreamIdentifier: a.options.GetStreamIdentifier()}
	echoExpected(response, a.options)
	if a.refusal == nil {
		ctx, cancel := b.srv.Context(), context.CancelFunc(func() {})
		if !a.deadline.IsZero() {
			ctx, cancel = context.WithDeadline(ctx, a.deadline)
		}
		result, err := a.pending.Wait(ctx)
		cancel()
		b.room.Release(a.cost())
		if err == nil {
			response.Result = storedInBatch(result)
			return response
		}
		a.refusal = b.failure(a, err)
	}
	response.Result = &streams.BatchAppendResp_Error{Error: a.refusal}
	return response
}

// failure turns an error of the log into the answer to one append.
func (b *batches) failure(a *batch, err error) *rpc.Status {
	id := &shared.StreamIdentifier{StreamName: []byte(a.append.Stream)}
	if wrong, ok := errors.AsType[*log.WrongExpectedRevision](err); ok {
		a.refuse(codes.FailedPrecondition, wrong.Error(), wrongInBatch(wrong))
		return a.refusal
	}
	answer := status.Convert(b.service.classify(err))
	switch {
	case errors.Is(err, log.ErrStreamDeleted):
		a.refuse(codes.FailedPrecondition, "the stream was deleted for ever", &shared.StreamDeleted{StreamIdentifier: id})
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		a.refuse(codes.DeadlineExceeded, err.Error(), &shared.Timeout{})
	case answer.Code() == codes.InvalidArgument:
		a.refuse(answer.Code(), answer.Message(), &shared.BadRequest{Message: answer.Message()})
	default:
		a.refuse(answer.Code(), answer.Message(), &shared.Unknown{})
	}
	return a.refusal
}

func expectedInBatch(o *streams.BatchAppendReq_Options) (int64, error) {
	switch e := o.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_Any:
		return log.Any, nil
	case *streams.BatchAppendReq_Options_NoStream:
		return log.NoStream, nil
	case *streams.BatchAppendReq_Options_StreamExists:
		return log.StreamExists, nil
	case *streams.BatchAppendReq_Options_StreamPosition:
		if e.StreamPosition > math.MaxInt64 {
			return 0, invalid("expected revision %d is beyond every stream's end", e.StreamPosition)
		}
		return int64(e.StreamPosition), nil
	}
	return 0, invalid("an expected revision is required: a number, any, no stream or stream exists")
}

var nothing = &emptypb.Empty{}

// echoExpected repeats what an append expected, as clients want it.
func echoExpected(to *streams.BatchAppendResp, o *streams.BatchAppendReq_Options) {
	switch e := o.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_Any:
		to.ExpectedStreamPosition = &streams.BatchAppendResp_Any{Any: nothing}
	case *streams.BatchAppendReq_Options_NoStream:
		to.ExpectedStreamPosition = &streams.BatchAppendResp_NoStream{NoStream: nothing}
	case *streams.BatchAppendReq_Options_StreamExists:
		to.ExpectedStreamPosition = &streams.BatchAppendResp_StreamExists{StreamExists: nothing}
	case *streams.BatchAppendReq_Options_StreamPosition:
		to.ExpectedStreamPosition = &streams.BatchAppendResp_StreamPosition{StreamPosition: e.StreamPosition}
	}
}

func storedInBatch(r log.Result) *streams.BatchAppendResp_Success_ {
	success := &streams.BatchAppendResp_Success{PositionOption: &streams.BatchAppendResp_Success_Position{
		Position: &shared.AllStreamPosition{CommitPosition: r.Position, PreparePosition: r.Position},
	}}
	success.CurrentRevisionOption = &streams.BatchAppendResp_Success_CurrentRevision{CurrentRevision: uint64(r.Revision)}
	if r.Revision < 0 {
		success.CurrentRevisionOption = &streams.BatchAppendResp_Success_NoStream{NoStream: nothing}
	}
	return &streams.BatchAppendResp_Success_{Success: success}
}

func wrongInBatch(w *log.WrongExpectedRevision) *shared.WrongExpectedVersion {
	m := &shared.WrongExpectedVersion{CurrentStreamRevisionOption: &shared.WrongExpectedVersion_CurrentStreamRevision{CurrentStreamRevision: uint64(w.Current)}}
	if w.Current < 0 {
		m.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentNoStream{CurrentNoStream: nothing}
	}
	switch w.Expected {
	case log.Any:
		m.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedAny{ExpectedAny: nothing}
	case log.StreamExists:
		m.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: nothing}
	case log.NoStream:
		m.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: nothing}
	default:
		m.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamPosition{ExpectedStreamPosition: uint64(w.Expected)}
	}
	return m
}
