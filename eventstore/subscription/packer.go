package subscription

import (
	"context"
	"time"

	"daybook.example/eventstore"
)

// beat is how often a batch without events may be handed out, and how long
// nothing must come until a batch that is not full is handed out before the
// store has said that all is read (old stores never say it).
const beat = time.Second

// A packer makes batches of items while the handler works. Until all of the log
// has come it hands out full batches; from then on whatever is there as soon as
// the handler is free. No timer ever delays an event that is live.
type packer struct {
	config Config
	queue  []*Batch // at most config.Prefetch; only the last one grows
	to     eventstore.Position
	head   eventstore.Position

	live    bool
	quiet   bool // nothing came for a beat
	arrived bool // something came since the last beat
	mayMove bool // a batch without events may go

	moved   *time.Timer // runs while mayPass is not set
	mayPass bool        // a batch of which nothing is taken may go
}

func newPacker(c Config, from eventstore.Position) *packer {
	return &packer{config: c, to: from, head: from, mayMove: true, moved: stopped(), mayPass: true}
}

// stopped is a timer that does not run.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// run takes items and offers batches until ctx ends.
func (p *packer) run(ctx context.Context, items <-chan item, batches chan<- *Batch) {
	beats := time.NewTicker(beat)
	defer beats.Stop()
	defer p.moved.Stop()
	for {
		in, out, next := items, batches, p.next()
		if p.stuffed() {
			in = nil
		}
		if next == nil {
			out = nil
		}
		select {
		case i := <-in:
			p.take(i)
		case out <- next:
			p.queue = p.queue[1:]
			p.mayMove = p.mayMove && len(next.Events) > 0
			if !next.taken {
				p.mayPass = false
				p.moved.Reset(p.config.MoveEvery)
			}
		case <-p.moved.C:
			p.mayPass = true
		case <-beats.C:
			p.quiet, p.arrived, p.mayMove = !p.arrived, false, true
		case <-ctx.Done():
			return
		}
	}
}

// take adds an event, or notes the news.
func (p *packer) take(i item) {
	if i.event == nil {
		p.head = later(p.head, i.head)
		p.live = i.live
		return
	}
	p.arrived, p.quiet = true, false
	if n := len(p.queue); n == 0 || p.full(p.queue[n-1]) {
		p.queue = append(p.queue, &Batch{From: p.to})
	}
	last := p.queue[len(p.queue)-1]
	last.add(i)
	last.taken = last.taken || !i.event.System() && p.config.Takes(i.event.Type)
	p.to = i.event.Position
	p.head = later(p.head, p.to)
}

// stuffed reports whether enough is waiting for the handler.
func (p *packer) stuffed() bool {
	n := len(p.queue)
	return n >= p.config.Prefetch && p.full(p.queue[n-1])
}

func (p *packer) full(b *Batch) bool {
	return len(b.Events) >= p.maxEvents() || b.bytes >= p.config.MaxBytes
}

func (p *packer) maxEvents() int {
	switch {
	case p.config.MaxEvents > 0:
		return p.config.MaxEvents
	case p.live:
		return liveEvents
	}
	return catchUpEvents
}

// next is the batch that a handler may have now, nil for none.
func (p *packer) next() *Batch {
	if len(p.queue) == 0 {
		return nil
	}
	b := p.queue[0]
	switch {
	case len(p.queue) == 1 && !p.full(b) && !p.live && !p.quiet:
		return nil // it is still growing
	case len(b.Events) == 0 && !p.mayMove:
		return nil
	case !b.taken && !p.mayPass && len(p.queue) == 1 && !p.full(b):
		return nil // its checkpoint moves together with what comes
	}
	b.Head, b.Live = p.head, p.live && len(p.queue) == 1
	return b
}

func later(a, b eventstore.Position) eventstore.Position {
	if a.Less(b) {
		return b
	}
	return a
}
