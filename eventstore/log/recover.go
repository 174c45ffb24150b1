package log

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"path/filepath"

	"github.com/google/uuid"
)

// A recovery brings a log back from its files: it decides where the log ends,
// and builds the index.
type recovery struct {
	options Options
	chain   []*segment
	live    int // which of them takes the next group
	footers []segmentFooter
	durable uint64 // what the mark remembers

	index  *index
	known  uint64 // what the index's snapshot remembers
	from   uint64 // the index knows everything before
	last   uint64 // where the live segment's last group begins
	end    uint64
	footer segmentFooter // of the live segment, as far as it is known
	done   int64         // bytes scanned, for progress
	total  int64
}

// segments finds the live one. Those before it are sealed, those behind it unused.
func (r *recovery) segments() error {
	r.live = -1
	for i, s := range r.chain {
		footer, sealed, err := s.readFooter()
		switch {
		case err != nil:
			return err
		case r.live >= 0:
			if used, err := s.used(); err != nil || used || sealed {
				unsealed := r.chain[r.live]
				return errors.Join(err, unsealed.damaged(unsealed.limit(), "the segment is not sealed, but the one after it is used"))
			}
		case sealed:
			s.end.Store(footer.end)
			r.footers = append(r.footers, footer)
		default:
			r.live = i
		}
	}
	if r.live < 0 {
		last := r.chain[len(r.chain)-1]
		return missing(filepath.Dir(last.path), last.next(), "and every one before it is sealed")
	}
	return nil
}

