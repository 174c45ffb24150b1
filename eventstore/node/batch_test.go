package node_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// batching is one call of BatchAppend.
type batching struct {
	t    testing.TB
	call streams.Streams_BatchAppendClient
}

func (s *server) batching(to *grpc.ClientConn) batching {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	s.t.Cleanup(cancel)
	call, err := streams.NewStreamsClient(to).BatchAppend(ctx)
	require.NoError(s.t, err)
	return batching{s.t, call}
}

func (b batching) send(requests ...*streams.BatchAppendReq) {
	b.t.Helper()
	for _, r := range requests {
		require.NoError(b.t, b.call.Send(r))
	}
}

func (b batching) receive() *streams.BatchAppendResp {
	b.t.Helper()
	response, err := b.call.Recv()
	require.NoError(b.t, err)
	return response
}

func text(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}
}

func batchOptions(stream string) *streams.BatchAppendReq_Options {
	return &streams.BatchAppendReq_Options{
		StreamIdentifier:       identifier(stream),
		ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}},
	}
}

func batchAt(stream string, revision uint64) *streams.BatchAppendReq_Options {
	o := batchOptions(stream)
	o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: revision}
	return o
}

func batchMessages(all ...esdb.EventData) (messages []*streams.BatchAppendReq_ProposedMessage) {
	for _, e := range all {
		messages = append(messages, &streams.BatchAppendReq_ProposedMessage{
			Id: text(e.EventID), Metadata: map[string]string{"type": e.EventType, "content-type": "application/json"}, Data: e.Data,
		})
	}
	return messages
}

// whole is an append in one piece.
func whole(o *streams.BatchAppendReq_Options, all ...esdb.EventData) *streams.BatchAppendReq {
	return &streams.BatchAppendReq{CorrelationId: text(uuid.New()), Options: o, ProposedMessages: batchMessages(all...), IsFinal: true}
}

func TestABatchAppendComesInPieces(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	b := s.batching(s.raw())

	// Given two appends whose pieces come in turn
	first, second := uuid.New(), uuid.New()
	b.send(
		&streams.BatchAppendReq{CorrelationId: text(first), Options: batchOptions(s.stream("things-1")), ProposedMessages: batchMessages(events(2)...)},
		&streams.BatchAppendReq{CorrelationId: text(second), Options: batchOptions(s.stream("things-2")), ProposedMessages: batchMessages(events(1)...)},
		&streams.BatchAppendReq{CorrelationId: text(uuid.New()), ProposedMessages: batchMessages(events(9)...), IsFinal: true}, // without options: nobody's
		&streams.BatchAppendReq{CorrelationId: text(first), ProposedMessages: batchMessages(events(1)...), IsFinal: true},
		&streams.BatchAppendReq{CorrelationId: text(second), IsFinal: true},
	)

	// Then each is answered under its ID, and stored whole
	one, two := b.receive(), b.receive()
	require.Equal(t, first.String(), one.GetCorrelationId().GetString_())
	require.Equal(t, uint64(2), one.GetSuccess().GetCurrentRevision())
	require.Equal(t, s.stream("things-1"), string(one.GetStreamIdentifier().GetStreamName()))
	require.NotNil(t, one.GetAny())
	require.Equal(t, second.String(), two.GetCorrelationId().GetString_())
	require.Equal(t, uint64(0), two.GetSuccess().GetCurrentRevision())
	require.Greater(t, two.GetSuccess().GetPosition().GetCommitPosition(), one.GetSuccess().GetPosition().GetCommitPosition())

	require.NoError(t, b.call.CloseSend())
	_, err := b.call.Recv()
	require.ErrorIs(t, err, io.EOF)
}

// What is sent later expects what was sent before: no answer need be waited for.
func TestBatchAppendsAreDecidedInTheirOrder(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	b := s.batching(s.raw())
	none := batchOptions(s.stream("things-1"))
	none.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
	b.send(whole(none, events(1)...))
	const more = 200
	for i := range more {
		b.send(whole(batchAt(s.stream("things-1"), uint64(i)), events(1)...))
	}
	for i := range more + 1 {
		require.Equal(t, uint64(i), b.receive().GetSuccess().GetCurrentRevision())
	}
}

