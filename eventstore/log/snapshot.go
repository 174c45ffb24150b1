package log

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sort"

	"github.com/google/uuid"
)

const (
	snapshotName  = "index.snapshot"
	snapshotMagic = 0x49535944 // "DYSI"
	// The snapshot's version may change at will: an older one is rebuilt from the log.
	snapshotVersion = 1
)

var errSnapshot = errors.New("the index snapshot does not check")

// A snapshotPoint says up to where a snapshot knows the log.
type snapshotPoint struct {
	logID   uuid.UUID
	covered uint64 // it knows every event before
	head    uint64 // the last of them, 0 for none
	headCRC uint32 // and the checksum that its record must have
}

func (x *index) point(logID uuid.UUID) snapshotPoint {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return snapshotPoint{logID, x.end, x.head, x.headCRC}
}

// writeSnapshot stores the index as of a point, while it may be growing.
func (x *index) writeSnapshot(d disk, dir string, p snapshotPoint) (err error) {
	path := filepath.Join(dir, snapshotName)
	f, err := d.open(path+".tmp", os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	failpoint("snapshot: file made")
	e := newEncoder(io.NewOffsetWriter(f, 0))
	e.header(p)
	x.each(func(s *stream, seen sight) { e.stream(s.name, seen, p.covered) })
	e.uvarint(0) // no stream has an empty name: the end of the streams
	x.mu.RLock()
	places := x.places
	x.mu.RUnlock()
	e.places(places, p.covered)
	if err := errors.Join(e.finish(), f.sync(), f.Close()); err != nil {
		return errors.Join(err, d.remove(path+".tmp"))
	}
	failpoint("snapshot: synced")
	if err := d.rename(path+".tmp", path); err != nil {
		return err
	}
	failpoint("snapshot: named")
	return d.syncFolder(dir)
}

// each visits every stream without holding the lock meanwhile.
func (x *index) each(visit func(*stream, sight)) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, s := range x.streams {
		seen := sight{s.seen, s.events}
		x.mu.RUnlock()
		visit(s, seen)
		x.mu.RLock()
	}
}

type encoder struct {
	out  *bufio.Writer
	sum  hash.Hash32
	err  error
	word [binary.MaxVarintLen64]byte
}

func newEncoder(f io.Writer) *encoder {
	sum := crc32.New(castagnoli)
	return &encoder{out: bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<16), sum: sum}
}

func (e *encoder) bytes(b []byte) {
	if e.err == nil {
		_, e.err = e.out.Write(b)
	}
}

func (e *encoder) uint64(v uint64)  { e.bytes(le.AppendUint64(e.word[:0], v)) }
func (e *encoder) uvarint(v uint64) { e.bytes(binary.AppendUvarint(e.word[:0], v)) }

func (e *encoder) header(p snapshotPoint) {
	e.uint64(snapshotVersion<<32 | snapshotMagic)
	e.bytes(p.logID[:])
	e.uint64(p.covered)
	e.uint64(p.head)
	e.uint64(uint64(p.headCRC))
}

// stream writes one stream as of covered; one that came later is left out.
func (e *encoder) stream(name string, s sight, covered uint64) {
	n := sort.Search(len(s.events), func(i int) bool { return s.events[i].at >= covered })
	tombstone := s.tombstone
	if tombstone >= covered {
		tombstone = 0
	}
	if n == 0 && tombstone == 0 {
		return
	}
	e.uvarint(uint64(len(name)))
	e.bytes([]byte(name))
	e.uvarint(tombstone)
	e.uvarint(uint64(n))
	last := uint64(0)
	for _, v := range s.events[:n] {
		e.uvarint(v.at - last)
		e.uint64(v.hash)
		last = v.at
	}
}

func (e *encoder) places(places []uint64, covered uint64) {
	n := sort.Search(len(places), func(i int) bool { return places[i] >= covered })
	e.uvarint(uint64(n))
	last := uint64(0)
	for _, at := range places[:n] {
		e.uvarint(at - last)
		last = at
	}
}

func (e *encoder) finish() error {
	if err := errors.Join(e.err, e.out.Flush()); err != nil {
		return err
	}
	e.bytes(le.AppendUint32(nil, e.sum.Sum32()))
	return errors.Join(e.err, e.out.Flush())
}

// readSnapshot loads what writeSnapshot stored. Nothing of it may be used
// unless it checks to the last byte.
func readSnapshot(on disk, dir string) (x *index, p snapshotPoint, err error) {
	f, err := on.open(filepath.Join(dir, snapshotName), os.O_RDONLY)
	if err != nil {
		return nil, p, err
	}
	defer f.Close()
	size, err := f.size()
	if err != nil {
		return nil, p, err
	}
	body := size - 4
	if body < 0 {
		return nil, p, errSnapshot
	}
	sum := crc32.New(castagnoli)
	d := &decoder{in: bufio.NewReaderSize(io.TeeReader(io.NewSectionReader(f, 0, body), sum), 1<<16), left: body}
	x = newIndex()
	if p, err = d.header(), d.err; err == nil {
		d.streams(x)
		d.places(x)
		x.end, x.head, x.headCRC = p.covered, p.head, p.headCRC
	}
	var trailer [4]byte
	if _, err := f.ReadAt(trailer[:], body); err != nil {
		return nil, p, err
	}
	if d.err != nil || d.in.Buffered() > 0 || le.Uint32(trailer[:]) != sum.Sum32() {
		return nil, p, errSnapshot
	}
	return x, p, nil
}

type decoder struct {
	in   *bufio.Reader
	left int64 // bytes of the file, an upper bound for every count
	err  error
}

func (d *decoder) bytes(n uint64) []byte {
	if d.err != nil || n > uint64(d.left) {
		d.err = errors.Join(d.err, errSnapshot)
		return nil
	}
	b := make([]byte, n)
	_, d.err = io.ReadFull(d.in, b)
	return b
}

func (d *decoder) uint64() uint64 {
	var word [8]byte
	if d.err == nil {
		_, d.err = io.ReadFull(d.in, word[:])
	}
	return le.Uint64(word[:])
}

func (d *decoder) uvarint() (v uint64) {
	if d.err == nil {
		v, d.err = binary.ReadUvarint(d.in)
	}
	return v
}

func (d *decoder) count() uint64 {
	n := d.uvarint()
	if n > uint64(d.left) {
		d.err = errSnapshot
	}
	if d.err != nil {
		return 0
	}
	return n
}

func (d *decoder) header() (p snapshotPoint) {
	if d.uint64() != snapshotVersion<<32|snapshotMagic {
		d.err = errSnapshot
	}
	copy(p.logID[:], d.bytes(16))
	p.covered, p.head, p.headCRC = d.uint64(), d.uint64(), uint32(d.uint64())
	return p
}

func (d *decoder) streams(x *index) {
	for name := d.bytes(d.count()); len(name) > 0; name = d.bytes(d.count()) {
		s := x.make(string(name))
		s.seen.tombstone = d.uvarint()
		n := d.count()
		s.events = make([]event, 0, n)
		last := uint64(0)
		for range n {
			last += d.uvarint()
			s.events = append(s.events, event{last, d.uint64()})
			if d.err != nil {
				return
			}
		}
		s.seen.count = int64(n)
		s.next = s.seen
	}
}

func (d *decoder) places(x *index) {
	n := d.count()
	x.places = make([]uint64, 0, n)
	last := uint64(0)
	for range n {
		last += d.uvarint()
		x.places = append(x.places, last)
	}
}
