// Package log keeps events for ever: an append-only chain of segment files on
// which one writer makes groups of appends durable, with an index in memory that
// can always be rebuilt. README.md describes the bytes.
package log

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Options of Open. Only Dir is required.
type Options struct {
	Dir          string
	SegmentFirst int64                   // bytes of the first segment, 4 MiB by default; each next one doubles
	SegmentMax   int64                   // 256 MiB by default
	QueueBytes   int64                   // what may wait for the writer, 32 MiB by default; then callers wait
	FreeSpaceMin int64                   // appends are refused when less is free, 32 MiB by default
	Now          func() time.Time        // time.Now by default
	Logger       *slog.Logger            // slog.Default by default
	Progress     func(done, total int64) // called while an index is rebuilt, in bytes

	// What tests put in the place of the real thing.
	disk    disk
	free    func() (int64, error)
	inspect func(rest []byte, end uint64) (damage string)
	newID   func() uuid.UUID
}

func (o Options) sizeAfter(size int64) int64 { return max(min(2*size, o.SegmentMax), o.SegmentFirst) }

func (o Options) withDefaults() Options {
	const kib, mib = 1 << 10, 1 << 20
	o.SegmentFirst = atLeast(o.SegmentFirst, 4*mib, 64*kib)
	o.SegmentMax = max(atLeast(o.SegmentMax, 256*mib, 64*kib), o.SegmentFirst)
	o.QueueBytes = atLeast(o.QueueBytes, 32*mib, 64*kib)
	o.FreeSpaceMin = atLeast(o.FreeSpaceMin, 32*mib, 0)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.disk == nil {
		o.disk = localDisk{}
	}
	if o.free == nil {
		o.free = func() (int64, error) { return freeSpace(o.Dir) }
	}
	if o.inspect == nil {
		o.inspect = inspectTail
	}
	if o.newID == nil {
		o.newID = uuid.New
	}
	return o
}

func atLeast(n, fallback, least int64) int64 {
	if n == 0 {
		n = fallback
	}
	return (max(n, least) + pageSize - 1) / pageSize * pageSize
}

// Log is an open log. Its methods may be called from any goroutine.
type Log struct {
	options  Options
	id       uuid.UUID
	claim    io.Closer // on the folder
	mark     *mark
	index    *index
	segments atomic.Pointer[[]*segment] // replaced when one is added
	writer   *writer
	queue    *queue
	filler   *filler
	guard    *guard
	windows  sync.Pool
	saving   sync.Mutex // one snapshot at a time
	saves    sync.WaitGroup
	closing  sync.Once
	closed   error
}

// Open opens the log in o.Dir, or makes one there, and holds it alone. It cuts a
// torn last group and refuses a damaged log.
func Open(o Options) (*Log, error) {
	o = o.withDefaults()
	claim, err := o.disk.claim(o.Dir)
	if err != nil {
		return nil, err
	}
	l := &Log{options: o, claim: claim}
	failpoint("open: folder held")
	if err := l.open(); err != nil {
		return nil, errors.Join(err, claim.Close())
	}
	return l, nil
}

func (l *Log) open() (err error) {
	if err := removeTemporary(l.options.disk, l.options.Dir); err != nil {
		return err
	}
	r := &recovery{options: l.options}
	if l.mark, r.durable, err = openMark(l.options.disk, l.options.Dir); err != nil {
		return err
	}
	failpoint("open: mark read")
	if r.chain, err = openSegments(l.options.disk, l.options.Dir); err == nil && len(r.chain) == 0 {
		err = l.create(r)
	}
	if err == nil { // a kill may have left names that are not durable
		err = l.options.disk.syncFolder(l.options.Dir)
	}
	if err == nil {
		err = l.restore(r)
	}
	if err != nil {
		return errors.Join(err, closeSegments(r.chain), l.mark.file.Close())
	}
	l.start(r)
	return nil
}

