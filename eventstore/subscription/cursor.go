package subscription

import (
	"context"

	"daybook.example/eventstore"
)

// portion is how many events a cursor takes out of the window at a time.
const portion = 256

// A cursor is one subscription's place in a feed. It is its goroutine's own, but
// for what the feed's lock guards.
type cursor struct {
	feed *Feed
	pass func(context.Context, item) bool
	at   eventstore.Position // of the last event passed on

	window *window // nil while it reads alone
	next   uint64  // number of the entry to take next; guarded by the feed's lock
	told   news    // the last ones passed on,
	knows  bool    // if any were since it joined
	taken  []item
}

// run passes on what comes until ctx ends.
func (c *cursor) run(ctx context.Context) {
	defer context.AfterFunc(ctx, c.feed.wake)()
	for ctx.Err() == nil {
		if !c.feed.join(c) {
			c.readAlone(ctx)
		}
		if c.window != nil {
			c.share(ctx)
		}
	}
}

// share passes on what is in the window until ctx ends, or the cursor is left
// behind.
func (c *cursor) share(ctx context.Context) {
	defer c.feed.leave(c)
	for c.take(ctx) {
		for _, i := range c.taken {
			if !c.hand(ctx, i) {
				return
			}
		}
		clear(c.taken)
	}
}

// take waits for what comes next. News come when there is nothing else, but for the
// head, which comes before the events up to it.
func (c *cursor) take(ctx context.Context) bool {
	f, w := c.feed, c.window
	f.mu.Lock()
	defer f.mu.Unlock()
	c.taken = c.taken[:0]
	for len(c.taken) == 0 {
		switch {
		case ctx.Err() != nil || f.window != w || c.next < w.first:
			return false
		case c.next < w.next():
			c.takeHead()
			c.takePortion()
		case !c.knows || c.told != w.news:
			c.told, c.knows = w.news, true
			c.taken = append(c.taken, item{live: w.news.live, head: w.news.head})
		default:
			f.more.Wait()
		}
	}
	return true
}

// takeHead takes where the log ended when the window was opened, once.
func (c *cursor) takeHead() {
	if head := c.window.news.head; c.told.head != head {
		c.told.head = head
		c.taken = append(c.taken, item{live: c.knows && c.told.live, head: head})
	}
}

// takePortion takes entries, but for those before the place where it joined.
func (c *cursor) takePortion() {
	w := c.window
	entries := w.entries[c.next-w.first:]
	entries = entries[:min(portion, len(entries))]
	for _, e := range entries {
		if c.at.Less(e.event.Position) {
			c.taken = append(c.taken, e.item)
		}
	}
	c.next += uint64(len(entries))
	w.trim()
	c.feed.room.Broadcast()
}

// readAlone reads with a reader of its own until it can share.
func (c *cursor) readAlone(ctx context.Context) {
	c.feed.count(func(s *FeedStats) { s.Alone++; s.Detours++ })
	defer c.feed.count(func(s *FeedStats) { s.Alone-- })
	r := c.feed.reader(c.at, c.hand)
	r.enough = func() bool { return c.feed.join(c) }
	r.run(ctx)
}

// hand passes an item on.
func (c *cursor) hand(ctx context.Context, i item) bool {
	if !c.pass(ctx, i) {
		return false
	}
	if i.event != nil {
		c.at = i.event.Position
	}
	return true
}
