package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"daybook.example/eventstore/log"
	"daybook.example/eventstore/node"
)

// A server is a node over a log of its own, on a unix socket and a TCP port.
type server struct {
	t       testing.TB
	dir     string
	options node.Options
	spare   int64 // bytes that must be free on the disk
	log     *log.Log
	node    *node.Node
}

func start(t testing.TB, change ...func(*node.Options)) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "node") // t.TempDir's paths are too long for a socket
	require.NoError(t, err)
	s := &server{t: t, dir: dir}
	s.options = node.Options{
		Socket: filepath.Join(dir, "node.sock"), Listen: "127.0.0.1:0",
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, f := range change {
		f(&s.options)
	}
	s.open()
	t.Cleanup(func() {
		s.close()
		require.NoError(t, os.RemoveAll(dir))
	})
	return s
}

func (s *server) open() {
	s.t.Helper()
	var err error
	s.log, err = log.Open(log.Options{Dir: filepath.Join(s.dir, "log"), SegmentFirst: 1 << 20, SegmentMax: 4 << 20, FreeSpaceMin: s.spare, Logger: s.options.Logger})
	require.NoError(s.t, err)
	s.options.Log = s.log
	s.node, err = node.Start(s.options)
	require.NoError(s.t, err)
}

// close stops the node as a program does that is in no hurry, but not for ever.
func (s *server) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_ = s.node.Close(ctx)
	require.NoError(s.t, s.log.Close())
}

// client is the official one, over the unix socket.
func (s *server) client() *esdb.Client {
	return s.dial("unix://" + s.options.Socket)
}

func (s *server) dial(address string) *esdb.Client {
	s.t.Helper()
	config, err := esdb.ParseConnectionString("esdb://localhost:2113?tls=false")
	require.NoError(s.t, err)
	config.Address = address
	config.MaxDiscoverAttempts = math.MaxInt
	config.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(config)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = client.Close() })
	return client
}

// raw is a connection for requests that the official client does not send.
func (s *server) raw() *grpc.ClientConn {
	s.t.Helper()
	return s.connect("unix://" + s.options.Socket)
}

func (s *server) connect(address string) *grpc.ClientConn {
	s.t.Helper()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = connection.Close() })
	return connection
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func events(n int) (all []esdb.EventData) {
	for i := range n {
		all = append(all, event("thing-happened", fmt.Sprintf(`{"n":%d}`, i)))
	}
	return all
}

func event(kind, data string) esdb.EventData {
	return esdb.EventData{EventID: uuid.New(), EventType: kind, ContentType: esdb.ContentTypeJson, Data: []byte(data)}
}

func appendTo(t *testing.T, c *esdb.Client, stream string, expected esdb.ExpectedRevision, all ...esdb.EventData) *esdb.WriteResult {
	t.Helper()
	written, err := c.AppendToStream(within(t), stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, all...)
	require.NoError(t, err)
	return written
}

func codeOf(t *testing.T, err error) esdb.ErrorCode {
	t.Helper()
	wrapped, ok := errors.AsType[*esdb.Error](err)
	require.True(t, ok, "%v", err)
	return wrapped.Code()
}

func readStream(t *testing.T, c *esdb.Client, stream string, o esdb.ReadStreamOptions) ([]*esdb.ResolvedEvent, error) {
	t.Helper()
	read, err := c.ReadStream(within(t), stream, o, math.MaxUint64)
	require.NoError(t, err)
	return collect(read)
}

func readAll(t *testing.T, c *esdb.Client, o esdb.ReadAllOptions, count uint64) []*esdb.ResolvedEvent {
	t.Helper()
	read, err := c.ReadAll(within(t), o, count)
	require.NoError(t, err)
	all, err := collect(read)
	require.NoError(t, err)
	return all
}

func collect(read *esdb.ReadStream) (all []*esdb.ResolvedEvent, err error) {
	defer read.Close()
	for {
		resolved, err := read.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, resolved)
	}
}

func revisions(all []*esdb.ResolvedEvent) (numbers []uint64) {
	for _, e := range all {
		numbers = append(numbers, e.OriginalEvent().EventNumber)
	}
	return numbers
}