func TestARefusedBatchAppendDisturbsNoOther(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	c := s.client()
	appendTo(t, c, s.stream("things-1"), esdb.NoStream{}, events(3)...)
	_, err := c.TombstoneStream(within(t), s.stream("gone"), esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
	require.NoError(t, err)
	b := s.batching(s.raw())
	big := event("thing-happened", fmt.Sprintf(`"%01048576d"`, 0))
	untyped := whole(batchOptions(s.stream("things-1")), events(1)...)
	untyped.ProposedMessages[0].Metadata = nil
	late, tooLate := batchOptions(s.stream("things-1")), batchOptions(s.stream("things-1"))
	late.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(-time.Second)}
	tooLate.DeadlineOption = &streams.BatchAppendReq_Options_Deadline_21_10_0{Deadline_21_10_0: timestamppb.New(time.Now().Add(-time.Hour))}
	unexpected := batchOptions(s.stream("things-1"))
	unexpected.ExpectedStreamPosition = nil

	for name, refused := range map[string]struct {
		request *streams.BatchAppendReq
		code    codes.Code
		detail  proto.Message
	}{
		"wrong revision": {whole(batchAt(s.stream("things-1"), 7), events(1)...), codes.FailedPrecondition, &shared.WrongExpectedVersion{
			CurrentStreamRevisionOption:  &shared.WrongExpectedVersion_CurrentStreamRevision{CurrentStreamRevision: 2},
			ExpectedStreamPositionOption: &shared.WrongExpectedVersion_ExpectedStreamPosition{ExpectedStreamPosition: 7},
		}},
		"tombstone":    {whole(batchOptions(s.stream("gone")), events(1)...), codes.FailedPrecondition, &shared.StreamDeleted{StreamIdentifier: identifier(s.stream("gone"))}},
		"$all":         {whole(batchOptions("$all"), events(1)...), codes.PermissionDenied, &shared.AccessDenied{}},
		"too large":    {whole(batchOptions(s.stream("things-1")), big), codes.InvalidArgument, &shared.MaximumAppendSizeExceeded{MaxAppendSize: 1 << 20}},
		"no type":      {untyped, codes.InvalidArgument, nil},
		"no stream":    {whole(batchOptions(""), events(1)...), codes.InvalidArgument, nil},
		"no revision":  {whole(unexpected, events(1)...), codes.InvalidArgument, nil},
		"deadline":     {whole(late, events(1)...), codes.DeadlineExceeded, &shared.Timeout{}},
		"old deadline": {whole(tooLate, events(1)...), codes.DeadlineExceeded, &shared.Timeout{}},
	} {
		b.send(refused.request)
		problem := b.receive().GetError()
		require.Equal(t, int32(refused.code), problem.GetCode(), name)
		require.NotEmpty(t, problem.GetMessage(), name)
		require.Len(t, problem.GetDetails(), 1, name)
		if refused.detail != nil {
			got, err := problem.GetDetails()[0].UnmarshalNew()
			require.NoError(t, err)
			require.True(t, proto.Equal(refused.detail, got), "%s: %v", name, got)
		}
	}
	b.send(whole(batchAt(s.stream("things-1"), 2), events(1)...))
	require.Equal(t, uint64(3), b.receive().GetSuccess().GetCurrentRevision())
}

func TestBatchAppendsOverThePlaintextPortAreDenied(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.batching(s.connect(s.node.Addr()))
	b.send(whole(batchOptions("things-1"), events(1)...))
	require.Equal(t, int32(codes.PermissionDenied), b.receive().GetError().GetCode())
	require.Zero(t, s.log.Head())
}

func TestABatchAppendIsToldThatTheNodeShutsDown(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.batching(s.raw())
	b.send(whole(batchOptions("things-1"), events(1)...))
	b.receive()
	closed := make(chan error, 1)
	go func() { closed <- s.node.Close(within(t)) }()
	_, err := b.call.Recv()
	require.Equal(t, []string{"server-shutting-down"}, b.call.Trailer().Get("exception"), "%v", err)
	require.NoError(t, <-closed)
}
