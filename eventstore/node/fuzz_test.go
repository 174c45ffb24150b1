package node

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"daybook.example/eventstore/log"
	"daybook.example/test/limit"
)

// Whatever arrives is either a question that makes sense or refused.
func FuzzReadRequest(f *testing.F) {
	all := &streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: empty}}},
		CountOption:  &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}},
		FilterOption: &streams.ReadReq_Options_Filter{Filter: &streams.ReadReq_Options_FilterOptions{
			CheckpointIntervalMultiplier: 1,
			Filter:                       &streams.ReadReq_Options_FilterOptions_EventType{EventType: &streams.ReadReq_Options_FilterOptions_Expression{Regex: "^(a|b)+$"}},
		}},
		UuidOption: &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_String_{String_: empty}},
	}
	one := &streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("things-1")},
			RevisionOption:   &streams.ReadReq_Options_StreamOptions_Revision{Revision: 7},
		}},
		ReadDirection: streams.ReadReq_Options_Backwards,
		CountOption:   &streams.ReadReq_Options_Count{Count: 10},
		FilterOption:  &streams.ReadReq_Options_NoFilter{NoFilter: empty},
		UuidOption:    &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: empty}},
	}
	for _, o := range []*streams.ReadReq_Options{all, one} {
		seed, err := proto.Marshal(&streams.ReadReq{Options: o})
		require.NoError(f, err)
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		defer limit.Input(t, len(b))()
		var request streams.ReadReq
		if proto.Unmarshal(b, &request) != nil {
			return
		}
		q, err := parseQuery(request.GetOptions())
		if err != nil {
			return
		}
		require.NotEmpty(t, q.stream)
		require.False(t, q.subscription && q.direction == log.Backwards)
		require.False(t, q.subscription && q.filter != nil && q.interval == 0)
		q.shows(log.Record{Stream: "things-1", Type: "thing-happened"})
	})
}

// What the log stores of an append is checked whatever form it arrives in.
func FuzzProposedEvent(f *testing.F) {
	seed, err := proto.Marshal(&streams.AppendReq_ProposedMessage{
		Id:       &shared.UUID{Value: &shared.UUID_String_{String_: "8c1c6b1e-6d56-4f0b-9a53-000000000001"}},
		Metadata: map[string]string{"type": "thing-happened", "content-type": contentJSON},
		Data:     []byte("{}"),
	})
	require.NoError(f, err)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		defer limit.Input(t, len(b))()
		var message streams.AppendReq_ProposedMessage
		if proto.Unmarshal(b, &message) != nil || message.Metadata["type"] == "" || message.Metadata["content-type"] == "" {
			return
		}
		if event, err := proposed(&message); err == nil {
			require.Equal(t, message.GetMetadata()["type"], event.Type)
			require.Equal(t, message.GetData(), event.Data)
		}
	})
}
