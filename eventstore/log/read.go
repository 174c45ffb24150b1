package log

import (
	"context"
	"errors"
	"slices"
	"sort"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
)

// Record is a stored event, checked against its checksum.
type Record struct {
	Position uint64
	Stream   string
	Revision int64
	ID       uuid.UUID
	Type     string
	Created  time.Time
	Event    []byte // serialized RecordedEvent, with the ID structured; the caller's to keep
}

// Decode unpacks the serialized event.
func (r Record) Decode() (*streams.ReadResp_ReadEvent_RecordedEvent, error) {
	event := &streams.ReadResp_ReadEvent_RecordedEvent{}
	return event, proto.Unmarshal(r.Event, event)
}

// Direction is the way a read goes.
type Direction int

// Directions of a read.
const (
	Forwards Direction = iota
	Backwards
)

// StreamState is what the log knows of a stream without reading it.
type StreamState struct {
	Exists     bool  // it has events and is not deleted
	Head       int64 // its last revision, deleted or not; -1 = never had an event
	Deleted    bool  // soft-deleted
	Tombstoned bool  // deleted for ever
	First      int64 // the first revision that $tb and $maxCount leave readable
}

// Stream tells the state of a stream.
func (l *Log) Stream(stream string) StreamState {
	s, _ := l.index.look(stream)
	return StreamState{
		Exists:     s.count > 0 && !s.meta.deleted() && s.tombstone == 0,
		Head:       s.count - 1,
		Deleted:    s.meta.deleted(),
		Tombstoned: s.tombstone != 0,
		First:      s.first(stream),
	}
}

// first is the first revision that $tb and $maxCount leave readable. A
// metadata stream keeps its last event only.
func (s sight) first(stream string) int64 {
	keep := s.meta.maxCount
	if _, ok := describes(stream); ok && keep == 0 {
		keep = 1
	}
	first := s.meta.truncateBefore
	if keep > 0 {
		first = max(first, s.count-keep)
	}
	return min(first, s.count)
}

// ReadStream reads up to maxEvents of a stream from a revision, inclusive both
// ways; math.MaxInt64 backwards means from the end. What $tb, $maxCount and
// $maxAge hide is left out. A stream that is missing or soft-deleted reads as
// empty (ask Stream); a tombstoned one gives ErrStreamDeleted.
func (l *Log) ReadStream(ctx context.Context, stream string, from int64, dir Direction, maxEvents int) ([]Record, error) {
	s, end := l.index.look(stream)
	if s.tombstone != 0 {
		return nil, ErrStreamDeleted
	}
	w := l.takeWindow(end, streamWindow)
	defer l.windows.Put(w)
	r := streamReader{window: w, name: stream, events: s.events}
	first, err := r.firstByAge(s.first(stream), s.meta.maxAge, l.options.Now())
	if err != nil {
		return nil, err
	}
	low, high := max(from, first), s.count-1
	if dir == Backwards {
		low, high = first, min(from, high)
	}
	count := min(int64(max(maxEvents, 0)), high-low+1)
	if count <= 0 {
		return nil, nil
	}
	if dir == Backwards {
		low = high - count + 1
	}
	r.widen(low, low+count-1)
	records, err := r.read(ctx, low, low+count)
	if dir == Backwards {
		slices.Reverse(records)
	}
	return records, err
}

// A streamReader reads one stream's events through the index.
type streamReader struct {
	window *window
	name   string
	events []event
}

// at reads a revision and checks that it is what the index promised.
func (r streamReader) at(revision int64) (view, error) {
	at := r.events[revision].at
	v, err := r.window.record(at)
	if err == nil && (string(v.stream) != r.name || v.revision != revision) {
		err = r.window.damaged(at, "another event stands here than the index says: stop the node, remove the file "+snapshotName+", start again")
	}
	return v, err
}

