package node

import (
	"sync"
	"time"

	"daybook.example/eventstore/log"
)

// stalledAfter is how long a reader may take over one page before the node lets
// go of what it did not take.
const stalledAfter = 100 * time.Millisecond

// A page is what one reader is being given. Who stalls at it would hold its
// memory for as long as it likes, and there may be thousands of them: so the
// rest is let go, and read again from the log when the reader goes on.
type page struct {
	clock *time.Timer

	mu    sync.Mutex
	rest  []log.Record
	last  log.Record // given last, without its bytes
	given int
	short bool // some of it was let go
}

func newPage(records []log.Record, patience time.Duration) *page {
	p := &page{rest: records}
	if len(records) > 1 {
		p.clock = time.AfterFunc(patience, p.letGo)
	}
	return p
}

func (p *page) letGo() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.given > 0 && len(p.rest) > 0 { // one at least, so that every page brings its reader on
		p.rest, p.short = nil, true
	}
}

// next gives each record once, and keeps nothing of it.
func (p *page) next() (log.Record, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.rest) == 0 {
		return log.Record{}, false
	}
	r := p.rest[0]
	p.rest[0], p.rest = log.Record{}, p.rest[1:]
	p.last = log.Record{Position: r.Position, Revision: r.Revision}
	p.given++
	return r, true
}

// done stops the clock and tells whether all of the page was given.
func (p *page) done() (all bool) {
	if p.clock != nil {
		p.clock.Stop()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = nil
	return !p.short
}
