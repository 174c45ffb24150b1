package log

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// What operators' verbs read of a log, they read beside the process that has it
// open: from files that are opened for reading only, without its lock, and
// without leaving anything.

// A segmentFile is a segment as it lies on disk. Its end may grow while it is
// looked at.
type segmentFile struct {
	segmentHeader
	file  *os.File
	path  string
	short bool // the file has not the size that its header says
	buf   []byte
	start uint64
	held  int // bytes of buf that are the segment's, from start on
}

// A group of the log as it was found, checked.
type group struct {
	groupHeader
	bytes []byte // valid until the next read
	views []view
}

// segmentNames are the first positions of the segments in dir, ascending.
func segmentNames(dir string) (bases []uint64, err error) {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		name, found := strings.CutSuffix(entry.Name(), ".seg")
		if base, wrong := strconv.ParseUint(name, 10, 63); found && wrong == nil && segmentName(base) == entry.Name() {
			bases = append(bases, base)
		}
	}
	slices.Sort(bases)
	return bases, err
}

// openSegmentFile opens the segment that begins at base. With an error of type
// *Damaged it can be read all the same, as its name and its size say.
func openSegmentFile(dir string, base uint64) (*segmentFile, error) {
	file, err := os.Open(filepath.Join(dir, segmentName(base)))
	if err != nil {
		return nil, err
	}
	s := &segmentFile{file: file, path: file.Name()}
	err = s.readHeader(base)
	var damaged *Damaged
	if err != nil && !errors.As(err, &damaged) {
		return nil, errors.Join(err, file.Close())
	}
	return s, err
}

func (s *segmentFile) readHeader(base uint64) error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	page := make([]byte, pageSize)
	if _, err := s.file.ReadAt(page, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	header, ok := parseSegmentHeader(page)
	s.segmentHeader = segmentHeader{base: base, size: max(info.Size(), segmentOverhead), logID: header.logID}
	switch {
	case !ok:
		return (&segment{path: s.path}).headerFault(page)
	case header.size != info.Size():
		s.size, s.short = header.size, true
		return s.damaged(base+uint64(min(info.Size(), header.size)), fmt.Sprintf("the file has %d bytes, its header says %d", info.Size(), header.size))
	case header.base != base:
		return s.damaged(base, "the file's name is not its first position")
	}
	return nil
}

func (s *segmentFile) limit() uint64 { return s.base + uint64(s.size) - pageSize }
func (s *segmentFile) first() uint64 { return s.base + pageSize }
func (s *segmentFile) next() uint64  { return s.base + uint64(s.size) }

func (s *segmentFile) damaged(at uint64, reason string) error {
	return &Damaged{File: s.path, Offset: int64(at - s.base), Reason: reason}
}

// forget makes the next read come from the file, which may have grown.
func (s *segmentFile) forget() { s.held = 0 }

// bytes returns at least n bytes from at on, or what there is before the footer.
func (s *segmentFile) bytes(at uint64, n int) ([]byte, error) {
	if at >= s.start && at+uint64(n) <= s.start+uint64(s.held) {
		return s.buf[at-s.start : s.held], nil
	}
	if at >= s.limit() {
		return nil, nil
	}
	size := int(min(uint64(max(n, scanWindow)), s.limit()-at))
	if size > len(s.buf) {
		s.buf = make([]byte, size)
	}
	s.held = 0
	n, err := s.file.ReadAt(s.buf[:size], int64(at-s.base))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s at %d: %w", s.path, at-s.base, err)
	}
	s.start, s.held = at, n
	return s.buf[:n], nil
}

// group reads the group at a position; it is not ok if it does not check.
func (s *segmentFile) group(at uint64) (g group, ok bool, err error) {
	b, err := s.bytes(at, groupHeaderSize)
	if err != nil {
		return g, false, err
	}
	if g.groupHeader, ok = parseGroupHeader(b, at); !ok || at+uint64(g.length) > s.limit() {
		return g, false, nil
	}
	if b, err = s.bytes(at, g.length); err != nil {
		return g, false, err
	}
	ok = parseGroup(b, at, func(v view) { g.views = append(g.views, v) })
	if ok {
		g.bytes = b[:g.length]
	}
	return g, ok, nil
}

// walk visits the groups from at on as long as they check, and tells where they end.
func (s *segmentFile) walk(at uint64, visit func(group) error) (end uint64, err error) {
	for {
		g, ok, err := s.group(at)
		if err != nil || !ok {
			return at, err
		}
		if err := visit(g); err != nil {
			return at, err
		}
		at += uint64(g.length)
	}
}

// resync finds the next group that checks, from at on: every group says where
// it stands, under a checksum, so that none is found by chance.
func (s *segmentFile) resync(at uint64) (next uint64, found bool, err error) {
	magic := le.AppendUint32(nil, groupMagic)
	for at < s.limit() {
		b, err := s.bytes(at, len(magic))
		if err != nil || len(b) < len(magic) {
			return 0, false, err
		}
		i := bytes.Index(b, magic)
		if i < 0 {
			at += uint64(len(b) - len(magic) + 1)
			continue
		}
		at += uint64(i)
		if _, ok, err := s.group(at); err != nil || ok {
			return at, ok, err
		}
		at++
	}
	return 0, false, nil
}