// widen lets the window take many events at once where they lie close together.
func (r streamReader) widen(first, last int64) {
	span := r.events[last].at - r.events[first].at + streamWindow
	if span <= uint64(last-first+1)*streamWindow {
		r.window.chunk = int(min(span, logWindow))
	}
}

func (r streamReader) read(ctx context.Context, from, to int64) ([]Record, error) {
	records := make([]Record, 0, to-from)
	for revision := from; revision < to; revision++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v, err := r.at(revision)
		if err != nil {
			return nil, err
		}
		records = append(records, v.record())
	}
	return records, nil
}

// firstByAge finds the first event from first on that is younger than maxAge
// seconds. Time never runs backwards in the log, so it can be searched.
func (r streamReader) firstByAge(first, maxAge int64, now time.Time) (int64, error) {
	if maxAge == 0 || first >= int64(len(r.events)) {
		return first, nil
	}
	oldest, failed := ticksOf(now.Add(-time.Duration(min(maxAge, maxAgeMax))*time.Second)), error(nil)
	n := sort.Search(int(int64(len(r.events))-first), func(i int) bool {
		v, err := r.at(first + int64(i))
		failed = errors.Join(failed, err)
		return v.ticks >= oldest
	})
	return first + int64(n), failed
}

const maxAgeMax = 100 * 365 * 24 * 3600 // seconds; more would overflow a duration

// ReadAll reads the whole log: forwards from the first record at or after from,
// backwards from the last one before it (math.MaxUint64 = the end). It returns
// at most maxEvents and stops once maxBytes are reached, but gives at least one
// event where there is one.
func (l *Log) ReadAll(ctx context.Context, from uint64, dir Direction, maxEvents, maxBytes int) ([]Record, error) {
	end, _ := l.index.extent()
	if maxEvents <= 0 {
		return nil, nil
	}
	w := l.takeWindow(end, logWindow)
	defer l.windows.Put(w)
	if dir == Backwards {
		return l.readBack(ctx, w, min(from, end), maxEvents, maxBytes)
	}
	var page page
	for v, err := range w.records(l.index.placeBefore(from)) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return nil, err
		}
		if v.at >= from && page.add(v, maxEvents, maxBytes) {
			break
		}
	}
	return page.records, nil
}

// readBack walks forwards from one known place after another, the last one first.
func (l *Log) readBack(ctx context.Context, w *window, before uint64, maxEvents, maxBytes int) ([]Record, error) {
	var result page
	for before > pageSize {
		place := l.index.placeBefore(before - 1)
		var stretch []Record
		for v, err := range w.records(place) {
			if err = errors.Join(err, ctx.Err()); err != nil {
				return nil, err
			}
			if v.at >= before {
				break
			}
			stretch = append(stretch, v.record())
		}
		for _, r := range slices.Backward(stretch) {
			if result.put(r, maxEvents, maxBytes) {
				return result.records, nil
			}
		}
		before = place
	}
	return result.records, nil
}

// A page collects records up to its limits.
type page struct {
	records []Record
	bytes   int
}

func (p *page) add(v view, maxEvents, maxBytes int) (full bool) {
	return p.put(v.record(), maxEvents, maxBytes)
}

func (p *page) put(r Record, maxEvents, maxBytes int) (full bool) {
	p.records = append(p.records, r)
	p.bytes += len(r.Event)
	return len(p.records) >= maxEvents || p.bytes >= maxBytes
}

// ReadAt reads once more the record at a position that a read gave.
func (l *Log) ReadAt(at uint64) (Record, error) {
	end, _ := l.index.extent()
	w := l.takeWindow(end, streamWindow)
	defer l.windows.Put(w)
	v, err := w.record(at)
	if err != nil {
		return Record{}, err
	}
	return v.record(), nil
}

// Head is the position of the last durable event, 0 in an empty log.
func (l *Log) Head() uint64 {
	_, head := l.index.extent()
	return head
}

// Changed returns a channel that is closed when the log next grows. Take it
// before reading: what is published between the two is never missed.
func (l *Log) Changed() <-chan struct{} { return l.index.watch() }
