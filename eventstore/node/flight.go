package node

import (
	"context"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/mem"
)

const (
	shareAll   = 4 << 20  // bytes for all readers together
	shareMost  = 64 << 10 // of them for one, as much as gRPC lets wait by itself
	shareLeast = 4 << 10  // with more than a thousand readers
)

// readers share the memory that holds what they do not take. A few of them get
// all that makes them fast; of a thousand each gets little.
type readers struct {
	count atomic.Int64
	hoard bool // all get as much as one does
}

// share is what one page for one reader may have, and what may be in flight to
// it, or one event.
func (r *readers) share() int {
	if r.hoard {
		return shareMost
	}
	return int(max(min(shareAll/max(r.count.Load(), 1), shareMost), shareLeast))
}

// inFlight counts what one call was given to send and has not written yet.
type inFlight struct {
	room chan struct{} // tells the one who waits

	mu      sync.Mutex
	bytes   int
	wakeAt  int
	waiting bool
}

func newInFlight() *inFlight { return &inFlight{room: make(chan struct{}, 1)} }

// take waits until there is room: limit bytes, or one event.
func (f *inFlight) take(ctx context.Context, size, limit int) error {
	for !f.tryTake(size, limit) {
		select {
		case <-f.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (f *inFlight) tryTake(size, limit int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting = f.bytes > 0 && f.bytes+size > limit; f.waiting {
		f.wakeAt = limit / 2
		return false
	}
	f.bytes += size
	return true
}

// give makes room. Who waits is woken when half of it is free: waking for each
// event would cost more than sending it.
func (f *inFlight) give(size int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes -= size
	if f.waiting && f.bytes <= f.wakeAt {
		f.waiting = false
		f.room <- struct{}{}
	}
}

// A flying message tells when gRPC is done with it.
type flying struct {
	mem.SliceBuffer
	refs atomic.Int32
	from *inFlight
}

func newFlying(b wire, from *inFlight) *flying {
	f := &flying{SliceBuffer: mem.SliceBuffer(b), from: from}
	f.refs.Store(1)
	return f
}

// Ref is called for everyone who goes on to hold the message.
func (f *flying) Ref() { f.refs.Add(1) }

// Free is called by each of them when done.
func (f *flying) Free() {
	if f.refs.Add(-1) == 0 {
		f.from.give(len(f.SliceBuffer))
	}
}