// create makes the first segment and with it the log's ID.
func (l *Log) create(r *recovery) error {
	if r.durable > 0 {
		return missing(l.options.Dir, 0, "as all are, but the log was in use")
	}
	f := l.newFiller(l.options.newID())
	f.hurry.Store(true)
	s, err := f.create(0, l.options.SegmentFirst)
	failpoint("open: first segment made")
	if err == nil {
		r.chain = append(r.chain, s)
	}
	return err
}

// restore finds the log's end and its index.
func (l *Log) restore(r *recovery) error {
	failpoint("open: names durable")
	l.id = r.chain[0].logID
	if err := r.segments(); err != nil {
		return err
	}
	failpoint("open: segments judged")
	if err := r.build(l.options.Dir); err != nil {
		return err
	}
	failpoint("open: index built")
	if err := r.finish(l.mark.logID); err != nil {
		return err
	}
	failpoint("open: tail judged")
	if err := r.settle(); err != nil {
		return err
	}
	failpoint("open: end settled")
	ticks, err := r.lastTicks()
	if err != nil {
		return err
	}
	l.index = r.index
	l.writer = &writer{log: l, live: r.chain[r.live], end: r.end, footer: r.footer, ticks: ticks, window: window{chunk: streamWindow}}
	return l.mark.start(l.id, r.end)
}

func (l *Log) start(r *recovery) {
	failpoint("open: mark begun")
	used, unused := r.chain[:r.live+1], r.chain[r.live+1:]
	l.segments.Store(&used)
	l.windows.New = func() any { return &window{} }
	l.guard = startGuard(l.options)
	l.filler = l.newFiller(l.id)
	l.filler.fill.Store((r.end - l.writer.live.base) * 1024 / uint64(l.writer.live.size))
	if len(unused) > 0 {
		l.filler.ready <- unused[0]
		_ = closeSegments(unused[1:])
	} else {
		l.filler.prepare(l.writer.live.next(), l.options.sizeAfter(l.writer.live.size))
	}
	l.queue = newQueue(l.options.QueueBytes)
	l.queue.wait.Go(l.write)
	failpoint("open: ready")
}

func (l *Log) newFiller(id uuid.UUID) *filler {
	return &filler{
		disk: l.options.disk, dir: l.options.Dir, logID: id, logger: l.options.Logger, free: l.options.free, keep: l.options.FreeSpaceMin,
		ready: make(chan *segment, 1), done: make(chan struct{}),
	}
}

// ID names this log for ever: positions mean nothing on another one.
func (l *Log) ID() uuid.UUID { return l.id }

// Close stores what waits, keeps a snapshot of the index and lets go of Dir.
func (l *Log) Close() error {
	l.closing.Do(func() { l.closed = l.close() })
	return l.closed
}

func (l *Log) close() error {
	l.queue.close()
	l.guard.close()
	err := l.filler.close()
	l.saves.Wait()
	if saved := l.index.writeSnapshot(l.options.disk, l.options.Dir, l.index.point(l.id)); saved != nil {
		l.options.Logger.Warn("the log's index was not saved; the next start rebuilds it", "error", saved)
	}
	return errors.Join(err, l.mark.close(), closeSegments(*l.segments.Load()), l.claim.Close())
}

// addSegment lets readers find the new live segment.
func (l *Log) addSegment(s *segment) {
	old := *l.segments.Load()
	chain := slices.Concat(old, []*segment{s})
	l.segments.Store(&chain)
}

// snapshotLater saves the index as it is now, in the background. One that is
// still being saved is good enough.
func (l *Log) snapshotLater() {
	if !l.saving.TryLock() {
		return
	}
	point := l.index.point(l.id)
	l.saves.Go(func() {
		defer l.saving.Unlock()
		if err := l.index.writeSnapshot(l.options.disk, l.options.Dir, point); err != nil {
			l.options.Logger.Warn("the log's index was not saved", "error", err)
		}
	})
}

// takeWindow borrows a window on what is readable now.
func (l *Log) takeWindow(end uint64, chunk int) *window {
	w := l.windows.Get().(*window)
	w.segments, w.end, w.chunk, w.held = *l.segments.Load(), end, chunk, 0
	return w
}
