package projections

import (
	"context"
	"errors"
	"sync"
)

// ErrHalted says that a projection will not come further before somebody acts.
var ErrHalted = errors.New("the projection is halted")

// WaitFor returns when everything up to position is committed. A halted
// projection is ErrHalted at once, a paused one ErrPaused.
func (r *Runner) WaitFor(ctx context.Context, position Position) error {
	for {
		now, changed := r.status.read()
		switch {
		case !now.Position.Less(position):
			return nil
		case now.State == Halted:
			return ErrHalted
		case now.State == Paused:
			return ErrPaused
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A board shows a status to all who look, and tells those who wait of a change.
type board struct {
	mu      sync.Mutex
	now     Status
	changed chan struct{} // closed and replaced by each change
	metrics *Metrics
	tell    func()
}

func (b *board) open(first Status, o Options) {
	b.now, b.changed, b.metrics, b.tell = first, make(chan struct{}), o.Metrics, o.Changed
	o.Metrics.show(first)
}

func (b *board) read() (Status, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now, b.changed
}

func (b *board) change(edit func(*Status)) {
	if b.tell != nil {
		defer b.tell()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.now.State
	edit(&b.now)
	close(b.changed)
	b.changed = make(chan struct{})
	if b.now.State != was {
		b.metrics.show(b.now)
	}
}
