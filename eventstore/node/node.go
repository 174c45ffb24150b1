// Package node serves a log over the EventStoreDB gRPC protocol, so that the
// official clients talk to it as they would to a cluster. README.md says what
// it serves and what not.
package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"daybook.example/eventstore/log"
)

const (
	receiveMax    = 16 << 20         // bytes of one request message, as the original server takes
	pingInterval  = 10 * time.Second // how often an idle connection is asked for a sign of life
	pingsAtLeast  = 5 * time.Second  // clients ping every 10 s; a stricter node would cut them off
	prepareMax    = 30 * time.Second // for the first users
	socketPathMax = 107              // bytes: what a unix socket's address can hold
)

// Options of Start. Log is required, and at least one of Socket and Listen.
type Options struct {
	Log         *log.Log
	Socket      string       // path of a unix socket, where everything is allowed
	Listen      string       // TCP host:port, "" for none; port 0 picks a free one
	TLS         *tls.Config  // of the TCP port, which then asks for users; nil leaves it plaintext
	Password    string       // of the users admin and ops, who are made with it in a log that has no users
	AllowWrites bool         // over a plaintext TCP port too, to everyone
	Logger      *slog.Logger // slog.Default by default

	members func(asked context.Context) []*gossip.MemberInfo // of tests: a cluster of more than one
	hoards  bool                                             // of tests: readers hold what they like, however many there are
}

// Node is a running server. The log stays its owner's: close it after the node.
type Node struct {
	server  *grpc.Server
	serving sync.WaitGroup // one for each listener: a server closed before it served leaves its socket to that
	groups  *groups
	address string
	closing chan struct{}
	close   sync.Once
}

// Start serves a log and is listening when it returns.
func Start(o Options) (*Node, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if err := o.prepareUsers(); err != nil {
		return nil, err
	}
	listeners, err := o.listen()
	if err != nil {
		return nil, err
	}
	n := &Node{closing: make(chan struct{})}
	s := &service{
		log: o.Log, logger: o.Logger, users: newUsers(o.Log), secure: o.TLS != nil, allowWrites: o.AllowWrites,
		closing: n.closing, patience: stalledAfter,
	}
	if o.hoards {
		s.patience, s.readers.hoard = math.MaxInt64, true
	}
	if n.groups, err = openGroups(s); err != nil {
		return nil, errors.Join(err, closeAll(listeners))
	}
	n.server = newServer(s, n.groups, &members{id: o.Log.ID(), all: o.members})
	for _, listener := range listeners {
		if tcp, ok := listener.Addr().(*net.TCPAddr); ok {
			n.address = tcp.String()
			warnAbout(tcp, o)
			if o.TLS != nil {
				listener = tls.NewListener(listener, overHTTP2(o.TLS))
			}
		}
		n.serving.Go(func() {
			if err := n.server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				o.Logger.Error("the node stopped listening", "address", listener.Addr().String(), "error", err)
			}
		})
	}
	return n, nil
}

// Addr is the TCP address, "" without one.
func (n *Node) Addr() string { return n.address }

// Close lets running calls end: subscriptions and long reads are told that the
// node shuts down. What has not ended with the context is cut off. It returns
// when no call uses the log any more.
func (n *Node) Close(ctx context.Context) error {
	n.close.Do(func() { close(n.closing) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.server.GracefulStop()
		n.serving.Wait()
	}()
	defer n.groups.close()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		n.server.Stop()
		<-done
		return fmt.Errorf("close the node: calls had to be cut off: %w", ctx.Err())
	}
}

func newServer(s *service, g *groups, m *members) *grpc.Server {
	server := grpc.NewServer(append(s.interceptors(),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(receiveMax),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingInterval, Timeout: pingInterval}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsAtLeast, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
		grpc.UnknownServiceHandler(notServed),
	)...)
	streams.RegisterStreamsServer(server, s)
	persistent.RegisterPersistentSubscriptionsServer(server, g)
	gossip.RegisterGossipServer(server, m)
	serverfeatures.RegisterServerFeaturesServer(server, features{})
	return server
}

// notServed answers calls of the services that this node leaves out.
func notServed(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	return status.Errorf(codes.Unimplemented, "%s is not served by this node: it serves Streams, PersistentSubscriptions, Gossip and ServerFeatures", method)
}

// prepareUsers makes sure that a port which asks for users has some.
func (o Options) prepareUsers() error {
	ctx, cancel := context.WithTimeout(context.Background(), prepareMax)
	defer cancel()
	if o.Password != "" {
		return addDefaultUsers(ctx, o.Log, o.Password)
	}
	if o.TLS != nil && o.Log.Stream(UsersStream).Head < 0 {
		return errors.New("a node with TLS asks for users, and the log has none: give the password that the first ones, admin and ops, shall have")
	}
	return nil
}

// overHTTP2 is a TLS configuration that speaks the protocol of gRPC.
func overHTTP2(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.NextProtos = []string{"h2"}
	return c
}

func (o Options) listen() (listeners []net.Listener, err error) {
	if o.Socket == "" && o.Listen == "" {
		return nil, errors.New("the node has nowhere to listen: give it a socket or an address")
	}
	if o.Listen != "" {
		tcp, err := net.Listen("tcp", o.Listen)
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("listen on %s: the port is taken; choose another with --node-listen (port 0 picks a free one)", o.Listen)
		}
		if err != nil {
			return nil, fmt.Errorf("listen where --node-listen says: %w", err)
		}
		listeners = append(listeners, tcp)
	}
	if o.Socket != "" {
		socket, err := listenOnSocket(o.Socket)
		if err != nil {
			return nil, errors.Join(err, closeAll(listeners))
		}
		listeners = append(listeners, socket)
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) (err error) {
	for _, listener := range listeners {
		err = errors.Join(err, listener.Close())
	}
	return err
}

// listenOnSocket takes the place of a socket that a crash left behind, but
// never of one that somebody still serves.
func listenOnSocket(path string) (net.Listener, error) {
	if len(path) > socketPathMax {
		return nil, fmt.Errorf("listen on the unix socket %s: its path has %d bytes, the system takes %d; choose a shorter folder", path, len(path), socketPathMax)
	}
	if held, err := net.Dial("unix", path); err == nil {
		return nil, errors.Join(fmt.Errorf("listen on the unix socket %s: another process serves it; stop it first", path), held.Close())
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the unix socket that a crash left behind: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on a unix socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("keep others from the unix socket: %w", err), listener.Close())
	}
	return listener, nil
}

func warnAbout(address *net.TCPAddr, o Options) {
	if o.TLS != nil {
		return
	}
	if !address.IP.IsLoopback() {
		o.Logger.Warn("whoever reaches this address can read every event, without authentication", "address", address.String())
	}
	if o.AllowWrites {
		o.Logger.Warn("whoever reaches this address can append and delete, without authentication", "address", address.String())
	}
}
