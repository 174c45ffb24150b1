package node_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
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
	"google.golang.org/grpc/credentials"
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

	elsewhere *esdb.Configuration // of an event store that is not ours, which has neither of the above
	run       string              // what the names of its streams begin with
}

// start starts a node of ours. Its tests reach into it, or hold for it alone.
func start(t testing.TB, change ...func(*node.Options)) *server {
	t.Helper()
	if os.Getenv(endpoint) != "" {
		t.Skip("holds for the node of this module, or needs one of its own")
	}
	dir, err := os.MkdirTemp("", "node") // t.TempDir's paths are too long for a socket
	require.NoError(t, err)
	s := &server{t: t, dir: dir, run: uuid.NewString()[:8]}
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

// endpoint names the event store that the tests are put to which hold for any.
const endpoint = "DAYBOOK_TEST_EVENTSTORE"

// anywhere is that event store, or else a node of ours. It may hold other streams,
// and tests beside this one write to it.
func anywhere(t testing.TB) *server {
	t.Helper()
	url := os.Getenv(endpoint)
	if url == "" {
		return start(t)
	}
	config, err := esdb.ParseConnectionString(url)
	require.NoError(t, err)
	config.Logger = esdb.NoopLogging()
	return &server{t: t, elsewhere: config, run: uuid.NewString()[:8]}
}

// alone is the same for a test that nobody else may write beside.
func alone(t *testing.T) *server {
	t.Helper()
	if os.Getenv(endpoint) == "" {
		t.Parallel() // each has its own
	}
	return anywhere(t)
}

// end is where the event store ends before a test writes to it.
func (s *server) end() esdb.AllPosition {
	s.t.Helper()
	if s.elsewhere == nil {
		return esdb.Start{} // it is empty
	}
	last := readAll(s.t, s.client(), esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1)
	if len(last) == 0 {
		return esdb.Start{}
	}
	return last[0].OriginalEvent().Position
}

// stream is a name that no other test has.
func (s *server) stream(name string) string { return s.run + "/" + name }

// client is the official one, over the unix socket of a node of ours.
func (s *server) client() *esdb.Client {
	s.t.Helper()
	if s.elsewhere != nil {
		return s.clientOf(s.elsewhere)
	}
	return s.dial("unix://" + s.options.Socket)
}

func (s *server) dial(address string) *esdb.Client {
	s.t.Helper()
	config, err := esdb.ParseConnectionString("esdb://localhost:2113?tls=false")
	require.NoError(s.t, err)
	config.Address = address
	config.MaxDiscoverAttempts = math.MaxInt
	config.Logger = esdb.NoopLogging()
	return s.clientOf(config)
}

func (s *server) clientOf(config *esdb.Configuration) *esdb.Client {
	s.t.Helper()
	client, err := esdb.NewClient(config)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = client.Close() })
	return client
}

// raw is a connection for requests that the official client does not send.
func (s *server) raw() *grpc.ClientConn {
	s.t.Helper()
	if s.elsewhere != nil {
		return s.connectTo(s.elsewhere.Address, transportOf(s.elsewhere)...)
	}
	return s.connect("unix://" + s.options.Socket)
}

func (s *server) connect(address string) *grpc.ClientConn {
	s.t.Helper()
	return s.connectTo(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// transportOf is how a connection string wants to be spoken to.
func transportOf(c *esdb.Configuration) []grpc.DialOption {
	if c.DisableTLS {
		return []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: c.RootCAs, InsecureSkipVerify: c.SkipCertificateVerification})),
		grpc.WithPerRPCCredentials(basic{c.Username, c.Password}),
	}
}

// basic is the authentication by name and password that the official client sends.
type basic struct{ login, password string }

func (b basic) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(b.login+":"+b.password))}, nil
}

func (basic) RequireTransportSecurity() bool { return true }

func (s *server) connectTo(address string, options ...grpc.DialOption) *grpc.ClientConn {
	s.t.Helper()
	connection, err := grpc.NewClient(address, options...)
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

func readAll(t testing.TB, c *esdb.Client, o esdb.ReadAllOptions, count uint64) []*esdb.ResolvedEvent {
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