// footer reads the footer as it is now: sealed, not yet sealed, or damaged.
func (s *segmentFile) footer() (f segmentFooter, sealed bool, err error) {
	page := make([]byte, pageSize)
	if _, err := s.file.ReadAt(page, int64(s.limit()-s.base)); err != nil && !errors.Is(err, io.EOF) {
		return f, false, fmt.Errorf("read %s: %w", s.path, err)
	}
	if allZero(page) {
		return f, false, nil
	}
	f, ok := parseSegmentFooter(page, s.segmentHeader)
	if !ok {
		return f, false, s.damaged(s.limit(), "the segment's footer page is damaged")
	}
	return f, true, nil
}

// tail reads what stands from a position on: all that is not zero, and all of the
// group that its first bytes announce; nil for nothing.
func (s *segmentFile) tail(from uint64) (rest []byte, err error) {
	s.forget()
	last := from
	for at := from; at < s.limit(); {
		b, err := s.bytes(at, 1)
		if err != nil || len(b) == 0 {
			return nil, err
		}
		if !allZero(b) {
			last = at + uint64(len(b))
		}
		at += uint64(len(b))
	}
	if last == from {
		return nil, nil
	}
	if b, err := s.bytes(from, groupHeaderSize); err != nil {
		return nil, err
	} else if h, ok := parseGroupHeader(b, from); ok {
		last = max(last, min(from+uint64(h.length), s.limit()))
	}
	rest = make([]byte, last-from)
	_, err = s.file.ReadAt(rest, int64(from-s.base))
	return rest, err
}

// usedSegment tells whether there is a segment at base that ever took a group.
func usedSegment(dir string, base uint64) (bool, error) {
	s, err := openSegmentFile(dir, base)
	if s == nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return false, err
	}
	defer s.file.Close()
	rest, err := s.tail(s.first())
	return rest != nil, err
}

// sum adds a group to what a footer will say.
func (f *segmentFooter) sum(g group) {
	f.end = g.at + uint64(g.length)
	f.body = crc32.Update(f.body, castagnoli, g.bytes)
	f.events += uint64(len(g.views))
	if n := len(g.views); n > 0 {
		if f.first == 0 {
			f.first = g.views[0].at
		}
		f.last = g.views[n-1].at
	}
}

// agrees tells whether a footer sums up the groups that were found.
func (f segmentFooter) agrees(found segmentFooter) bool {
	return f.end == found.end && f.body == found.body && f.events == found.events && f.first == found.first && f.last == found.last
}

// A markState is what a mark says: how far the log was durable.
type markState struct {
	LogID    uuid.UUID
	Sequence uint64 // 0 = there is no mark
	Durable  uint64
	spoilt   int // slots that do not check
}

func readMark(dir string) (m markState, err error) {
	content, err := os.ReadFile(filepath.Join(dir, markName))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	content = append(content, make([]byte, 2*pageSize)...)
	for _, slot := range [][]byte{content[:markSize], content[pageSize:][:markSize]} {
		switch sequence := le.Uint64(slot[8:]); {
		case !signed(slot, markMagic):
			if !allZero(slot) {
				m.spoilt++
			}
		case sequence > m.Sequence:
			m.Sequence, m.Durable = sequence, le.Uint64(slot[16:])
			copy(m.LogID[:], slot[24:])
		}
	}
	return m, nil
}

// newMark is the file of a mark that was written once.
func newMark(logID uuid.UUID, durable uint64) []byte {
	b := make([]byte, 2*pageSize)
	slot := b[pageSize:][:markSize] // odd sequences have the second slot
	le.PutUint32(slot, markMagic)
	le.PutUint64(slot[8:], 1)
	le.PutUint64(slot[16:], durable)
	copy(slot[24:], logID[:])
	sign(slot)
	return b
}

const (
	settleTries = 5
	settlePause = 20 * time.Millisecond
)

// settles tells whether a group that does not check is just being written: it
// does a moment later.
func (s *segmentFile) settles(at uint64) (bool, error) {
	for range settleTries {
		s.forget()
		if _, ok, err := s.group(at); ok || err != nil {
			return ok, err
		}
		time.Sleep(settlePause)
	}
	s.forget()
	return false, nil
}

// A gauge tells how far long work is, in bytes, now and then.
type gauge struct {
	tell   func(done, total int64)
	passed int64 // bytes of the segments that are done
	done   int64
	total  int64
}

const gaugeStep = 16 << 20

func (g *gauge) at(done int64) {
	if g.tell != nil && (done/gaugeStep != g.done/gaugeStep || done >= g.total) {
		g.tell(min(done, g.total), g.total)
	}
	g.done = done
}
