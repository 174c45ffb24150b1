// Package network puts a network between a client and its server that can be made
// a bad one: it cuts, delays, stands half-open and resets in the middle of an
// answer.
package network

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	slow    = 10 * time.Millisecond
	pause   = 20 * time.Millisecond
	chunk   = 16 << 10
	lookGap = time.Millisecond
)

// A Network is a listener on loopback that carries bytes to a server and back.
type Network struct {
	listener net.Listener
	dial     func() (net.Conn, error)
	delay    atomic.Int64
	halfOpen atomic.Bool // connections stand, and nothing comes through

	mu    sync.Mutex
	ends  map[net.Conn]bool
	moves sync.WaitGroup
}

// To opens a network in front of the server at an address of a kind that net.Dial
// knows: "unix" or "tcp".
func To(kind, address string) (*Network, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &Network{listener: listener, ends: map[net.Conn]bool{}, dial: func() (net.Conn, error) { return net.Dial(kind, address) }}
	n.moves.Go(n.serve)
	return n, nil
}

// Addr is where clients reach the server: host and port.
func (n *Network) Addr() string { return n.listener.Addr().String() }

// Close ends the network with all that is on it.
func (n *Network) Close() error {
	err := n.listener.Close()
	n.halfOpen.Store(false)
	n.Cut()
	n.moves.Wait()
	return err
}

func (n *Network) serve() {
	for {
		near, err := n.listener.Accept()
		if err != nil {
			return
		}
		far, err := n.dial()
		if err != nil {
			_ = near.Close()
			continue
		}
		n.mu.Lock()
		n.ends[near], n.ends[far] = true, true
		n.mu.Unlock()
		n.moves.Go(func() { n.move(near, far) })
		n.moves.Go(func() { n.move(far, near) })
	}
}

// move carries bytes one way, as long as both ends stand.
func (n *Network) move(from, to net.Conn) {
	defer n.drop(from, to)
	buffer := make([]byte, chunk)
	for {
		read, err := from.Read(buffer)
		if err != nil {
			return
		}
		time.Sleep(time.Duration(n.delay.Load()))
		for n.halfOpen.Load() {
			time.Sleep(lookGap)
		}
		if _, err := to.Write(buffer[:read]); err != nil {
			return
		}
	}
}

func (n *Network) drop(ends ...net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, end := range ends {
		_ = end.Close()
		delete(n.ends, end)
	}
}

// Cut resets all connections, whatever is on its way.
func (n *Network) Cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for end := range n.ends {
		if tcp, ok := end.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = end.Close()
	}
}

// Connections are how many there are.
func (n *Network) Connections() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.ends) / 2
}

// Fail does one thing that networks do, and is well again.
func (n *Network) Fail() {
	switch rand.IntN(4) {
	case 0:
		n.Cut()
	case 1: // slow
		n.delay.Store(int64(slow / 2))
		time.Sleep(pause)
	case 2: // reset with answers on their way
		n.delay.Store(int64(slow))
		time.Sleep(pause)
		n.Cut()
	case 3: // half-open, until someone notices
		n.halfOpen.Store(true)
		time.Sleep(pause)
		n.Cut()
		n.halfOpen.Store(false)
	}
	n.delay.Store(0)
}
