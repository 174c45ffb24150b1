package log

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/google/uuid"
)

// The stored format. It is for ever: README.md describes it and
// testdata/format.golden pins it byte for byte. Numbers are little-endian.
const (
	formatVersion = 1

	pageSize   = 4096 // a segment's header and its footer
	sectorSize = 512  // what a disk writes whole

	groupHeaderSize  = 48
	groupTrailerSize = 8
	frameHeaderSize  = 40 // then the stream's name
	recordHeaderSize = 32
	recordTailSize   = 60 // the part of a serialized event that only the writer knows

	segmentMagic = 0x47535944 // "DYSG"
	footerMagic  = 0x46535944 // "DYSF"
	groupMagic   = 0x31475944 // "DYG1"
	frameMagic   = 0x31465944 // "DYF1"
	recordMagic  = 0x31455944 // "DYE1"
	trailerMagic = 0xA5A5A5A5 // twice; never zero, so a group's last sector tells whether it was written
	markMagic    = 0x4b4d5944 // "DYMK"

	segmentOverhead = 2 * pageSize
	groupOverhead   = groupHeaderSize + groupTrailerSize
	appendMax       = 16 << 20 // bytes of one frame
	streamNameMax   = 1<<16 - 1
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// sign puts the checksum of everything behind it into bytes 4 to 8.
func sign(b []byte) { le.PutUint32(b[4:], checksum(b[8:])) }

func signed(b []byte, magic uint32) bool {
	return le.Uint32(b) == magic && le.Uint32(b[4:]) == checksum(b[8:])
}

// A segmentHeader is the first page of a segment.
type segmentHeader struct {
	base  uint64 // the position of the file's first byte
	size  int64  // of the whole file, header and footer included
	logID uuid.UUID
}

func (h segmentHeader) page() []byte {
	b := make([]byte, pageSize)
	le.PutUint32(b, segmentMagic)
	le.PutUint64(b[8:], h.base)
	le.PutUint64(b[16:], uint64(h.size))
	copy(b[24:], h.logID[:])
	le.PutUint32(b[40:], formatVersion)
	sign(b)
	return b
}

func parseSegmentHeader(b []byte) (h segmentHeader, ok bool) {
	if len(b) < pageSize || !signed(b[:pageSize], segmentMagic) || le.Uint32(b[40:]) != formatVersion {
		return h, false
	}
	h.base, h.size = le.Uint64(b[8:]), int64(le.Uint64(b[16:]))
	copy(h.logID[:], b[24:])
	return h, h.size >= segmentOverhead
}

// A segmentFooter is the last page of a sealed segment; before the seal it is zero.
type segmentFooter struct {
	base, end   uint64 // the segment's first position, and the one behind its last group
	first, last uint64 // positions of its first and last event, 0 without events
	events      uint64
	body        uint32 // checksum of everything from the header page to end
}

func (f segmentFooter) page() []byte {
	b := make([]byte, pageSize)
	le.PutUint32(b, footerMagic)
	for i, v := range []uint64{f.base, f.end, f.first, f.last, f.events, uint64(f.body)} {
		le.PutUint64(b[8+8*i:], v)
	}
	sign(b)
	return b
}

func parseSegmentFooter(b []byte, h segmentHeader) (f segmentFooter, ok bool) {
	if len(b) < pageSize || !signed(b[:pageSize], footerMagic) {
		return f, false
	}
	for i, v := range []*uint64{&f.base, &f.end, &f.first, &f.last, &f.events} {
		*v = le.Uint64(b[8+8*i:])
	}
	f.body = uint32(le.Uint64(b[48:]))
	inside := f.end >= h.base+pageSize && f.end <= h.base+uint64(h.size)-pageSize
	return f, f.base == h.base && inside
}

// A groupHeader begins what one sync makes durable.
type groupHeader struct {
	length  int // header and trailer included
	frames  int
	events  int
	zeros   int    // sectors of the group that are rightly all zero
	at      uint64 // its own position
	durable uint64 // the end of what was durable when it was written
	ticks   uint64 // when, in 100 ns since 1970
}

func (h groupHeader) put(b []byte) {
	le.PutUint32(b, groupMagic)
	le.PutUint32(b[8:], uint32(h.length))
	le.PutUint32(b[12:], uint32(h.frames))
	le.PutUint64(b[16:], h.at)
	le.PutUint64(b[24:], h.durable)
	le.PutUint64(b[32:], h.ticks)
	le.PutUint32(b[40:], uint32(h.zeros))
	le.PutUint32(b[44:], uint32(h.events))
	sign(b[:groupHeaderSize])
}

func parseGroupHeader(b []byte, at uint64) (h groupHeader, ok bool) {
	if len(b) < groupHeaderSize || !signed(b[:groupHeaderSize], groupMagic) {
		return h, false
	}
	h = groupHeader{
		length: int(le.Uint32(b[8:])), frames: int(le.Uint32(b[12:])), events: int(le.Uint32(b[44:])),
		zeros: int(le.Uint32(b[40:])), at: le.Uint64(b[16:]), durable: le.Uint64(b[24:]), ticks: le.Uint64(b[32:]),
	}
	return h, h.at == at && h.length >= groupOverhead
}

// sealGroup writes header and trailer around frames; b begins with room for the
// header and ends behind the last frame.
func sealGroup(b []byte, h groupHeader) []byte {
	b = le.AppendUint64(b, trailerMagic<<32|trailerMagic)
	h.length = len(b)
	h.put(b)
	h.zeros, _ = countSectors(b, h.at)
	h.put(b)
	return b
}

// countSectors counts the sectors that b covers, whole or in part, by whether
// its bytes in them are all zero.
func countSectors(b []byte, at uint64) (zero, written int) {
	for len(b) > 0 {
		n := min(len(b), sectorSize-int(at%sectorSize))
		if allZero(b[:n]) {
			zero++
		} else {
			written++
		}
		b, at = b[n:], at+uint64(n)
	}
	return zero, written
}

func allZero(b []byte) bool {
	if len(b) > 0 && b[len(b)-1] != 0 { // most sectors are told by their last byte
		return false
	}
	for len(b) >= 8 {
		if le.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
