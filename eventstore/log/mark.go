package log

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	markName  = "mark"
	markSize  = 40
	markQuiet = 10 * time.Millisecond
	markMax   = time.Second
)

// A mark remembers how far the log was durable, outside the log: a segment
// replaced by an older copy, or a lost sector of the last group, shows as a log
// that ends below it. Two slots are written in turn, so that one is always
// whole. It is written after each sync of the log but synced itself only when
// things are quiet, for a sync before each acknowledgement would double its cost.
type mark struct {
	file     file
	logID    uuid.UUID
	sequence uint64
	slot     [markSize]byte // in the making
	failed   error          // of a sync
	touched  chan struct{}
	done     chan struct{}
	wait     sync.WaitGroup
}

// openMark opens or makes the mark and tells the position it holds, 0 for none.
func openMark(d disk, dir string) (m *mark, durable uint64, err error) {
	f, err := d.open(filepath.Join(dir, markName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, 0, err
	}
	slots := make([]byte, 2*pageSize)
	if _, err := f.ReadAt(slots, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, errors.Join(err, f.Close())
	}
	m = &mark{file: f, touched: make(chan struct{}, 1), done: make(chan struct{})}
	for _, slot := range [][]byte{slots[:markSize], slots[pageSize:][:markSize]} {
		if sequence := le.Uint64(slot[8:]); signed(slot, markMagic) && sequence > m.sequence {
			m.sequence, durable = sequence, le.Uint64(slot[16:])
			copy(m.logID[:], slot[24:])
		}
	}
	return m, durable, nil
}

// start fills the file to its full size and begins to sync it in quiet moments.
func (m *mark) start(logID uuid.UUID, durable uint64) error {
	m.logID = logID
	if err := m.file.Truncate(2 * pageSize); err != nil {
		return err
	}
	if err := errors.Join(m.put(durable), m.file.sync()); err != nil {
		return err
	}
	m.wait.Go(m.syncWhenQuiet)
	return nil
}

// put notes that everything before position is durable.
func (m *mark) put(position uint64) error {
	m.sequence++
	slot := m.slot[:]
	le.PutUint32(slot, markMagic)
	le.PutUint64(slot[8:], m.sequence)
	le.PutUint64(slot[16:], position)
	copy(slot[24:], m.logID[:])
	sign(slot)
	_, err := m.file.WriteAt(slot, int64(m.sequence%2)*pageSize)
	select {
	case m.touched <- struct{}{}:
	default:
	}
	return err
}

func (m *mark) syncWhenQuiet() {
	for {
		select {
		case <-m.done:
			return
		case <-m.touched:
		}
		m.awaitQuiet()
		failpoint("mark: before its sync")
		if m.sync() != nil {
			return
		}
		failpoint("mark: synced")
	}
}

// sync makes the mark durable. Once that failed it is not tried again; the mark
// is a second opinion, and the log itself does not depend on it.
func (m *mark) sync() error {
	if m.failed == nil {
		m.failed = m.file.syncData()
	}
	return m.failed
}

// awaitQuiet returns after 10 ms without a put, or after a second of them.
func (m *mark) awaitQuiet() {
	for begun := time.Now(); time.Since(begun) < markMax; {
		select {
		case <-m.done:
			return
		case <-time.After(markQuiet):
		}
		select {
		case <-m.touched:
		default:
			return
		}
	}
}

func (m *mark) close() error {
	close(m.done)
	m.wait.Wait()
	return errors.Join(m.sync(), m.file.Close())
}
