package log

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
)

// A segment is one file of the log: a header page, groups, zeros, a footer page.
type segment struct {
	segmentHeader
	file file
	path string
	end  atomic.Uint64 // once sealed: behind the last group; 0 before
}

func segmentName(base uint64) string { return fmt.Sprintf("%020d.seg", base) }

func (s *segment) limit() uint64 { return s.base + uint64(s.size) - pageSize } // where groups must end
func (s *segment) first() uint64 { return s.base + pageSize }
func (s *segment) next() uint64  { return s.base + uint64(s.size) }
func (s *segment) room() int64   { return s.size - segmentOverhead }

func (s *segment) readAt(b []byte, at uint64) error {
	_, err := s.file.ReadAt(b, int64(at-s.base))
	if errors.Is(err, os.ErrClosed) {
		return ErrClosed
	}
	if err != nil {
		return fmt.Errorf("read %s at %d: %w", s.path, at-s.base, err)
	}
	return nil
}

func (s *segment) writeAt(b []byte, at uint64) error {
	_, err := s.file.WriteAt(b, int64(at-s.base))
	return err
}

// sync makes what was written durable. Segments never change their size, so
// the data are all there is to sync.
func (s *segment) sync() error { return s.file.syncData() }

func (s *segment) damaged(at uint64, reason string) error {
	return &Damaged{File: s.path, Offset: int64(at - s.base), Reason: reason}
}

// openSegments opens every segment in dir and checks that they are one unbroken
// chain of full-size files of one log.
func openSegments(d disk, dir string) (chain []*segment, err error) {
	names, err := d.list(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeSegments(chain))
		}
	}()
	for _, name := range names {
		if !strings.HasSuffix(name, ".seg") {
			continue
		}
		s, err := openSegment(d, filepath.Join(dir, name))
		if err != nil {
			return chain, err
		}
		chain = append(chain, s)
		if err := follows(chain); err != nil {
			return chain, err
		}
	}
	return chain, nil
}

func openSegment(d disk, path string) (*segment, error) {
	file, err := d.open(path, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	s := &segment{file: file, path: path}
	if err := s.readHeader(); err != nil {
		file.Close()
		return nil, err
	}
	return s, nil
}

func (s *segment) readHeader() error {
	page := make([]byte, pageSize)
	if err := s.readAt(page, s.base); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var ok bool
	if s.segmentHeader, ok = parseSegmentHeader(page); !ok {
		return s.headerFault(page)
	}
	size, err := s.file.size()
	if err != nil {
		return err
	}
	if size != s.size {
		return &Damaged{File: s.path, Offset: min(size, s.size),
			Reason: fmt.Sprintf("the file has %d bytes, its header says %d", size, s.size)}
	}
	if filepath.Base(s.path) != segmentName(s.base) {
		return &Damaged{File: s.path, Reason: "the file's name is not its first position"}
	}
	return nil
}

// headerFault tells a page that is damaged from one of a format to come.
func (s *segment) headerFault(page []byte) error {
	if version := le.Uint32(page[40:]); signed(page, segmentMagic) && version != formatVersion {
		return fmt.Errorf("%s has format %d, and this program reads format %d: open it with the program that wrote it", s.path, version, formatVersion)
	}
	return &Damaged{File: s.path, Reason: "the segment's header page is damaged"}
}

// follows checks the last segment of a chain against the one before it.
func follows(chain []*segment) error {
	last := chain[len(chain)-1]
	want, id := uint64(0), last.logID
	if len(chain) > 1 {
		before := chain[len(chain)-2]
		want, id = before.next(), before.logID
	}
	switch {
	case last.base > want:
		return missing(filepath.Dir(last.path), want, "and there are later ones")
	case last.base != want:
		return &Damaged{File: last.path, Reason: fmt.Sprintf("position %d should come next", want)}
	case last.logID != id:
		return &Damaged{File: last.path, Reason: "the segment belongs to another log"}
	}
	return nil
}

// missing names a segment that is not there.
func missing(dir string, base uint64, because string) error {
	return &Damaged{File: filepath.Join(dir, segmentName(base)), Reason: "the segment is missing, " + because}
}

// readFooter tells whether the segment is sealed, and by what footer.
func (s *segment) readFooter() (f segmentFooter, sealed bool, err error) {
	page := make([]byte, pageSize)
	if err := s.readAt(page, s.limit()); err != nil {
		return f, false, err
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

// used tells whether the segment ever took a group.
func (s *segment) used() (bool, error) {
	page := make([]byte, min(64<<10, s.size-pageSize))
	err := s.readAt(page, s.first())
	return !allZero(page), err
}

func (s *segment) seal(f segmentFooter) error {
	if err := s.writeFooter(f); err != nil {
		return err
	}
	return s.sync()
}

func (s *segment) writeFooter(f segmentFooter) error {
	f.base = s.base
	return s.writeAt(f.page(), s.limit())
}

// erase makes zeros durable in the place of a group that was not finished: its
// header last, for as long as anything of it stands, its header tells that it is torn.
func (s *segment) erase(from, to uint64) (written, synced error) {
	header := min(to, from+groupHeaderSize)
	for _, part := range [][2]uint64{{header, to}, {from, header}} {
		if part[0] == part[1] {
			continue
		}
		if err := s.writeAt(make([]byte, part[1]-part[0]), part[0]); err != nil {
			return err, nil
		}
		if err := s.sync(); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func closeSegments(chain []*segment) error {
	var errs []error
	for _, s := range chain {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}

// segmentOf finds the segment that a position lies in.
func segmentOf(chain []*segment, at uint64) (*segment, bool) {
	i, found := slices.BinarySearchFunc(chain, at, func(s *segment, at uint64) int {
		switch {
		case at < s.base:
			return 1
		case at >= s.next():
			return -1
		}
		return 0
	})
	if !found {
		return nil, false
	}
	return chain[i], true
}

// removeTemporary clears away what a crash left half made.
func removeTemporary(d disk, dir string) error {
	names, err := d.list(dir)
	for _, name := range names {
		if strings.HasSuffix(name, ".tmp") {
			err = errors.Join(err, d.remove(filepath.Join(dir, name)))
		}
	}
	return err
}
