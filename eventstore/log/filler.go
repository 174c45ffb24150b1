package log

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"
)

const (
	fillChunk = 1 << 20
	fillSync  = 8 << 20                // dirty bytes that may pile up before a sync of the log
	fillPause = 4 * time.Millisecond   // between chunks, while the present segment has room enough
	fillRetry = 200 * time.Millisecond // after a failure, a full disk above all
)

// A filler makes segments ahead: overwriting zeros that are already on disk
// needs no change of file system metadata, which makes a sync much cheaper.
type filler struct {
	disk    disk
	dir     string
	logID   uuid.UUID
	logger  *slog.Logger
	free    func() (int64, error)
	keep    int64         // bytes that must stay free beside the segment
	fill    atomic.Uint64 // how full the segment in use is, in 1/1024
	hurry   atomic.Bool   // the writer waits
	failing atomic.Bool
	ready   chan *segment
	done    chan struct{}
	wait    sync.WaitGroup
}

// prepare begins to make the segment at base in the background.
func (f *filler) prepare(base uint64, size int64) {
	f.hurry.Store(false)
	f.wait.Go(func() {
		for {
			s, err := f.create(base, size)
			if err == nil {
				f.failing.Store(false)
				f.ready <- s
				return
			}
			if errors.Is(err, ErrClosed) {
				return
			}
			if !f.failing.Swap(true) {
				f.logger.Error("the next log segment cannot be made; appends stop when this one is full", "error", err)
			}
			select {
			case <-f.done:
				return
			case <-time.After(fillRetry):
			}
		}
	})
}

// take waits for the segment that prepare was asked for, as long as it is coming.
func (f *filler) take() (*segment, error) {
	f.hurry.Store(true)
	defer f.hurry.Store(false)
	for {
		select {
		case s := <-f.ready:
			return s, nil
		case <-time.After(fillPause):
			if f.failing.Load() {
				return nil, ErrDiskFull
			}
		}
	}
}

// create makes a full-size segment under a temporary name and then gives it its
// own, so that a segment with a name is always whole.
func (f *filler) create(base uint64, size int64) (_ *segment, err error) {
	free, err := f.free()
	if err != nil {
		return nil, err
	}
	if free < size+f.keep {
		return nil, fmt.Errorf("segment of %d bytes, %d free: %w", size, free, syscall.ENOSPC)
	}
	s := &segment{segmentHeader: segmentHeader{base: base, size: size, logID: f.logID}}
	s.path = filepath.Join(f.dir, segmentName(base))
	temporary := s.path + ".tmp"
	if s.file, err = f.disk.open(temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC); err != nil {
		return nil, err
	}
	failpoint("segment: file made")
	if err = f.write(s); err == nil {
		failpoint("segment: filled and synced")
		err = f.disk.rename(temporary, s.path)
	}
	if err == nil {
		failpoint("segment: named")
		err = f.disk.syncFolder(f.dir)
	}
	failpoint("segment: name durable")
	if err != nil {
		return nil, errors.Join(err, s.file.Close(), f.disk.remove(temporary))
	}
	return s, nil
}

func (f *filler) write(s *segment) error {
	chunk := make([]byte, fillChunk)
	for at := int64(0); at < s.size; at += fillChunk {
		n := min(fillChunk, s.size-at)
		if _, err := s.file.WriteAt(chunk[:n], at); err != nil {
			return err
		}
		failpoint("segment: filled in part")
		if at%fillSync == 0 {
			if err := s.file.syncData(); err != nil {
				return err
			}
		}
		if err := f.pace(at, s.size); err != nil {
			return err
		}
	}
	if err := s.writeAt(s.page(), s.base); err != nil {
		return err
	}
	failpoint("segment: header written")
	return s.file.sync()
}

// pace rests between chunks as long as the new segment is twice as far as the
// one in use: unpaced, filling disturbs the appends it is for.
func (f *filler) pace(at, size int64) error {
	if f.hurry.Load() || uint64(at)*1024 < 2*f.fill.Load()*uint64(size) {
		return nil
	}
	select {
	case <-f.done:
		return ErrClosed
	case <-time.After(fillPause):
		return nil
	}
}

func (f *filler) close() error {
	close(f.done)
	f.wait.Wait()
	select {
	case s := <-f.ready:
		return s.file.Close()
	default:
		return nil
	}
}
