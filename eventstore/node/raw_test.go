package node_test

import (
	"errors"
	"io"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Requests as they go over the wire, for what the official client never sends
// and for trailers that it does not hand on.

type expect func(*streams.AppendReq_Options)

func expectAny(o *streams.AppendReq_Options) {
	o.ExpectedStreamRevision = &streams.AppendReq_Options_Any{Any: &shared.Empty{}}
}

func expectNoStream(o *streams.AppendReq_Options) {
	o.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}
}

func expectStream(o *streams.AppendReq_Options) {
	o.ExpectedStreamRevision = &streams.AppendReq_Options_StreamExists{StreamExists: &shared.Empty{}}
}

func expectRevision(n uint64) expect {
	return func(o *streams.AppendReq_Options) {
		o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: n}
	}
}

func identifier(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}

func options(stream string, expected expect) *streams.AppendReq {
	o := &streams.AppendReq_Options{StreamIdentifier: identifier(stream)}
	if expected != nil {
		expected(o)
	}
	return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}}
}

func message(e esdb.EventData) *streams.AppendReq {
	most, least := esdb.UUIDAsInt64(e.EventID)
	return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
		Id:       &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{MostSignificantBits: most, LeastSignificantBits: least}}},
		Metadata: map[string]string{"type": e.EventType, "content-type": "application/json"},
		Data:     e.Data,
	}}}
}

func (s *server) append(requests ...*streams.AppendReq) (*streams.AppendResp, metadata.MD, error) {
	s.t.Helper()
	var trailer metadata.MD
	call, err := streams.NewStreamsClient(s.raw()).Append(within(s.t), grpc.Trailer(&trailer))
	require.NoError(s.t, err)
	for _, request := range requests {
		require.NoError(s.t, call.Send(request))
	}
	response, err := call.CloseAndRecv()
	return response, trailer, err
}

// read sends one request and collects the answers, up to a number of them.
func (s *server) read(o *streams.ReadReq_Options, most int) (all []*streams.ReadResp, trailer metadata.MD, err error) {
	s.t.Helper()
	call, err := streams.NewStreamsClient(s.raw()).Read(within(s.t), &streams.ReadReq{Options: o})
	require.NoError(s.t, err)
	for len(all) < most {
		response, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return all, call.Trailer(), nil
		}
		if err != nil {
			return all, call.Trailer(), err
		}
		all = append(all, response)
	}
	return all, nil, nil
}

// streamQuery reads a stream forwards from its start.
func streamQuery(stream string) *streams.ReadReq_Options {
	return &streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
			StreamIdentifier: identifier(stream),
			RevisionOption:   &streams.ReadReq_Options_StreamOptions_Start{Start: &shared.Empty{}},
		}},
		CountOption:  &streams.ReadReq_Options_Count{Count: 1000},
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		UuidOption:   &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}}},
	}
}

// allQuery reads the whole log forwards from its start.
func allQuery() *streams.ReadReq_Options {
	o := streamQuery("")
	o.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
		AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}},
	}}
	return o
}

func (s *server) deleteAt7(stream string) ([]string, error) {
	s.t.Helper()
	var trailer metadata.MD
	_, err := streams.NewStreamsClient(s.raw()).Delete(within(s.t), &streams.DeleteReq{Options: &streams.DeleteReq_Options{
		StreamIdentifier: identifier(stream), ExpectedStreamRevision: &streams.DeleteReq_Options_Revision{Revision: 7},
	}}, grpc.Trailer(&trailer))
	return revisionTrailers(trailer), err
}

func (s *server) tombstoneAt7(stream string) ([]string, error) {
	s.t.Helper()
	var trailer metadata.MD
	_, err := streams.NewStreamsClient(s.raw()).Tombstone(within(s.t), &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{
		StreamIdentifier: identifier(stream), ExpectedStreamRevision: &streams.TombstoneReq_Options_Revision{Revision: 7},
	}}, grpc.Trailer(&trailer))
	return revisionTrailers(trailer), err
}

func revisionTrailers(trailer metadata.MD) (values []string) {
	for _, key := range []string{"exception", "stream-name", "expected-version", "actual-version"} {
		values = append(values, trailer.Get(key)...)
	}
	return values
}

// manyRequests has room for options in front of n events.
func (s *server) manyRequests(n int) []*streams.AppendReq {
	requests := make([]*streams.AppendReq, 1, n+1)
	for _, e := range events(n) {
		requests = append(requests, message(e))
	}
	return requests
}
