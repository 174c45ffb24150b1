package node_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"daybook.example/test/limit"
)

// wire sends and takes messages as the bytes that they are.
type wire struct{}

func (wire) Name() string                    { return "proto" }
func (wire) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (wire) Unmarshal(b []byte, v any) error { *v.(*[]byte) = append([]byte(nil), b...); return nil }

// methods are all that the node serves.
func methods() (all []string) {
	for _, service := range []grpc.ServiceDesc{streams.Streams_ServiceDesc, persistent.PersistentSubscriptions_ServiceDesc, gossip.Gossip_ServiceDesc, serverfeatures.ServerFeatures_ServiceDesc} {
		for _, m := range service.Methods {
			all = append(all, "/"+service.ServiceName+"/"+m.MethodName)
		}
		for _, m := range service.Streams {
			all = append(all, "/"+service.ServiceName+"/"+m.StreamName)
		}
	}
	return all
}

// Whatever bytes any method is sent, twice, the node answers, and goes on.
func FuzzMethods(f *testing.F) {
	s := start(f)
	connection := s.raw()
	all := methods()
	seed := func(first, second proto.Message) {
		a, err := proto.Marshal(first)
		require.NoError(f, err)
		b, err := proto.Marshal(second)
		require.NoError(f, err)
		for method := range all {
			f.Add(byte(method), a, b)
		}
	}
	query := streamQuery("things-1")
	query.UuidOption = allQuery().UuidOption
	seed(&streams.ReadReq{Options: query}, &shared.Empty{})
	seed(options("things-1", expectAny), message(event("thing-happened", `{}`)))
	seed(&streams.DeleteReq{Options: &streams.DeleteReq_Options{StreamIdentifier: identifier("things-1")}}, &shared.Empty{})
	f.Fuzz(func(t *testing.T, method byte, first, second []byte) {
		defer limit.Input(t, len(first)+len(second))()
		name := all[int(method)%len(all)]
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // a subscription has no end
		defer cancel()
		err := exchange(ctx, connection, name, first, second)
		if strings.Contains(status.Convert(err).Message(), "unmarshal") {
			return // what is no message gRPC itself refuses, as internal
		}
		require.NotContains(t, []codes.Code{codes.Internal, codes.Unavailable, codes.DataLoss}, status.Code(err), "%s: %s", name, err)
	})
}

// exchange sends both messages and takes answers until there are no more.
func exchange(ctx context.Context, c *grpc.ClientConn, method string, messages ...[]byte) error {
	call, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method, grpc.ForceCodec(wire{}))
	if err != nil {
		return err
	}
	for _, m := range messages {
		if call.SendMsg(&m) != nil { // the reason comes with the answer
			break
		}
	}
	_ = call.CloseSend()
	for {
		var answer []byte
		if err := call.RecvMsg(&answer); err != nil {
			return err
		}
	}
}