// build reads the log into an index, from a snapshot on if there is one that
// belongs to this log.
func (r *recovery) build(dir string) error {
	x, point, err := readSnapshot(r.options.disk, dir)
	if err == nil {
		r.known = point.covered
		err = r.vouch(x, point)
	}
	if err == nil {
		if err = r.scan(x, point.covered); err == nil {
			return nil
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		r.options.Logger.Warn("the log's index is rebuilt", "reason", err)
	}
	return r.scan(newIndex(), pageSize)
}

// vouch checks that a snapshot is of this log's past: its last event must stand
// in the log with the very bytes it had.
func (r *recovery) vouch(x *index, p snapshotPoint) error {
	if p.logID != r.chain[0].logID {
		r.known = 0
		return fmt.Errorf("%w: it is of another log", errSnapshot)
	}
	w := &window{segments: r.chain, end: math.MaxUint64, chunk: streamWindow}
	if p.head != 0 {
		if v, err := w.record(p.head); err != nil || v.crc != p.headCRC {
			return fmt.Errorf("%w: it does not end where the log does", errSnapshot)
		}
	}
	for name, s := range x.streams {
		original, ok := describes(name)
		if !ok {
			continue
		}
		if err := x.describe(original, streamReader{w, name, s.events}); err != nil {
			return err
		}
	}
	return nil
}

// describe finds a stream's metadata: the last $metadata event of its metadata stream.
func (x *index) describe(original string, r streamReader) error {
	for i := len(r.events) - 1; i >= 0; i-- {
		v, err := r.at(int64(i))
		if err != nil {
			return err
		}
		if string(v.kind) == metadataType {
			s := x.make(original)
			s.seen.meta = parseMetadata(v.data())
			s.seen.meta.at = v.at
			s.next = s.seen
			return nil
		}
	}
	return nil
}

// scan reads what the index does not know yet, and the live segment whole in
// any case: that is where a power cut leaves its traces.
func (r *recovery) scan(x *index, from uint64) error {
	r.index, r.from, r.done, r.total = x, from, 0, 0
	first := 0
	for first < r.live && r.chain[first].next() <= from {
		first++
	}
	for _, s := range r.chain[first : r.live+1] {
		r.total += s.size
	}
	for i := first; i < r.live; i++ {
		if err := r.scanSealed(r.chain[i], r.footers[i]); err != nil {
			return err
		}
	}
	live := r.chain[r.live]
	r.last = live.first()
	end, footer, err := r.scanGroups(live)
	if err != nil {
		return err
	}
	if from > end {
		return fmt.Errorf("%w: it knows more than the log holds", errSnapshot)
	}
	r.end, r.footer, x.end = end, footer, end
	return nil
}

func (r *recovery) scanSealed(s *segment, f segmentFooter) error {
	end, found, err := r.scanGroups(s)
	if err != nil {
		return err
	}
	if end != f.end {
		return s.damaged(end, "the group does not check")
	}
	if found.events != f.events || found.body != f.body || found.first != f.first || found.last != f.last {
		return s.damaged(s.limit(), "the segment's groups are not those that its footer sums up")
	}
	return nil
}

// scanGroups reads groups until one does not check, and tells where.
func (r *recovery) scanGroups(s *segment) (end uint64, found segmentFooter, err error) {
	w := &window{segments: []*segment{s}, end: math.MaxUint64, chunk: scanWindow}
	defer func(before int64) { r.progress(before + s.size) }(r.done)
	for at := s.first(); ; {
		b, err := w.bytes(at, groupHeaderSize)
		if err != nil {
			return at, found, err
		}
		h, ok := parseGroupHeader(b, at)
		if !ok {
			return at, found, nil
		}
		if b, err = w.bytes(at, h.length); err != nil {
			return at, found, err
		}
		var misfit error
		ok = parseGroup(b, at, func(v view) {
			if misfit == nil {
				misfit = r.visit(s, v, &found)
			}
		})
		if !ok || misfit != nil {
			return at, found, misfit
		}
		found.body = crc32.Update(found.body, castagnoli, b[:h.length])
		r.last = at
		at += uint64(h.length)
		r.progress(r.done + int64(h.length))
	}
}

func (r *recovery) visit(s *segment, v view, found *segmentFooter) error {
	if found.first == 0 {
		found.first = v.at
	}
	found.last = v.at
	found.events++
	if v.at < r.from {
		return nil
	}
	if !r.index.fits(v) {
		return s.damaged(v.at, "the event's revision does not follow the one before it in its stream")
	}
	r.index.note(v)
	return nil
}

const progressStep = 16 << 20

func (r *recovery) progress(done int64) {
	if r.options.Progress != nil && (done/progressStep != r.done/progressStep || done == r.total) {
		r.options.Progress(done, r.total)
	}
	r.done = done
}

// finish judges what stands behind the log's end and cuts it if a power cut
// explains it.
func (r *recovery) finish(markID uuid.UUID) error {
	live := r.chain[r.live]
	rest, err := live.tail(r.end)
	if err != nil {
		return err
	}
	if rest != nil {
		if reason := r.options.inspect(rest, r.end); reason != "" {
			return live.damaged(r.end, reason)
		}
	}
	if r.durable > 0 && markID != live.logID {
		return live.damaged(live.base, "the file mark beside it belongs to another log")
	}
	if r.durable > r.end {
		return live.damaged(r.end, fmt.Sprintf("the log ends here, but was durable up to position %d", r.durable))
	}
	if r.known > r.end {
		return live.damaged(r.end, fmt.Sprintf("the log ends here, but was durable up to position %d by its %s", r.known, snapshotName))
	}
	if rest == nil {
		return nil
	}
	r.options.Logger.Warn("a group that was never acknowledged is cut off", "file", live.path, "offset", r.end-live.base)
	return live.cut(rest, r.end)
}

// cut puts zeros in the place of what stands behind the log's end.
func (s *segment) cut(rest []byte, end uint64) error {
	written, synced := s.erase(end, end+uint64(len(rest)))
	if synced != nil { // the zeros need not be on the disk: the next start must find what is
		synced = errors.Join(synced, s.writeAt(rest, end))
	}
	return errors.Join(written, synced)
}

// settle makes durable what recovery relies on. The last group and the last
// seal may have been read from the kernel's memory only, where a process that
// was killed in mid-sync left them, or a sync that failed: they are written
// once more, for after a failure a sync alone would say yes and do nothing.
func (r *recovery) settle() error {
	if r.live > 0 {
		if err := r.chain[r.live-1].seal(r.footers[r.live-1]); err != nil {
			return err
		}
	}
	live := r.chain[r.live]
	if r.last == r.end {
		return live.sync()
	}
	group := make([]byte, r.end-r.last)
	if err := live.readAt(group, r.last); err != nil {
		return err
	}
	if !parseGroup(group, r.last, func(view) {}) {
		return live.damaged(r.last, "the last group does not check any more")
	}
	return errors.Join(live.writeAt(group, r.last), live.sync())
}

// tail reads what stands behind end up to the last byte that is not zero, nil for nothing.
func (s *segment) tail(end uint64) ([]byte, error) {
	last := uint64(0)
	chunk := make([]byte, fillChunk)
	for at := end; at < s.limit(); at += uint64(len(chunk)) {
		chunk = chunk[:min(uint64(len(chunk)), s.limit()-at)]
		if err := s.readAt(chunk, at); err != nil {
			return nil, err
		}
		if !allZero(chunk) {
			last = at + uint64(len(chunk))
		}
	}
	if last == 0 {
		return nil, nil
	}
	rest := make([]byte, last-end)
	return rest, s.readAt(rest, end)
}

// lastTicks tells when the last event was written.
func (r *recovery) lastTicks() (uint64, error) {
	if r.index.head == 0 {
		return 0, nil
	}
	w := &window{segments: r.chain, end: r.end, chunk: streamWindow}
	v, err := w.record(r.index.head)
	return v.ticks, err
}
