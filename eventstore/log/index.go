package log

import (
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// placeStride is how far apart the known event positions are, in bytes: a read
// from any position walks at most so far before it finds its event.
const placeStride = 16 << 10

// An index knows where every event stands. The log alone is the truth: the index
// is rebuilt from it whenever its snapshot is missing or damaged, and every
// record read through it is checked against what the index promised.
type index struct {
	mu      sync.RWMutex
	streams map[string]*stream
	places  []uint64 // some event positions, ascending
	end     uint64   // behind the last durable group
	head    uint64   // position of the last event, 0 without
	headCRC uint32   // and its record's checksum
	changed chan struct{}
}

// A stream knows its events. Those beyond seen are not durable yet and the
// writer's own business.
type stream struct {
	name   string
	events []event // by revision; only what is seen
	seen   state   // what readers may know
	next   state   // what the writer decides by; differs while a group is in flight

	revisions map[uint64]int64 // by hash of the event ID, made when a long stream is first asked
	hashed    int              // how many events are in it
}

type event struct {
	at   uint64
	hash uint64 // of the ID
}

type state struct {
	count     int64
	meta      metadata
	tombstone uint64 // its position
}

func newIndex() *index { return &index{streams: map[string]*stream{}} }

// stream finds what is known of a stream, nil for nothing.
func (x *index) stream(name string) *stream {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.streams[name]
}

// enter finds or makes a stream.
func (x *index) enter(name string) *stream {
	if s := x.stream(name); s != nil {
		return s
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.make(name)
}

// make finds or makes a stream, with the lock held or before anyone reads.
func (x *index) make(name string) *stream {
	s := x.streams[name]
	if s == nil {
		name = strings.Clone(name) // never hold on to a caller's buffer
		s = &stream{name: name}
		x.streams[name] = s
	}
	return s
}

// A sight is one stream as readers may see it at one moment.
type sight struct {
	state
	events []event
}

func (x *index) look(name string) (s sight, end uint64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if found := x.streams[name]; found != nil {
		s = sight{found.seen, found.events}
	}
	return s, x.end
}

// note enters an event read from the log while the index is being built.
func (x *index) note(v view) {
	s := x.make(string(v.stream))
	if v.revision == tombstoneAfter {
		s.seen.tombstone = v.at
	} else {
		s.events = append(s.events, event{v.at, hashID(v.id)})
		s.seen.count++
	}
	s.next = s.seen
	if original, ok := describes(s.name); ok && string(v.kind) == metadataType {
		o := x.make(original)
		o.seen.meta = parseMetadata(v.data())
		o.seen.meta.at = v.at
		o.next = o.seen
	}
	x.advance(v.at, v.crc)
}

func (x *index) advance(at uint64, crc uint32) {
	x.head, x.headCRC = at, crc
	if len(x.places) == 0 || at >= x.places[len(x.places)-1]+placeStride {
		x.places = append(x.places, at)
	}
}

// fits tells whether a record read from the log is what the index expects next.
func (x *index) fits(v view) bool {
	s := x.streams[string(v.stream)]
	switch {
	case s == nil:
		return v.revision == 0 || v.revision == tombstoneAfter
	case s.seen.tombstone != 0:
		return false
	}
	return v.revision == s.seen.count || v.revision == tombstoneAfter
}

func (x *index) setEnd(end uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.end = end
}

// extent tells how far the log can be read and where its last event stands.
func (x *index) extent() (end, head uint64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.end, x.head
}

// placeBefore finds a known event at or before a position, or the log's first.
func (x *index) placeBefore(at uint64) uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	i, found := slices.BinarySearch(x.places, at)
	if !found {
		i--
	}
	if i < 0 {
		return pageSize
	}
	return x.places[i]
}

// watch returns the channel that the next publication closes.
func (x *index) watch() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.changed == nil {
		x.changed = make(chan struct{})
	}
	return x.changed
}

func (x *index) wake() {
	if x.changed != nil {
		close(x.changed)
		x.changed = nil
	}
}

// hashID spreads an event ID over 64 bits. Equal hashes are confirmed by reading the record.
func hashID(id uuid.UUID) uint64 {
	return le.Uint64(id[:])*0x9E3779B97F4A7C15 ^ le.Uint64(id[8:])
}

const scanMax = 64 // up to so many events a stream's hashes are searched one by one

// byHash finds the last revision whose event ID has a hash.
func (s *stream) byHash(hash uint64) (revision int64, found bool) {
	if len(s.events) <= scanMax {
		for i := len(s.events) - 1; i >= 0; i-- {
			if s.events[i].hash == hash {
				return int64(i), true
			}
		}
		return 0, false
	}
	if s.revisions == nil {
		s.revisions = make(map[uint64]int64, 2*len(s.events))
	}
	for ; s.hashed < len(s.events); s.hashed++ {
		s.revisions[s.events[s.hashed].hash] = int64(s.hashed)
	}
	revision, found = s.revisions[hash]
	return revision, found
}
