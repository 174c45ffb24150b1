package log

import (
	"sync"
	"sync/atomic"
	"time"
)

// A guard watches the free space, so that appends stop before the disk is full
// and go on by themselves when there is room again.
type guard struct {
	low  atomic.Bool
	done chan struct{}
	wait sync.WaitGroup
}

const guardEvery = 500 * time.Millisecond

func startGuard(o Options) *guard {
	g := &guard{done: make(chan struct{})}
	g.look(o)
	g.wait.Go(func() {
		for {
			select {
			case <-g.done:
				return
			case <-time.After(guardEvery):
				g.look(o)
			}
		}
	})
	return g
}

func (g *guard) look(o Options) {
	free, err := o.free()
	low := err == nil && free < o.FreeSpaceMin
	if g.low.Swap(low) != low {
		o.Logger.Warn("free space for the log", "enough", !low, "bytes", free)
	}
}

func (g *guard) close() {
	close(g.done)
	g.wait.Wait()
}
