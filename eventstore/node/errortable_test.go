package node_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// The errors that clients tell apart, as the original server's table has them: the
// code of gRPC, the kind in the trailer "exception", and the other trailers by name.
// NAME stands for the stream of the case.
type refusalRow struct {
	code     codes.Code
	kind     string
	trailers map[string]string
	call     func(s *server, stream string, o grpc.CallOption) error
}

// notProduced are the rows that are not here, with the reason.
var notProduced = map[string]string{
	"access denied, bad credentials":            "access_test.go and connection_test.go: they need a port of their own with TLS, or without",
	"not leader":                                "a node of ours always leads: conformance_test.go has two followers that answer it",
	"invalid transaction":                       "errors_test.go: larger than a segment of the log, which no append within the limit reaches with ordinary names",
	"write timeout":                             "an append waits as long as its call does, and ends with DeadlineExceeded there",
	"not ready, too busy":                       "callers wait for room in the queue; a full disk and a stopped log are in errors_test.go",
	"shutting down":                             "needs a node that the test may stop: subscribe_test.go, batch_test.go, errors_test.go",
	"invalid position in $all":                  "a position that is no event's means the next event; twisted ones are in read_test.go",
	"user not found, user conflict":             "users are managed by daybook node users, not over gRPC",
	"persistent subscription dropped by server": "group_test.go: it ends a stream that runs",
}

func wrongRevisionRow(remove func(s *server, stream string, o grpc.CallOption) error) refusalRow {
	return refusalRow{codes.FailedPrecondition, "wrong-expected-version",
		map[string]string{"stream-name": "NAME", "expected-version": "7", "actual-version": "2"}, remove}
}

func tombstonedRow(call func(s *server, stream string, o grpc.CallOption) error) refusalRow {
	return refusalRow{codes.FailedPrecondition, "stream-deleted", map[string]string{"stream-name": "NAME"},
		func(s *server, stream string, o grpc.CallOption) error {
			_, err := s.client().TombstoneStream(within(s.t), stream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
			require.NoError(s.t, err)
			return call(s, stream, o)
		}}
}

func deleteAt(s *server, stream string, o grpc.CallOption) error {
	_, err := streams.NewStreamsClient(s.raw()).Delete(within(s.t), &streams.DeleteReq{Options: &streams.DeleteReq_Options{
		StreamIdentifier: identifier(stream), ExpectedStreamRevision: &streams.DeleteReq_Options_Revision{Revision: 7},
	}}, o)
	return err
}

func tombstoneAt(s *server, stream string, o grpc.CallOption) error {
	_, err := streams.NewStreamsClient(s.raw()).Tombstone(within(s.t), &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{
		StreamIdentifier: identifier(stream), ExpectedStreamRevision: &streams.TombstoneReq_Options_Revision{Revision: 7},
	}}, o)
	return err
}

func appending(requests func(stream string) []*streams.AppendReq) func(*server, string, grpc.CallOption) error {
	return func(s *server, stream string, o grpc.CallOption) error {
		call, err := streams.NewStreamsClient(s.raw()).Append(within(s.t), o)
		require.NoError(s.t, err)
		for _, request := range requests(stream) {
			if call.Send(request) != nil {
				break // refused already: the answer says why
			}
		}
		_, err = call.CloseAndRecv()
		return err
	}
}

func querying(change func(*streams.ReadReq_Options)) func(*server, string, grpc.CallOption) error {
	return func(s *server, stream string, o grpc.CallOption) error {
		query := streamQuery(stream)
		change(query)
		call, err := streams.NewStreamsClient(s.raw()).Read(within(s.t), &streams.ReadReq{Options: query}, o)
		require.NoError(s.t, err)
		for err == nil {
			_, err = call.Recv()
		}
		return err
	}
}

func asSubscription(o *streams.ReadReq_Options) {
	o.CountOption = &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
}

func groupOf(stream, group string) *persistent.CreateReq {
	return &persistent.CreateReq{Options: &persistent.CreateReq_Options{
		GroupName: group, StreamOption: &persistent.CreateReq_Options_Stream{Stream: &persistent.CreateReq_StreamOptions{
			StreamIdentifier: identifier(stream), RevisionOption: &persistent.CreateReq_StreamOptions_Start{Start: &shared.Empty{}},
		}},
		Settings: &persistent.CreateReq_Settings{HistoryBufferSize: 20, LiveBufferSize: 20, ReadBatchSize: 10, MaxSubscriberCount: 1, ConsumerStrategy: "RoundRobin"},
	}}
}

func creatingTwice(s *server, stream string, o grpc.CallOption) error {
	groups := persistent.NewPersistentSubscriptionsClient(s.raw())
	_, err := groups.Create(within(s.t), groupOf(stream, "group"))
	require.NoError(s.t, err)
	_, err = groups.Create(within(s.t), groupOf(stream, "group"), o)
	return err
}

func creatingWithoutStrategy(s *server, stream string, o grpc.CallOption) error {
	request := groupOf(stream, "group")
	request.Options.Settings.ConsumerStrategy = "Lottery"
	_, err := persistent.NewPersistentSubscriptionsClient(s.raw()).Create(within(s.t), request, o)
	return err
}

