package node_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/projections"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"daybook.example/eventstore/node"
)

func TestOverTCPEverythingIsReadAndNothingIsWritten(t *testing.T) {
	t.Parallel()
	s := start(t)
	inside, outside := s.client(), s.dial(s.node.Addr())
	appendTo(t, inside, "things-1", esdb.NoStream{}, events(2)...)

	all, err := readStream(t, outside, "things-1", esdb.ReadStreamOptions{})
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, []string{"0", "1", "caught up"}, tellAll(t, subscribe(t, outside, "things-1", esdb.Start{}), 3))

	head := s.log.Head()
	_, err = outside.AppendToStream(within(t), "things-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events(50)...)
	require.Equal(t, esdb.ErrorCodeAccessDenied, codeOf(t, err))
	_, err = outside.DeleteStream(within(t), "things-1", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}})
	require.Equal(t, esdb.ErrorCodeAccessDenied, codeOf(t, err))
	_, err = outside.TombstoneStream(within(t), "things-1", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
	require.Equal(t, esdb.ErrorCodeAccessDenied, codeOf(t, err))
	require.Equal(t, head, s.log.Head())
}

func TestWritesOverTCPCanBeAllowed(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *node.Options) { o.AllowWrites, o.Socket = true, "" })
	c := s.dial(s.node.Addr())
	appendTo(t, c, "things-1", esdb.NoStream{}, events(1)...)
	appendTo(t, c, "$settings", esdb.NoStream{}, events(1)...)
}

func TestADeniedWriteSaysSoInItsTrailer(t *testing.T) {
	t.Parallel()
	s := start(t)
	var trailer metadata.MD
	connection := s.connect(s.node.Addr())
	_, err := streams.NewStreamsClient(connection).Delete(within(t), &streams.DeleteReq{Options: &streams.DeleteReq_Options{StreamIdentifier: identifier("things-1")}}, grpc.Trailer(&trailer))
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	require.Equal(t, []string{"access-denied"}, trailer.Get("exception"))
}

func TestOnlyWhatWorksIsAdvertised(t *testing.T) {
	t.Parallel()
	s := start(t)
	methods, err := serverfeatures.NewServerFeaturesClient(s.raw()).GetSupportedMethods(within(t), &shared.Empty{})
	require.NoError(t, err)
	require.Equal(t, "24.2.0", methods.GetEventStoreServerVersion())
	var names []string
	for _, m := range methods.GetMethods() {
		require.True(t, strings.HasPrefix(m.GetServiceName(), "event_store.client."))
		names = append(names, m.GetMethodName())
	}
	require.Equal(t, []string{
		"append", "batchappend", "read", "delete", "tombstone",
		"create", "update", "delete", "read", "getinfo", "replayparked", "list", "restartsubsystem",
		"read", "getsupportedmethods",
	}, names)
	version, err := s.client().GetServerVersion()
	require.NoError(t, err)
	require.Equal(t, &esdb.ServerVersion{Major: 24, Minor: 2}, version)
}

func TestTheNodeIsAClusterOfOneThatLeads(t *testing.T) {
	t.Parallel()
	s := start(t)
	c, err := esdb.ParseConnectionString("esdb+discover://" + s.node.Addr() + "?tls=false")
	require.NoError(t, err)
	c.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(c)
	require.NoError(t, err)
	defer client.Close()
	require.Empty(t, readAll(t, client, esdb.ReadAllOptions{From: esdb.Start{}}, 1))

	info, err := gossip.NewGossipClient(s.raw()).Read(within(t), &shared.Empty{})
	require.NoError(t, err)
	require.Len(t, info.GetMembers(), 1)
}

func TestWhatIsNotServedIsUnimplemented(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, err := projections.NewProjectionsClient(s.raw()).Create(within(t), &projections.CreateReq{})
	require.Equal(t, codes.Unimplemented, status.Code(err))
	require.ErrorContains(t, err, "it serves Streams")
}

func TestAnAddressThatIsTakenIsNamedWithTheFlag(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, err := node.Start(node.Options{Log: s.log, Listen: s.node.Addr()})
	require.ErrorContains(t, err, s.node.Addr())
	require.ErrorContains(t, err, "--node-listen")
	_, err = node.Start(node.Options{Log: s.log, Listen: "no address"})
	require.ErrorContains(t, err, "--node-listen")
	_, err = node.Start(node.Options{Log: s.log})
	require.ErrorContains(t, err, "nowhere to listen")
	taken := s.node.Addr()
	s.close()
	s.open()
	_, err = node.Start(node.Options{Log: s.log, Listen: taken, Socket: s.options.Socket})
	require.ErrorContains(t, err, "another process serves it")
	free, err := net.Listen("tcp", taken)
	require.NoError(t, err, "what was opened before the failure is closed")
	require.NoError(t, free.Close())
}

// given a node closed before it came to serve, when Close returns, then its socket is free
func TestANodeClosedAtOnceLeavesItsSocket(t *testing.T) {
	t.Parallel()
	s := start(t)
	socket := filepath.Join(s.dir, "another.sock")
	for range 100 {
		n, err := node.Start(node.Options{Log: s.log, Socket: socket})
		require.NoError(t, err)
		require.NoError(t, n.Close(t.Context()))
		_, err = net.Dial("unix", socket)
		require.Error(t, err)
	}
}

func TestTheSocketIsTheOwnersAndReplacesOnlyADeadOne(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *node.Options) { o.Listen = "" })
	require.Empty(t, s.node.Addr())
	info, err := os.Stat(s.options.Socket)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	dead := filepath.Join(s.dir, "dead.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead})
	require.NoError(t, err)
	listener.SetUnlinkOnClose(false)
	require.NoError(t, listener.Close())
	second, err := node.Start(node.Options{Log: s.log, Socket: dead})
	require.NoError(t, err)
	require.NoError(t, second.Close(within(t)))

	_, err = node.Start(node.Options{Log: s.log, Socket: filepath.Join(s.dir, strings.Repeat("x", 108))})
	require.ErrorContains(t, err, "choose a shorter folder")
}

func TestCloseMayBeCalledTwice(t *testing.T) {
	t.Parallel()
	s := start(t)
	require.NoError(t, s.node.Close(within(t)))
	require.NoError(t, s.node.Close(within(t)))
}

func TestManyClientsAppendAtOnceAndAllIsKept(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.client()
	ctx := within(t)
	failed := make(chan error, 32)
	for w := range 32 {
		go func() {
			var err error
			for i := range 20 {
				o := esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}
				if i > 0 {
					o.ExpectedRevision = esdb.Revision(uint64(i - 1))
				}
				if _, err = c.AppendToStream(ctx, fmt.Sprintf("things-%d", w), o, events(1)...); err != nil {
					break
				}
			}
			failed <- err
		}()
	}
	for range 32 {
		require.NoError(t, <-failed)
	}
	require.Len(t, readAll(t, c, esdb.ReadAllOptions{From: esdb.Start{}}, 1000), 640)
}
