package log

import (
	"fmt"
	"iter"
)

// How much a window reads at once.
const (
	streamWindow = 4 << 10
	logWindow    = 128 << 10
	scanWindow   = 4 << 20
)

// A window reads the log in chunks. What it hands out is valid until it moves.
type window struct {
	segments []*segment
	end      uint64 // nothing at or behind it may be read
	chunk    int
	start    uint64
	buf      []byte
	held     int // bytes of buf that are the log's, from start on
}

// bytes returns at least n bytes of the log from at on, or what there is before
// the end of the segment.
func (w *window) bytes(at uint64, n int) ([]byte, error) {
	if at >= w.start && at+uint64(n) <= w.start+uint64(w.held) {
		return w.buf[at-w.start : w.held], nil
	}
	s, ok := segmentOf(w.segments, at)
	if !ok {
		return nil, fmt.Errorf("position %d lies in no segment of the log", at)
	}
	limit := min(w.end, s.limit())
	if sealed := s.end.Load(); sealed != 0 {
		limit = min(limit, sealed)
	}
	if at >= limit {
		return nil, nil
	}
	size := int(min(uint64(max(n, w.chunk)), limit-at))
	if size > len(w.buf) {
		w.buf = make([]byte, size)
	}
	w.start, w.held = at, 0
	if err := s.readAt(w.buf[:size], at); err != nil {
		return nil, err
	}
	w.held = size
	return w.buf[:size], nil
}

// record reads and checks the record at a position.
func (w *window) record(at uint64) (view, error) {
	b, err := w.bytes(at, recordHeaderSize)
	if err == nil && len(b) >= recordHeaderSize && le.Uint32(b) == recordMagic {
		b, err = w.bytes(at, int(le.Uint32(b[8:])))
	}
	if err != nil {
		return view{}, err
	}
	v, ok := parseRecord(b, at)
	if !ok {
		return v, w.damaged(at, "the record does not check")
	}
	return v, nil
}

func (w *window) damaged(at uint64, reason string) error {
	s, ok := segmentOf(w.segments, at)
	if !ok {
		return fmt.Errorf("position %d lies in no segment of the log", at)
	}
	return s.damaged(at, reason)
}

// records walks the log's records from a known place: the beginning of a
// group, a frame or a record, or of a segment's groups.
func (w *window) records(from uint64) iter.Seq2[view, error] {
	return func(yield func(view, error) bool) {
		for at := from; at < w.end; {
			v, next, err := w.step(at)
			if err != nil {
				yield(view{}, err)
				return
			}
			if v.size > 0 && !yield(v, nil) {
				return
			}
			at = next
		}
	}
}

// step reads one piece of the log, a record or what stands between records, and
// tells where the next one begins.
func (w *window) step(at uint64) (v view, next uint64, err error) {
	b, err := w.bytes(at, frameHeaderSize+8) // no piece but a trailer is smaller
	if err != nil {
		return v, 0, err
	}
	if len(b) == 0 { // behind the last group of a sealed segment
		s, _ := segmentOf(w.segments, at)
		return v, s.next() + pageSize, nil
	}
	if len(b) < groupTrailerSize {
		return v, 0, w.damaged(at, "a piece of a group")
	}
	switch le.Uint32(b) {
	case trailerMagic:
		return v, at + groupTrailerSize, nil
	case groupMagic:
		if _, ok := parseGroupHeader(b, at); ok {
			return v, at + groupHeaderSize, nil
		}
	case frameMagic:
		return w.stepFrame(at)
	case recordMagic:
		v, err = w.record(at)
		return v, at + uint64(v.size), err
	}
	return v, 0, w.damaged(at, "neither a group nor a frame nor a record begins here")
}

func (w *window) stepFrame(at uint64) (v view, next uint64, err error) {
	b, err := w.bytes(at, frameHeaderSize)
	if err == nil && len(b) >= frameHeaderSize {
		b, err = w.bytes(at, frameHeaderSize+int(le.Uint16(b[32:])))
	}
	if err != nil {
		return v, 0, err
	}
	h, ok := parseFrameHeader(b, at)
	if !ok {
		return v, 0, w.damaged(at, "the frame's header does not check")
	}
	return v, at + uint64(h.size), nil
}
