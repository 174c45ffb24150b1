package log

import (
	"bytes"
	"fmt"
)

// Damaged says that stored bytes are not what was written. The log refuses to
// go on rather than to lose what stood there in silence.
type Damaged struct { //nolint:errname // reads as it is meant: the log is damaged
	File   string
	Offset int64
	Reason string
}

func (d *Damaged) Error() string {
	return fmt.Sprintf("log damaged: %s at byte %d: %s; run `daybook node fsck` to see what is good, then restore a backup", d.File, d.Offset, d.Reason)
}

// inspectTail judges what stands behind the last valid group of a live segment.
// A group that a power cut tore was never acknowledged: some sector of it was
// never written and is still zero, so it may be cut; so may one whose writing
// broke off and left its trailer, which has no zeros, unfinished. If it was
// written to its end, every sector, and it does not check, it was whole once:
// that is damage. rest begins at end, where the next group would begin, and
// behind it the segment is zero.
func inspectTail(rest []byte, end uint64) (damage string) {
	if laterGroup(rest, end) {
		return "this group does not check, but one that was written after it does"
	}
	if h, ok := parseGroupHeader(rest, end); ok {
		return inspectGroup(rest, h)
	}
	header := min(len(rest), groupHeaderSize)
	// The sectors it reaches into are judged whole: its own end may rightly be zero.
	sectors := (end+groupHeaderSize+sectorSize-1)/sectorSize*sectorSize - end
	zero, written := countSectors(rest[:min(len(rest), int(sectors))], end)
	if zero > 0 || written == 0 || allZero(rest[header:]) { // a group has more than a header
		return ""
	}
	return "the group's header was written, but it is damaged"
}

func inspectGroup(rest []byte, h groupHeader) (damage string) {
	if h.length > len(rest) { // its trailer is zero
		return ""
	}
	if zero, _ := countSectors(rest[:h.length], h.at); zero > h.zeros || brokenOff(rest[:h.length]) {
		return ""
	}
	return "every sector of the group was written, but it is damaged"
}

// laterGroup finds a group header behind the first bytes that was written when
// these were already durable. One group is in flight at a time, so a torn group
// has none.
func laterGroup(rest []byte, end uint64) bool {
	magic := le.AppendUint32(nil, groupMagic)
	for i := 1; i < len(rest); i++ {
		next := bytes.Index(rest[i:], magic)
		if next < 0 {
			return false
		}
		i += next
		if h, ok := parseGroupHeader(rest[i:], end+uint64(i)); ok && h.durable > end {
			return true
		}
	}
	return false
}

// brokenOff tells whether the writing of a group stopped in its last sector: the
// trailer is written in part, or not at all, and zero from there on.
func brokenOff(group []byte) bool {
	trailer := group[len(group)-groupTrailerSize:]
	begun := bytes.TrimRight(trailer, "\x00")
	return len(begun) < groupTrailerSize && len(bytes.Trim(begun, "\xa5")) == 0
}
