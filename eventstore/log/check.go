package log

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// CheckOptions of Check. Only Dir is required.
type CheckOptions struct {
	Dir      string
	Progress func(done, total int64) // called while the log is read, in bytes
}

// A Stretch is a part of the log in which everything checks.
type Stretch struct {
	From   uint64 // where it begins
	To     uint64 // and ends
	Groups int64
	Events int64
}

// A Fault is one place in a log's files that is not as it was written.
type Fault struct {
	File     string
	Offset   int64  // in the file
	Position uint64 // in the log; 0 beside it
	Reason   string
	Before   *Stretch // what checks before it, since the fault before; nil beside the log
	After    *Stretch // what checks behind it, up to the next fault
	Missing  int64    // events of which later ones of their stream say that they are missing here
}

// A Report is what Check found.
type Report struct {
	LogID    uuid.UUID
	Segments int
	Groups   int64
	Events   int64
	Streams  int
	Head     uint64 // position of the last event that checks
	End      uint64 // where the log ends
	Faults   []Fault
	More     int      // faults beyond the first thousand
	Notes    []string // what is no fault, and what could not be judged
}

const (
	faultsMax  = 1000
	tombstoned = int64(-1) // as the next revision of a stream
)

// A checker reads a log's files from front to back.
type checker struct {
	CheckOptions
	report   *Report
	mark     markState
	marked   bool // a group ends where the mark says
	next     map[string]int64
	ticks    uint64
	good     Stretch      // the one being read
	open     []int        // faults that wait for what is behind them
	hole     int          // the last fault with a hole in the log, -1 before
	live     *segmentFile // the one that is not sealed, once it is found
	ended    bool         // the rest is being written and left to the next check
	snapshot *snapshotCheck
	gauge
}

// Check reads every file of the log in o.Dir and tells what is not as it was
// written. It changes and leaves nothing, and may run beside the process that
// has the log open: what that one appends meanwhile is checked as far as it was
// durable when the check began. Its error says that the files could not be read;
// what they hold is in the report.
func Check(ctx context.Context, o CheckOptions) (*Report, error) {
	c := &checker{CheckOptions: o, report: &Report{}, next: map[string]int64{}, hole: -1, gauge: gauge{tell: o.Progress}}
	bases, err := segmentNames(o.Dir)
	if err != nil {
		return nil, err
	}
	if len(bases) == 0 {
		return nil, fmt.Errorf("%s holds no segment of a log: %w", o.Dir, fs.ErrNotExist)
	}
	for _, step := range []func() error{c.lookAround, c.takeMark, c.takeSnapshot} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	for base, ok := uint64(0), true; ok && !c.ended; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if base, ok, err = c.segment(base); err != nil {
			return nil, err
		}
	}
	c.conclude()
	if c.live != nil {
		c.live.file.Close()
	}
	return c.report, nil
}

// lookAround notes what is in the folder and does not belong there.
func (c *checker) lookAround() error {
	entries, err := os.ReadDir(c.Dir)
	for _, entry := range entries {
		name := entry.Name()
		info, gone := entry.Info()
		switch {
		case gone != nil:
		case strings.HasSuffix(name, ".seg"):
			c.total += info.Size()
		case strings.HasSuffix(name, ".tmp"):
			c.note("%s is being made, or was left by a crash: the next start removes it", name)
		case !slices.Contains([]string{"LOCK", markName, snapshotName, manifestName}, name):
			c.note("%s is no file of the log", name)
		}
	}
	return err
}

// takeMark reads the mark before anything else: what it calls durable must be
// found, whatever is appended meanwhile.
func (c *checker) takeMark() (err error) {
	for range settleTries {
		if c.mark, err = readMark(c.Dir); err != nil || c.mark.spoilt == 0 {
			break
		}
		time.Sleep(settlePause) // it may just be written
	}
	switch {
	case err != nil:
		return err
	case c.mark.spoilt > 0:
		c.beside(markName, "a slot of the mark does not check; the next start writes it anew")
	case c.mark.Sequence == 0:
		c.note("there is no mark: nothing tells how far the log was durable")
	}
	return nil
}

