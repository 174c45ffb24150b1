package log

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/test/level"
)

func checked(t *testing.T, dir string) *Report {
	t.Helper()
	r, err := Check(t.Context(), CheckOptions{Dir: dir})
	require.NoError(t, err)
	return r
}

// damaged checks a copy of the log after damage did its work on it.
func (s stored) damaged(t *testing.T, damage func(files map[string][]byte)) *Report {
	t.Helper()
	files := s.harmed(func(_ stored, _ *rand.Rand, files map[string][]byte) { damage(files) }, nil)
	return s.checkedCopy(t, files)
}

// checkedCopy checks a copy of the log's files; one that is nil is gone.
func (s stored) checkedCopy(t *testing.T, files map[string][]byte) *Report {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	for name, content := range files {
		if content != nil {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
		}
	}
	return checked(t, dir)
}

// A footprint is everything about a folder that a reader must not change.
func footprint(t *testing.T, dir string) (files []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		info, err := entry.Info()
		require.NoError(t, err)
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		require.NoError(t, err)
		files = append(files, fmt.Sprint(entry.Name(), info.Mode(), info.ModTime(), checksum(content), len(content)))
	}
	return files
}

func TestASoundLogChecksAndIsLeftAsItWas(t *testing.T) {
	t.Parallel()
	// given a log of several segments, with metadata, deletions and a tombstone
	o := small(t.TempDir())
	l := open(t, o)
	for i := range 100 {
		appended(t, l, fmt.Sprintf("s-%d", i%9), Any, proposed(1+i%7)...)
	}
	_, err := l.Delete(t.Context(), "s-1", Any)
	require.NoError(t, err)
	appended(t, l, "s-1", Any, proposed(1)...)
	_, err = l.Tombstone(t.Context(), "s-2", Any)
	require.NoError(t, err)
	want := everything(t, l)
	require.NoError(t, l.Close())
	before := footprint(t, o.Dir)

	// when it is checked
	r := checked(t, o.Dir)

	// then nothing is wrong with it, everything was counted, and not one byte changed
	require.Empty(t, r.Faults)
	require.Empty(t, r.Notes)
	require.EqualValues(t, len(want), r.Events)
	require.Equal(t, want[len(want)-1].Position, r.Head)
	require.Equal(t, l.writer.end, r.End)
	require.Equal(t, l.ID(), r.LogID)
	require.Equal(t, before, footprint(t, o.Dir))
}

// groupsOf finds where a segment's groups begin, and where the last one ends.
func (s stored) groupsOf(name string) (begins []int, events []int) {
	content := s.files[name]
	h, _ := parseSegmentHeader(content)
	for at := pageSize; ; {
		g, ok := parseGroupHeader(content[at:], h.base+uint64(at))
		begins = append(begins, at)
		if !ok {
			return begins, events
		}
		events = append(events, g.events)
		at += g.length
	}
}

func TestEveryFlippedBitIsFoundWithWhatIsGoodAroundIt(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	random := rand.New(rand.NewPCG(5, 6))
	total := int64(len(s.records))
	for range level.Of(40, 100, 2000) {
		// given one bit of a sealed segment's groups that is not as it was written
		name := segmentName([]uint64{0, 64 << 10}[random.IntN(2)])
		begins, events := s.groupsOf(name)
		at := pageSize + random.IntN(begins[len(begins)-1]-pageSize)
		hit, exact := slices.BinarySearch(begins, at)
		if !exact {
			hit--
		}

		// when the log is checked
		r := s.damaged(t, func(files map[string][]byte) { files[name][at] ^= 1 << random.IntN(8) })

		// then the group is named by file and offset, and all others are good
		require.NotEmpty(t, r.Faults)
		f := r.Faults[0]
		require.Equal(t, name, f.File)
		require.EqualValues(t, begins[hit], f.Offset)
		require.Len(t, r.Faults, 1)
		require.Equal(t, total-int64(events[hit]), r.Events)
		require.Equal(t, r.Events, f.Before.Events+f.After.Events)
		if f.Before.Groups > 0 {
			require.EqualValues(t, pageSize, f.Before.From)
			if hit > 0 { // or else the stretch ends in the segment before
				require.Equal(t, f.Position, f.Before.To)
			}
		}
		require.Equal(t, r.End, f.After.To)
		require.LessOrEqual(t, f.Missing, int64(events[hit]))
	}
}

