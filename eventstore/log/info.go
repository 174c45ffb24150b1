package log

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
)

// An Info is what a log's files say of it, as far as nothing is wrong with them.
type Info struct {
	LogID    uuid.UUID
	Format   int
	Segments []SegmentInfo
	Events   uint64
	Streams  int
	Head     uint64 // position of the last event, 0 for none
	End      uint64 // behind the last group
	Bytes    int64  // of the groups
	Mark     uint64 // up to where the mark calls the log durable, 0 without one
	Snapshot SnapshotInfo
}

// A SegmentState is what a segment is used for.
type SegmentState string

// States of a segment.
const (
	SegmentSealed SegmentState = "sealed"
	SegmentLive   SegmentState = "live"   // takes the next group
	SegmentUnused SegmentState = "unused" // made ahead
)

// A SegmentInfo is what is known of one segment.
type SegmentInfo struct {
	Name   string
	Size   int64
	State  SegmentState
	Events uint64
	First  uint64 // positions of its first and last event, 0 without events
	Last   uint64
	End    uint64 // behind its last group
}

// A SnapshotInfo tells how much of the log a start need not read.
type SnapshotInfo struct {
	Written time.Time // zero: there is none that checks
	Covered uint64    // it knows every event before
	Bytes   int64
}

// Inspect tells what the log in dir is. It changes nothing and may run beside
// the process that has the log open. It reads the live segment, and those that no
// snapshot of the index covers, and reports progress on them in bytes.
func Inspect(ctx context.Context, dir string, progress func(done, total int64)) (i Info, err error) {
	bases, err := segmentNames(dir)
	if err == nil && len(bases) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return i, err
	}
	i.Format = formatVersion
	mark, err := readMark(dir)
	if err != nil {
		return i, err
	}
	i.Mark = mark.Durable
	streams, err := i.snapshot(dir)
	if err != nil {
		return i, err
	}
	g := &gauge{tell: progress}
	for _, base := range bases {
		if file, err := os.Stat(filepath.Join(dir, segmentName(base))); err == nil {
			g.total += file.Size()
		}
	}
	for base, more := uint64(0), true; more; {
		if err = ctx.Err(); err == nil {
			base, more, err = i.segment(dir, base, g, streams)
		}
		if err != nil {
			return i, err
		}
	}
	i.Streams = len(streams)
	return i, nil
}

// snapshot tells what the snapshot of the index knows, if it checks.
func (i *Info) snapshot(dir string) (streams map[string]bool, err error) {
	streams = map[string]bool{}
	info, err := os.Stat(filepath.Join(dir, snapshotName))
	if errors.Is(err, fs.ErrNotExist) {
		return streams, nil
	}
	if err != nil {
		return nil, err
	}
	x, point, err := readSnapshot(localDisk{}, dir)
	if err != nil { // it is rebuilt when it is needed
		return streams, nil //nolint:nilerr // as it says
	}
	i.Snapshot = SnapshotInfo{Written: info.ModTime(), Covered: point.covered, Bytes: info.Size()}
	for name, s := range x.streams {
		if len(s.events) > 0 || s.seen.tombstone != 0 {
			streams[name] = true
		}
	}
	return streams, nil
}

// segment adds the segment at base, and tells where the next one begins.
func (i *Info) segment(dir string, base uint64, g *gauge, streams map[string]bool) (next uint64, more bool, err error) {
	s, err := openSegmentFile(dir, base)
	if s == nil {
		if base > 0 && errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return 0, false, err
	}
	defer s.file.Close()
	if err != nil {
		return 0, false, err
	}
	i.LogID = s.logID
	footer, sealed, err := s.footer()
	if err != nil {
		return 0, false, err
	}
	state := SegmentSealed
	if !sealed || s.next() > i.Snapshot.Covered {
		found := segmentFooter{end: s.first()}
		if _, err = s.walk(s.first(), func(group group) error {
			found.sum(group)
			for _, v := range group.views {
				streams[string(v.stream)] = true
			}
			g.at(g.passed + int64(found.end-s.base))
			return nil
		}); err != nil {
			return 0, false, err
		}
		footer = found
	}
	if !sealed {
		state = i.unsealed(footer.events)
	}
	i.add(s, state, footer)
	g.passed += s.size
	g.at(g.passed)
	return s.next(), true, nil
}

// unsealed tells the live segment from one behind it.
func (i *Info) unsealed(events uint64) SegmentState {
	for _, s := range i.Segments {
		if s.State == SegmentLive && events == 0 {
			return SegmentUnused
		}
	}
	return SegmentLive
}

func (i *Info) add(s *segmentFile, state SegmentState, f segmentFooter) {
	i.Segments = append(i.Segments, SegmentInfo{
		Name: segmentName(s.base), Size: s.size, State: state, Events: f.events, First: f.first, Last: f.last, End: f.end,
	})
	if state == SegmentUnused {
		return
	}
	i.Events += f.events
	i.Bytes += int64(f.end - s.first())
	i.End = f.end
	if f.last != 0 {
		i.Head = f.last
	}
}
