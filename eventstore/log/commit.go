package log

import (
	"errors"
	"hash/crc32"
	"syscall"
)

// A writer turns requests into groups. Whoever holds the turn (queue.go) uses
// it alone.
type writer struct {
	log     *Log
	live    *segment
	end     uint64        // where the next group begins
	footer  segmentFooter // of the live segment, as far as it is known
	ticks   uint64        // time never runs backwards in the log
	soiled  uint64        // a failed write may have left bytes up to here
	sealing bool          // its footer may stand already: it takes no more groups
	stopped bool
	window  window // to look back with

	// The group in the making.
	group   []byte
	frames  int
	asking  []*request // answered after its sync
	staged  []staged
	touched []*stream
}

// A staged event is not durable yet.
type staged struct {
	event
	stream   *stream
	revision int64
	crc      uint32
}

// commit makes a batch of requests durable and answers them.
func (w *writer) commit(batch []*request) {
	for _, r := range batch {
		w.add(r)
	}
	w.flush()
}

// add decides one request and puts its frames into the group. One that finds
// no room begins a new group, in the next segment if need be.
func (w *writer) add(r *request) {
	if w.stopped {
		r.answer(Result{}, ErrStopped)
		return
	}
	p := w.decide(r)
	for !w.fits(p.size()) {
		w.flush()
		if err := w.makeRoom(p.size()); err != nil {
			r.answer(Result{}, err)
			return
		}
		p = w.decide(r) // what was in flight is durable now, or was taken back
	}
	for i, f := range p.frames {
		at := w.stage(f)
		if i == 0 {
			p.result.Position = at
		}
	}
	r.result, r.err = p.result, p.err
	w.asking = append(w.asking, r)
	failpoint("commit: decided")
}

func (p plan) size() (size int) {
	for _, f := range p.frames {
		size += len(f.bytes)
	}
	return size
}

// fits tells whether the group in the making can take need more bytes.
func (w *writer) fits(need int) bool {
	size := max(len(w.group), groupHeaderSize) + need + groupTrailerSize
	small := len(w.group) == 0 || size <= groupMax+appendMax
	return need == 0 || small && !w.sealing && w.end+uint64(size) <= w.live.limit()
}

// stage puts a frame into the group and tells its last event's position.
func (w *writer) stage(f planned) uint64 {
	if len(w.group) == 0 {
		w.group = append(w.group, make([]byte, groupHeaderSize)...)
		w.ticks = max(w.ticks, ticksOf(w.log.options.Now()))
	}
	begin := len(w.group)
	w.group = append(w.group, f.bytes...)
	w.frames++
	placed, at := w.group[begin:], w.end+uint64(begin)
	f.settle(placed, at, f.revision, w.ticks)
	w.touch(f.stream)
	for i, record := range f.records {
		e := staged{stream: f.stream, revision: f.revision + int64(i)}
		e.at, e.crc = at+uint64(record), le.Uint32(placed[record+4:])
		e.hash = hashID([16]byte(placed[record+16:]))
		w.staged = append(w.staged, e)
	}
	w.foresee(f, at)
	return w.staged[len(w.staged)-1].at
}

// foresee changes what the writer decides by; readers see it after the sync.
func (w *writer) foresee(f planned, at uint64) {
	last := at + uint64(f.records[len(f.records)-1])
	if f.tombstone {
		f.stream.next.tombstone = last
		return
	}
	f.stream.next.count += int64(len(f.records))
	if f.metadata != nil {
		original, _ := describes(f.stream.name)
		o := w.log.index.enter(original)
		w.touch(o)
		o.next.meta = *f.metadata
		o.next.meta.at = at + uint64(f.records[f.describing])
	}
}

func (w *writer) touch(s *stream) {
	if s.next == s.seen {
		w.touched = append(w.touched, s)
	}
}

// flush makes the group durable, publishes it and then answers. Refusals wait
// for it too: they may rest on what is in flight.
func (w *writer) flush() {
	err := w.store()
	if err == nil {
		w.publish()
	} else {
		w.takeBack()
	}
	asking := w.asking
	w.asking = w.asking[:0]
	failpoint("answer: none given")
	for _, r := range asking {
		if err != nil {
			r.result, r.err = Result{}, err
		}
		r.done <- struct{}{}
		failpoint("answer: one given")
	}
	clear(asking)
}

// store writes the group at the end of the log and syncs it.
func (w *writer) store() error {
	if w.frames == 0 {
		return nil
	}
	if w.log.guard.low.Load() {
		return ErrDiskFull
	}
	group := sealGroup(w.group, groupHeader{
		frames: w.frames, events: len(w.staged), at: w.end, durable: w.end, ticks: w.ticks,
	})
	w.group = group
	failpoint("commit: group sealed")
	if err := w.clean(); err != nil {
		return err
	}
	failpoint("commit: before the write")
	if err := w.live.writeAt(group, w.end); err != nil {
		w.soiled = max(w.soiled, w.end+uint64(len(group)))
		return w.failed(err)
	}
	failpoint("commit: written")
	if err := w.live.sync(); err != nil {
		// Never sync again: the kernel may have thrown the pages away and say yes.
		return w.stop(err)
	}
	failpoint("commit: synced")
	w.footer.body = crc32.Update(w.footer.body, castagnoli, group)
	w.footer.add(w.staged)
	w.end += uint64(len(group))
	return nil
}

