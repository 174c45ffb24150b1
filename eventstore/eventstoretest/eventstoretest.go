// Package eventstoretest starts the real embedded node for tests.
package eventstoretest

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/eventstore/log"
	"daybook.example/eventstore/node"
)

// Quiet drops what it is given to log.
var Quiet = slog.New(slog.DiscardHandler)

// patience is how long a stop may take before a test fails.
const patience = 10 * time.Second

// Node is an embedded node that can be stopped and started again. Its socket
// stays the same.
type Node struct {
	Socket string

	t    testing.TB
	dir  string
	log  *log.Log
	node *node.Node
}

// Start starts a node on an empty log. The test's end stops it.
func Start(t testing.TB) *Node {
	t.Helper()
	dir, err := os.MkdirTemp("", "daybook") // t.TempDir would be too long for a socket
	require.NoError(t, err)
	n := &Node{Socket: filepath.Join(dir, "node.sock"), t: t, dir: dir}
	n.Start()
	t.Cleanup(func() {
		n.Stop()
		_ = os.RemoveAll(dir)
	})
	return n
}

// Start starts the node again on the same log.
func (n *Node) Start() {
	n.t.Helper()
	var err error
	n.log, err = log.Open(log.Options{Dir: filepath.Join(n.dir, "log"), FreeSpaceMin: 1, Logger: Quiet})
	require.NoError(n.t, err)
	n.node, err = node.Start(node.Options{Log: n.log, Socket: n.Socket, Listen: "127.0.0.1:0", Logger: Quiet})
	require.NoError(n.t, err)
}

// Stop stops the node, if it runs.
func (n *Node) Stop() {
	n.t.Helper()
	if n.node == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(n.t, n.node.Close(ctx))
	require.NoError(n.t, n.log.Close())
	n.node = nil
}

// Log is the log of the running node.
func (n *Node) Log() *log.Log { return n.log }

// URL is the address of the running node's TCP port, which serves reads only.
func (n *Node) URL() string { return "esdb://" + n.node.Addr() + "?tls=false" }

// Connect makes a client of the node, which the test's end closes.
func (n *Node) Connect() *eventstore.Client {
	n.t.Helper()
	return n.ConnectBy(eventstore.Options{Socket: n.Socket})
}

// ConnectBy makes a client by options, which the test's end closes.
func (n *Node) ConnectBy(o eventstore.Options) *eventstore.Client {
	n.t.Helper()
	o.Logger = Quiet
	client, err := eventstore.Connect(o)
	require.NoError(n.t, err)
	n.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = client.Close(ctx)
	})
	return client
}
