package subscription

import (
	"context"
	"sort"

	"daybook.example/eventstore"
)

// tailShare is the share of a window's bounds that it keeps although all have had
// it, for those who join; comeback is how much of it a joiner may have before it.
const (
	tailShare = 8
	comeback  = 2
)

// A window is a stretch of the log and the reader that lengthens it. The feed's
// lock guards all of it.
type window struct {
	feed    *Feed
	from    eventstore.Position // all after it, up to the last entry, is in entries
	entries []entry
	first   uint64 // number of entries[0], counted from the opening
	dropped uint64 // bytes that were before entries[0]
	news    news
	cursors map[*cursor]struct{}

	end   context.CancelFunc // of the reader
	ended chan struct{}      // closed when it has
}

// An entry is an event, and all bytes up to it and with it since the opening.
type entry struct {
	item
	upTo uint64
}

// news are what the store said of the place that has been reached.
type news struct {
	live bool
	head eventstore.Position
}

// open makes a window that begins after a position, and has its reader start.
func (f *Feed) open(at eventstore.Position) *window {
	ctx, cancel := context.WithCancel(context.Background())
	w := &window{feed: f, from: at, cursors: map[*cursor]struct{}{}, end: cancel, ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		defer context.AfterFunc(ctx, f.wake)()
		f.reader(at, w.pass).run(ctx)
	}()
	return w
}

// pass takes in what the reader found. It waits while the window is full and
// everybody still has something to take.
func (w *window) pass(ctx context.Context, i item) bool {
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if i.event == nil {
		w.news = news{live: i.live, head: later(w.news.head, i.head)}
		f.more.Broadcast()
		return ctx.Err() == nil
	}
	size := uint64(len(i.event.Data) + len(i.event.Metadata))
	for w.isFull(size) && !w.isWanted() && ctx.Err() == nil {
		f.room.Wait()
	}
	if ctx.Err() != nil {
		return false
	}
	for w.isFull(size) {
		w.drop()
	}
	w.entries = append(w.entries, entry{item: i, upTo: w.dropped + w.bytes() + size})
	f.more.Broadcast()
	return true
}

func (w *window) bytes() uint64 {
	if n := len(w.entries); n > 0 {
		return w.entries[n-1].upTo - w.dropped
	}
	return 0
}

func (w *window) isFull(size uint64) bool {
	n := len(w.entries)
	return n > 0 && (n >= w.feed.maxEvents || w.bytes()+size > w.feed.maxBytes)
}

// isWanted reports whether some cursor has had everything.
func (w *window) isWanted() bool {
	for c := range w.cursors {
		if c.next == w.next() {
			return true
		}
	}
	return false
}

// next is the number of the entry that comes next.
func (w *window) next() uint64 { return w.first + uint64(len(w.entries)) }

// to is how far the window reaches.
func (w *window) to() eventstore.Position {
	if n := len(w.entries); n > 0 {
		return w.entries[n-1].event.Position
	}
	return w.from
}

// drop forgets the oldest entry. A cursor that has not had it is left behind.
func (w *window) drop() {
	w.from, w.dropped = w.entries[0].event.Position, w.entries[0].upTo
	w.entries[0] = entry{}
	w.entries = w.entries[1:]
	w.first++
}

// trim forgets what all have had, but for a tail.
func (w *window) trim() {
	needed := w.next()
	for c := range w.cursors {
		if c.next >= w.first {
			needed = min(needed, c.next)
		}
	}
	for w.first < needed && (len(w.entries) > w.feed.maxEvents/tailShare || w.bytes() > w.feed.maxBytes/tailShare) {
		w.drop()
	}
}

// after is the number of the first entry after a position. It is not ok for one
// that is too far back. A position ahead is: what comes before it is left out.
func (w *window) after(at eventstore.Position) (next uint64, ok bool) {
	if at.Less(w.from) {
		return 0, false
	}
	i := sort.Search(len(w.entries), func(i int) bool { return at.Less(w.entries[i].event.Position) })
	had := w.dropped
	if i > 0 {
		had = w.entries[i-1].upTo
	}
	ahead, bytes := len(w.entries)-i, w.dropped+w.bytes()-had
	i = min(i+w.feed.forgotten, len(w.entries))
	return w.first + uint64(i), ahead == 0 || ahead <= w.feed.maxEvents/comeback && bytes <= w.feed.maxBytes/comeback
}

// isFarBehind reports whether a position is so far ahead of what is being read
// that nobody who is there should wait for it. Positions count bytes.
func (w *window) isFarBehind(at eventstore.Position) bool {
	to := w.to()
	return !w.news.live && to.Less(at) && at.Commit-to.Commit > w.feed.maxBytes
}