func TestWhatIsWrongWithAFileIsNamed(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	first, second := segmentName(0), segmentName(64<<10)
	liveAt := func(files map[string][]byte) []byte { return files[s.live] }
	for name, c := range map[string]struct {
		damage func(files map[string][]byte)
		file   string
		says   string
		others int // faults that follow from it
	}{
		"a header":       {func(f map[string][]byte) { f[second][9] ^= 1 }, second, "the segment's header page is damaged", 0},
		"a footer":       {func(f map[string][]byte) { f[second][len(f[second])-pageSize+20] ^= 1 }, second, "the segment's footer page is damaged", 0},
		"a lost footer":  {func(f map[string][]byte) { clear(f[second][len(f[second])-pageSize:]) }, second, "is not sealed, but the one after it is used", 0},
		"a missing one":  {func(f map[string][]byte) { f[second] = nil }, second, "the segment is missing, and there are later ones", 0},
		"the first":      {func(f map[string][]byte) { f[first] = nil }, first, "the segment is missing", 0},
		"a short one":    {func(f map[string][]byte) { f[second] = f[second][:8<<10] }, second, "the file has 8192 bytes, its header says 65536", 0},
		"behind the end": {func(f map[string][]byte) { f[second][len(f[second])-pageSize-1] ^= 1 }, second, "bytes that belong to no group", 0},
		"an older mark":  {func(f map[string][]byte) { clear(f[markName]); copy(f[markName], newMark(logIDOf(f[first]), 5000)) }, markName, "where no group ends", 0},
		"a spoilt mark":  {func(f map[string][]byte) { f[markName][20] ^= 1 }, markName, "a slot of the mark does not check", 0},
		"another's mark": {func(f map[string][]byte) { copy(f[markName], newMark(uuid.New(), 5000)); clear(f[markName][:markSize]) }, markName, "belongs to another log", 0},
		"a lost end":     {func(f map[string][]byte) { clear(liveAt(f)[s.last:s.end]) }, s.live, "the log ends here, but was durable up to position", 0},
		"the last group": {func(f map[string][]byte) { f[markName] = nil; liveAt(f)[s.end-20] ^= 1 }, s.live, "every sector of the group was written, but it is damaged", 0},
		"the snapshot":   {func(f map[string][]byte) { f[snapshotName][100] ^= 1 }, snapshotName, "does not check", 0},
		"a cut snapshot": {func(f map[string][]byte) { f[snapshotName] = f[snapshotName][:2] }, snapshotName, "does not check", 0},
		"another's header": {func(f map[string][]byte) {
			h, _ := parseSegmentHeader(f[second])
			h.logID = uuid.New()
			copy(f[second], h.page())
		}, second, "belongs to another log", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := s.damaged(t, c.damage)
			require.NotEmpty(t, r.Faults)
			require.Equal(t, c.file, r.Faults[0].File, "%+v", r.Faults)
			require.Contains(t, r.Faults[0].Reason, c.says)
			require.Len(t, r.Faults, 1+c.others, "%+v", r.Faults)
			if f := r.Faults[0]; f.Before != nil {
				require.NotNil(t, f.After)
			}
		})
	}
}

func logIDOf(segment []byte) uuid.UUID {
	h, _ := parseSegmentHeader(segment)
	return h.logID
}

func TestATornGroupIsNoDamage(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	// given a last group that was never acknowledged and is there in part
	r := s.damaged(t, func(files map[string][]byte) {
		files[markName], files[snapshotName] = nil, nil
		clear(files[s.live][(s.last+sectorSize)&^(sectorSize-1) : s.end])
	})
	// then it is told apart, for the next start cuts it off
	require.Empty(t, r.Faults)
	require.Len(t, r.Notes, 2)
	require.Contains(t, r.Notes[1], "never acknowledged")
}

func TestAStreamThatSkipsARevisionIsFound(t *testing.T) {
	t.Parallel()
	// given a log whose groups all check, but one event of a stream was never in it
	s := storedLog(t)
	r := s.damaged(t, func(files map[string][]byte) {
		files[snapshotName] = nil
		h, _ := parseSegmentHeader(files[s.live])
		at := h.base + uint64(s.last)
		files[markName] = newMark(h.logID, at)
		events := proposed(2)
		f := encodeFrame("new", events)
		f.settle(f.bytes, at+groupHeaderSize, 1, ticksMax) // and should begin at 0
		clear(files[s.live][s.last:s.end])
		b := append(make([]byte, groupHeaderSize), f.bytes...)
		copy(files[s.live][s.last:], sealGroup(b, groupHeader{frames: 1, events: 2, at: at, durable: at, ticks: ticksMax}))
	})
	require.Len(t, r.Faults, 1)
	require.Contains(t, r.Faults[0].Reason, "should come next in its stream")
}

// A check beside a loaded writer sees groups half written, segments sealed and
// made under its eyes, and the snapshot and the mark replaced.
func TestACheckBesideAWriterCallsNothingDamaged(t *testing.T) {
	t.Parallel()
	// given a log that four callers append to
	o := small(t.TempDir())
	l := open(t, o)
	appended(t, l, "first", NoStream, proposed(1)...)
	ctx, stop := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for c := range 4 {
		wait.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := l.Append(t.Context(), Append{Stream: fmt.Sprintf("s-%d", c), Expected: Any, Events: proposed(1 + i%20)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	// when it is checked again and again
	checks, events := 0, int64(0)
	enough := func() bool { return checks > 2 && len(*l.segments.Load()) > 3 }
	for begun := time.Now(); time.Since(begun) < time.Second || !enough() && time.Since(begun) < time.Minute; checks++ {
		r := checked(t, o.Dir)
		// then nothing is called damaged, and each check sees more
		require.Empty(t, r.Faults, "%+v", r.Faults)
		require.GreaterOrEqual(t, r.Events, events)
		events = r.Events
	}
	stop()
	wait.Wait()
	require.True(t, enough(), "the writer and the checks did not meet")
	require.EqualValues(t, len(everything(t, l)), checked(t, o.Dir).Events)
}