// clean puts back the zeros that a failed write may have soiled, so that
// nothing stands behind the group to come. A power cut must not mix what was
// there with the group in its place.
func (w *writer) clean() error {
	if w.soiled <= w.end {
		return nil
	}
	written, synced := w.live.erase(w.end, w.soiled)
	if synced != nil {
		return w.stop(synced)
	}
	if written != nil {
		return w.failed(written)
	}
	w.soiled = 0
	return nil
}

// failed tells a full disk, which passes, from everything else, which does not.
func (w *writer) failed(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return ErrDiskFull
	}
	return w.stop(err)
}

func (w *writer) stop(err error) error {
	w.stopped = true
	w.log.options.Logger.Error("the log stopped: a write or sync failed; restart the node to read back what is durable", "error", err)
	return ErrStopped
}

// publish lets readers see the group.
func (w *writer) publish() {
	if w.frames == 0 {
		return
	}
	if err := w.log.mark.put(w.end); err != nil {
		w.log.options.Logger.Warn("the log's mark could not be written", "error", err)
	}
	failpoint("publish: mark put")
	x := w.log.index
	x.mu.Lock()
	for _, e := range w.staged {
		if e.revision != tombstoneAfter {
			e.stream.events = append(e.stream.events, e.event)
		}
		x.advance(e.at, e.crc)
	}
	for _, s := range w.touched {
		s.seen = s.next
	}
	x.end = w.end
	failpoint("publish: index advanced")
	x.wake()
	x.mu.Unlock()
	failpoint("publish: readers woken")
	w.log.filler.fill.Store((w.end - w.live.base) * 1024 / uint64(w.live.size))
	w.reset()
}

// takeBack forgets a group that did not become durable.
func (w *writer) takeBack() {
	for _, s := range w.touched {
		s.next = s.seen
	}
	w.reset()
}

func (w *writer) reset() {
	if cap(w.group) > groupMax {
		w.group = nil
	}
	w.group, w.frames, w.staged, w.touched = w.group[:0], 0, w.staged[:0], w.touched[:0]
}

func (f *segmentFooter) add(events []staged) {
	if f.first == 0 {
		f.first = events[0].at
	}
	f.last = events[len(events)-1].at
	f.events += uint64(len(events))
}

// makeRoom goes on to the next segment when the live one cannot take need more bytes.
func (w *writer) makeRoom(need int) error {
	if w.stopped {
		return ErrStopped
	}
	if w.fits(need) {
		return nil
	}
	next, err := w.nextSegment(int64(need + groupOverhead))
	if err != nil {
		return err
	}
	failpoint("seal: next segment taken")
	w.footer.end = w.end
	if err := w.live.writeFooter(w.footer); err != nil {
		w.sealing = true
		w.log.filler.ready <- next
		return w.failed(err)
	}
	failpoint("seal: footer written")
	if err := w.live.sync(); err != nil {
		next.file.Close()
		return w.stop(err)
	}
	failpoint("seal: footer synced")
	w.live.end.Store(w.end)
	w.log.addSegment(next)
	failpoint("seal: segment added")
	w.begin(next)
	w.log.snapshotLater()
	failpoint("seal: next segment begun")
	return nil
}

// nextSegment takes the one made ahead, or has a larger one made in its place.
func (w *writer) nextSegment(room int64) (*segment, error) {
	next, err := w.log.filler.take()
	if err != nil || next.room() >= room {
		return next, err
	}
	if err := next.file.Close(); err != nil {
		return nil, err
	}
	pages := (room + segmentOverhead + pageSize - 1) / pageSize
	w.log.filler.prepare(next.base, pages*pageSize)
	return w.log.filler.take()
}

func (w *writer) begin(s *segment) {
	w.live, w.end, w.footer, w.soiled, w.sealing = s, s.first(), segmentFooter{}, 0, false
	w.log.index.setEnd(w.end)
	w.log.filler.fill.Store(0)
	w.log.filler.prepare(s.next(), w.log.options.sizeAfter(s.size))
}

// read finds the record at a position, in the group in the making too. It is
// valid until the next read.
func (w *writer) read(at uint64) (view, error) {
	if at >= w.end {
		if v, ok := parseRecord(w.group[at-w.end:], at); ok {
			return v, nil
		}
	}
	w.window.segments, w.window.end = *w.log.segments.Load(), w.end
	return w.window.record(at)
}
