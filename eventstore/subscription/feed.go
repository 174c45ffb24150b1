package subscription

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"daybook.example/eventstore"
)

// Defaults of FeedConfig.
const (
	windowEvents = 16_384
	windowBytes  = 32 << 20
)

// FeedConfig of a Feed. Client is required.
type FeedConfig struct {
	Client *eventstore.Client

	// Decode is as in Config, for all subscriptions of the feed: it is asked once
	// about each event that they share.
	Decode func(eventstore.Recorded) (any, error)

	// MaxEvents and MaxBytes (of data and metadata) bound what is held ready for the
	// subscriptions, together: 16,384 and 32 MiB by default. Batches that were packed
	// for a handler come on top, see Config.Prefetch. An event that is larger than
	// MaxBytes is held alone.
	MaxEvents, MaxBytes int

	Logger *slog.Logger // slog.Default by default
}

func (c *FeedConfig) complete() error {
	if c.Client == nil {
		return errors.New("subscription: a feed needs a Client")
	}
	if c.MaxEvents <= 0 {
		c.MaxEvents = windowEvents
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = windowBytes
	}
	if c.Decode == nil {
		c.Decode = decodeNothing
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

// A Feed reads and decodes the log once for all subscriptions that name it in
// their Config. Each of them gets every event, in order, as without it, in
// batches of its own and at its own pace.
//
// The feed holds the newest stretch of what it has read, its window. The furthest
// subscription sets the pace: the feed reads on when there is room, or when some
// subscription has had everything. So one whose handler is slow, or halted, holds
// up nobody: what it needs falls out of the window, it reads on alone from where
// it is, and shares again when it has come into the newer half of the window.
// One that begins far ahead of what the feed is reading takes the feed with it.
//
// What is decoded is shared: handlers must not change a Batch's events, the bytes
// in them, or what Decode made of them. The slices of a Batch are its own.
//
// A feed reads while somebody subscribes and holds nothing otherwise, so there is
// nothing to close. It comes back by itself when the store was away.
type Feed struct {
	config Config // of its readers

	maxEvents int
	maxBytes  uint64
	forgotten int // entries skipped at a seam: none, but in the control of the tests

	mu         sync.Mutex // guards all below, windows and the joining of cursors
	window     *window    // nil while nobody shares
	more, room *sync.Cond // something came; something was taken
	stats      FeedStats
}

// FeedStats says how a feed is doing.
type FeedStats struct {
	Events, Bytes  int    // held ready now
	Sharing, Alone int    // subscriptions that share what is read, and that read alone
	Detours        uint64 // times that one was behind the window and began to read alone
	Reconnects     uint64 // times that the store was away from a reader
}

// NewFeed makes a feed. The client stays its caller's to close, after the
// subscriptions.
func NewFeed(c FeedConfig) (*Feed, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	f := &Feed{
		config:    Config{Client: c.Client, Decode: c.Decode, Logger: c.Logger},
		maxEvents: c.MaxEvents,
		maxBytes:  uint64(c.MaxBytes),
	}
	f.more, f.room = sync.NewCond(&f.mu), sync.NewCond(&f.mu)
	return f, nil
}

// Stats are the present ones.
func (f *Feed) Stats() FeedStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	stats := f.stats
	if w := f.window; w != nil {
		stats.Events, stats.Bytes = len(w.entries), int(w.bytes())
		for c := range w.cursors {
			if c.next >= w.first {
				stats.Sharing++
			}
		}
	}
	return stats
}

// join lets a cursor share from its place on. It reports false where that is
// behind the newer half of the window: there it would be left behind again at
// once.
func (f *Feed) join(c *cursor) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.window != nil && f.window.isFarBehind(c.at) {
		f.window.end() // its cursors read alone until they are here
		f.window = nil
	}
	if f.window == nil {
		f.window = f.open(c.at)
	}
	next, ok := f.window.after(c.at)
	if !ok {
		return false
	}
	c.window, c.next, c.knows = f.window, next, false
	f.window.cursors[c] = struct{}{}
	f.room.Broadcast() // it may want more than is there
	return true
}

// leave takes a cursor out of its window. With the last one the reading ends; it
// has ended when leave returns.
func (f *Feed) leave(c *cursor) {
	f.mu.Lock()
	w := c.window
	c.window = nil
	delete(w.cursors, c)
	last := len(w.cursors) == 0
	if last {
		w.end()
		if f.window == w {
			f.window = nil
		}
	} else {
		w.trim()
	}
	f.mu.Unlock()
	if last {
		<-w.ended
	}
}

// wake lets all who wait look whether their context has ended.
func (f *Feed) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.more.Broadcast()
	f.room.Broadcast()
}

// count changes the statistics.
func (f *Feed) count(change func(*FeedStats)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.stats)
}

// reader makes a reader of the feed's that reads after a position.
func (f *Feed) reader(at eventstore.Position, pass func(context.Context, item) bool) *reader {
	return &reader{config: f.config, at: at, pass: pass, lost: func() { f.count(func(s *FeedStats) { s.Reconnects++ }) }}
}