func (c *checker) note(format string, a ...any) {
	c.report.Notes = append(c.report.Notes, fmt.Sprintf(format, a...))
}

// beside adds a fault of a file that is not the log itself.
func (c *checker) beside(file, reason string) {
	c.add(Fault{File: file, Reason: reason})
}

func (c *checker) add(f Fault) bool {
	if len(c.report.Faults) == faultsMax {
		c.report.More++
		return false
	}
	c.report.Faults = append(c.report.Faults, f)
	return true
}

// fault adds one at a position of the log, and ends the stretch before it there.
func (c *checker) fault(s *segmentFile, at uint64, reason string) {
	before := c.close(at)
	if !c.add(Fault{File: filepath.Base(s.path), Offset: int64(at - s.base), Position: at, Reason: reason, Before: &before}) {
		return
	}
	c.open = append(c.open, len(c.report.Faults)-1)
}

// close ends the stretch that is being read. It is what is good behind the
// faults that wait for one; those with nothing between them share the next.
func (c *checker) close(at uint64) Stretch {
	good := c.good
	if good.Groups == 0 {
		return Stretch{From: at, To: at}
	}
	c.settle(good)
	c.good = Stretch{}
	return good
}

func (c *checker) settle(good Stretch) {
	for _, i := range c.open {
		c.report.Faults[i].After = &good
	}
	c.open = nil
}

// wrong is fault for an error that tells of damage.
func (c *checker) wrong(s *segmentFile, err error) error {
	var damaged *Damaged
	if !errors.As(err, &damaged) {
		return err
	}
	c.fault(s, s.base+uint64(damaged.Offset), damaged.Reason)
	return nil
}

// segment checks the segment at base and tells where the next one begins.
func (c *checker) segment(base uint64) (next uint64, more bool, err error) {
	s, err := openSegmentFile(c.Dir, base)
	if errors.Is(err, fs.ErrNotExist) {
		return c.missing(base)
	}
	if s == nil { // a format to come, or a disk that does not read
		return 0, false, err
	}
	defer c.leave(s)
	if err != nil {
		if err := c.wrong(s, err); err != nil {
			return 0, false, err
		}
	}
	if s.short {
		c.hole = len(c.report.Faults) - 1
	}
	c.belongs(s)
	c.report.Segments++
	if c.live != nil {
		err = c.unused(s)
	} else {
		err = c.groups(s)
	}
	c.passed += s.size
	c.at(c.passed)
	return s.next(), true, err
}

// leave closes a segment's file, but for that of the live one.
func (c *checker) leave(s *segmentFile) {
	if s != c.live {
		s.file.Close()
	}
}

// missing tells the log's end from a segment that is not there.
func (c *checker) missing(base uint64) (next uint64, more bool, err error) {
	bases, err := segmentNames(c.Dir)
	if err != nil {
		return 0, false, err
	}
	if i, there := slices.BinarySearch(bases, base); there { // made just now
		return base, true, nil
	} else if i < len(bases) {
		c.fault(&segmentFile{segmentHeader: segmentHeader{base: base}, path: segmentName(base)}, base, "the segment is missing, and there are later ones")
		c.hole = len(c.report.Faults) - 1
		return bases[i], true, nil
	}
	if c.live == nil && !c.ended {
		c.fault(&segmentFile{segmentHeader: segmentHeader{base: base}, path: segmentName(base)}, base, "the segment is missing, and every one before it is sealed")
	}
	return 0, false, nil
}

func (c *checker) belongs(s *segmentFile) {
	if s.logID == uuid.Nil { // its header is damaged, which was said
		return
	}
	if c.report.LogID == uuid.Nil {
		c.report.LogID = s.logID
		if c.mark.Sequence > 0 && c.mark.LogID != s.logID {
			c.beside(markName, "the mark belongs to another log")
		}
	}
	if s.logID != c.report.LogID {
		c.fault(s, s.base, "the segment belongs to another log")
	}
}

