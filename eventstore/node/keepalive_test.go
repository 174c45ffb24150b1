package node

import (
	"context"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"

	"daybook.example/eventstore/log"
)

// The official client asks for a sign of life every 10 s, call or no call. With
// gRPC's defaults it would be cut off within a minute.
func TestAnIdleClientThatPingsKeepsItsConnection(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	synctest.Test(t, func(t *testing.T) {
		l, err := log.Open(log.Options{Dir: dir})
		require.NoError(t, err)
		s := &service{log: l, closing: make(chan struct{})}
		server := newServer(s, &groups{service: s}, &members{id: l.ID()})
		listener := bufconn.Listen(1 << 16)
		go func() { _ = server.Serve(listener) }()
		var dials atomic.Int32
		connection, err := grpc.NewClient("passthrough:node",
			grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
				dials.Add(1)
				return listener.Dial()
			}),
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true}))
		require.NoError(t, err)

		for range 3 {
			_, err = serverfeatures.NewServerFeaturesClient(connection).GetSupportedMethods(t.Context(), &shared.Empty{})
			require.NoError(t, err)
			time.Sleep(20 * time.Minute)
		}

		require.Equal(t, int32(1), dials.Load())
		require.NoError(t, connection.Close())
		server.Stop()
		require.NoError(t, l.Close())
	})
}