func consuming(ctx context.Context, s *server, stream string, o ...grpc.CallOption) error {
	call, err := persistent.NewPersistentSubscriptionsClient(s.raw()).Read(ctx, o...)
	require.NoError(s.t, err)
	require.NoError(s.t, call.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{
		GroupName: "group", BufferSize: 1, StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: identifier(stream)},
		UuidOption: &persistent.ReadReq_Options_UUIDOption{Content: &persistent.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}}},
	}}}))
	_, err = call.Recv()
	return err
}

func consumingOneTooMany(s *server, stream string, o grpc.CallOption) error {
	_, err := persistent.NewPersistentSubscriptionsClient(s.raw()).Create(within(s.t), groupOf(stream, "group"))
	require.NoError(s.t, err)
	require.NoError(s.t, consuming(within(s.t), s, stream))
	return consuming(within(s.t), s, stream, o)
}

func TestTheErrorTable(t *testing.T) {
	t.Parallel()
	group := map[string]string{"stream-name": "NAME", "group-name": "group"}
	one := func(stream string) []*streams.AppendReq {
		return []*streams.AppendReq{options(stream, expectAny), message(events(1)[0])}
	}
	for name, row := range map[string]refusalRow{
		"delete at a wrong revision":    wrongRevisionRow(deleteAt),
		"tombstone at a wrong revision": wrongRevisionRow(tombstoneAt),
		"tombstoned, append":            tombstonedRow(appending(one)),
		"tombstoned, delete":            tombstonedRow(deleteAt),
		"tombstoned, read":              tombstonedRow(querying(func(*streams.ReadReq_Options) {})),
		"tombstoned, subscribe":         tombstonedRow(querying(asSubscription)),
		"append too large": {codes.InvalidArgument, "maximum-append-size-exceeded", map[string]string{"maximum-append-size": "1048576"},
			appending(func(stream string) []*streams.AppendReq {
				return []*streams.AppendReq{options(stream, expectAny), message(event("t", strings.Repeat("x", 1<<20)))}
			})},
		"event without a type": {codes.InvalidArgument, "missing-required-metadata-property", map[string]string{"required-metadata-properties": "type,content-type"},
			appending(func(stream string) []*streams.AppendReq {
				requests := one(stream)
				requests[1].GetProposedMessage().Metadata = nil
				return requests
			})},
		"read without the form of IDs": {codes.InvalidArgument, "", nil, querying(func(o *streams.ReadReq_Options) { o.UuidOption = nil })},
		"backwards subscription": {codes.InvalidArgument, "", nil, querying(func(o *streams.ReadReq_Options) {
			asSubscription(o)
			o.ReadDirection = streams.ReadReq_Options_Backwards
		})},
		"group missing": {codes.NotFound, "persistent-subscription-does-not-exist", group,
			func(s *server, stream string, o grpc.CallOption) error { return consuming(within(s.t), s, stream, o) }},
		"group exists":       {codes.AlreadyExists, "persistent-subscription-exists", group, creatingTwice},
		"group failed":       {codes.Internal, "persistent-subscription-failed", group, creatingWithoutStrategy},
		"group has its most": {codes.FailedPrecondition, "maximum-subscribers-reached", group, consumingOneTooMany},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := anywhere(t)
			stream := s.stream("things-1")
			appendTo(t, s.client(), stream, esdb.NoStream{}, events(3)...)
			var trailer metadata.MD
			err := row.call(s, stream, grpc.Trailer(&trailer))
			require.Equal(t, row.code, status.Code(err), "%v", err)
			require.Equal(t, row.kind, strings.Join(trailer.Get("exception"), ","))
			for key, value := range row.trailers {
				require.Equal(t, []string{strings.ReplaceAll(value, "NAME", stream)}, trailer.Get(key), key)
			}
		})
	}
	for row, reason := range notProduced {
		t.Logf("not here: %s (%s)", row, reason)
	}
}

// These cases are no errors of gRPC, but messages.
func TestWhatIsToldWithoutAnError(t *testing.T) {
	t.Parallel()
	s := anywhere(t)
	stream := s.stream("things-1")
	missing, _, err := s.read(streamQuery(stream), 1)
	require.NoError(t, err)
	require.Equal(t, stream, string(missing[0].GetStreamNotFound().GetStreamIdentifier().GetStreamName()))
	response, _, err := s.append(options(stream, expectStream), message(events(1)[0]))
	require.NoError(t, err)
	require.NotNil(t, response.GetWrongExpectedVersion())
	o := streamQuery(stream)
	asSubscription(o)
	ctx, cancel := context.WithTimeout(within(t), 5*time.Second)
	defer cancel()
	call, err := streams.NewStreamsClient(s.raw()).Read(ctx, &streams.ReadReq{Options: o})
	require.NoError(t, err)
	first, err := call.Recv()
	require.NoError(t, err)
	require.NotNil(t, first.GetConfirmation(), "one may subscribe to a stream that is not there yet")
}