// groups checks a segment's groups, with what stands between and behind them.
func (c *checker) groups(s *segmentFile) error {
	found := segmentFooter{end: s.first()}
	c.reached(s.first())
	for at, done := s.first(), false; !done; {
		end, err := s.walk(at, func(g group) error { found.sum(g); c.visit(s, g); return nil })
		if err == nil {
			at, done, err = c.stopped(s, end, found)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stopped judges the place where groups check no longer: the segment's end, a
// group that was just being written, or a hole with more behind it. It tells
// where to go on.
func (c *checker) stopped(s *segmentFile, end uint64, found segmentFooter) (next uint64, done bool, err error) {
	footer, sealed, spoilt := s.footer()
	if sealed && end >= footer.end {
		return 0, true, c.sealed(s, footer, found)
	}
	if grown, err := c.again(s, end, sealed); grown || err != nil {
		return end, false, err
	}
	next, more, err := s.resync(end + 1)
	if err != nil {
		return 0, false, err
	}
	if more && !sealed {
		if grown, err := s.settles(end); grown || err != nil { // both were written just now
			return end, false, err
		}
	}
	switch {
	case more:
		c.gap(s, end, fmt.Sprintf("the group does not check; the next one that does begins at byte %d", next-s.base))
		return next, false, nil
	case sealed:
		c.gap(s, end, fmt.Sprintf("the group does not check, nor does anything up to byte %d, where the segment's footer ends it", footer.end-s.base))
		return 0, true, nil
	}
	if spoilt != nil {
		if err := c.wrong(s, spoilt); err != nil {
			return 0, false, err
		}
	}
	return c.unsealed(s, end, spoilt != nil)
}

// again reads once more what did not check: it may have been written meanwhile.
func (c *checker) again(s *segmentFile, end uint64, sealed bool) (grown bool, err error) {
	s.forget()
	b, err := s.bytes(end, groupHeaderSize)
	if err != nil || allZero(b[:min(len(b), groupHeaderSize)]) {
		return false, err
	}
	if sealed {
		_, grown, err = s.group(end)
		return grown, err
	}
	return s.settles(end)
}

// unsealed judges the end of a segment without a footer: it is the log's end,
// unless the next segment is used.
func (c *checker) unsealed(s *segmentFile, end uint64, spoilt bool) (next uint64, done bool, err error) {
	goesOn, err := usedSegment(c.Dir, s.next())
	if err == nil && !goesOn {
		done, err = c.tail(s, end)
		return end, done, err
	}
	if err != nil {
		return 0, false, err
	}
	if _, sealed, _ := s.footer(); sealed { // just now
		return end, false, nil
	}
	rest, err := s.tail(end)
	if err == nil && rest != nil {
		c.gap(s, end, "the group does not check")
	}
	if err == nil && !spoilt && !s.short {
		c.fault(s, s.limit(), "the segment is not sealed, but the one after it is used")
	}
	return 0, true, err
}

func (c *checker) gap(s *segmentFile, at uint64, reason string) {
	c.fault(s, at, reason)
	c.hole = len(c.report.Faults) - 1
}

// sealed compares a footer with the groups that stand before it.
func (c *checker) sealed(s *segmentFile, footer, found segmentFooter) error {
	if c.holeIn(s) {
		return nil // the footer tells nothing new
	}
	if found.base = footer.base; !footer.agrees(found) {
		c.fault(s, s.limit(), "the segment's groups are not those that its footer sums up")
		return nil
	}
	rest, err := s.tail(footer.end)
	if err == nil && rest != nil {
		c.fault(s, footer.end, "bytes that belong to no group stand behind the last one; no event is among them")
	}
	return err
}

func (c *checker) holeIn(s *segmentFile) bool {
	return c.hole >= 0 && c.report.Faults[c.hole].File == filepath.Base(s.path)
}

// tail judges the end of the segment that is not sealed. It is not done if the
// log has grown meanwhile.
func (c *checker) tail(s *segmentFile, end uint64) (done bool, err error) {
	rest, err := s.tail(end)
	if err != nil {
		return false, err
	}
	if rest != nil {
		if grown, err := s.settles(end); grown || err != nil {
			return false, err
		}
	}
	now, err := readMark(c.Dir)
	c.live, c.report.End = s, end
	switch {
	case err != nil:
		return false, err
	case c.mark.Durable > end && c.mark.LogID == c.report.LogID:
		c.fault(s, end, fmt.Sprintf("the log ends here, but was durable up to position %d", c.mark.Durable))
	case rest == nil:
	case now.Sequence != c.mark.Sequence:
		c.ended = true
		c.note("the log is being written: what stands behind position %d is left to the next check", end)
	default:
		if reason := inspectTail(rest, end); reason != "" {
			c.fault(s, end, reason)
			break
		}
		c.note("behind position %d stands a group that was never acknowledged: the next start cuts it off", end)
	}
	return true, nil
}

// named tells whether the last fault is the one at a position.
func (c *checker) named(at uint64) bool {
	n := len(c.report.Faults)
	return n > 0 && c.report.Faults[n-1].Before != nil && c.report.Faults[n-1].Position == at
}

// unused checks a segment behind the one that is not sealed: it was made ahead,
// unless the log has gone on into it meanwhile.
func (c *checker) unused(s *segmentFile) error {
	rest, err := s.tail(s.first())
	if err != nil || rest == nil {
		return err
	}
	if _, sealed, _ := c.live.footer(); sealed {
		c.ended = true
		c.note("the log is being written, and has gone on into %s: what stands there is left to the next check", filepath.Base(s.path))
		return nil
	}
	c.fault(s, s.first(), fmt.Sprintf("bytes stand in a segment that was never used: %s before it is not sealed", filepath.Base(c.live.path)))
	return nil
}

// visit checks what a group's bytes alone do not tell.
func (c *checker) visit(s *segmentFile, g group) {
	if c.good.Groups == 0 {
		c.good.From = g.at
	}
	if g.ticks < c.ticks {
		c.fault(s, g.at, "the group says that it was written before the one in front of it")
	}
	c.ticks = g.ticks
	for _, v := range g.views {
		c.event(s, v)
	}
	end := g.at + uint64(g.length)
	c.good.Groups++
	c.good.Events += int64(len(g.views))
	c.good.To, c.report.End = end, end
	c.report.Groups++
	c.report.Events += int64(len(g.views))
	c.reached(end)
	c.at(c.passed + int64(end-s.base))
}

// event checks that the revisions of each stream follow each other.
func (c *checker) event(s *segmentFile, v view) {
	c.report.Head = v.at
	want := c.next[string(v.stream)]
	switch {
	case want == tombstoned:
		c.fault(s, v.at, "the event stands behind its stream's tombstone")
	case v.revision == tombstoneAfter:
		c.next[string(v.stream)] = tombstoned
	case v.revision > want && c.hole >= 0 && c.hole < len(c.report.Faults):
		c.report.Faults[c.hole].Missing += v.revision - want
		c.next[string(v.stream)] = v.revision + 1
	case v.revision != want:
		c.fault(s, v.at, fmt.Sprintf("the event has revision %d, and %d should come next in its stream", v.revision, want))
		c.next[string(v.stream)] = max(want, v.revision+1)
	default:
		c.next[string(v.stream)] = want + 1
	}
	c.snapshot.see(v)
}

func (c *checker) reached(at uint64) { c.marked = c.marked || at == c.mark.Durable }

// conclude judges what only the whole log tells.
func (c *checker) conclude() {
	c.report.Streams = len(c.next)
	if c.hole < 0 && !c.marked && c.mark.Sequence > 0 && c.mark.LogID == c.report.LogID && c.mark.Durable < c.report.End {
		c.beside(markName, fmt.Sprintf("the mark says that the log was durable up to position %d, where no group ends", c.mark.Durable))
	}
	if reason := c.snapshot.conclude(c.report, c.hole >= 0); reason != "" {
		c.beside(snapshotName, reason)
	}
	if c.hole < 0 && c.live != nil && c.snapshot.beyond(c.report) && !c.named(c.report.End) {
		c.fault(c.live, c.report.End, fmt.Sprintf("the log ends here, but by its %s it had events up to position %d", snapshotName, c.snapshot.point.covered))
	}
	c.settle(c.close(c.report.End))
}
