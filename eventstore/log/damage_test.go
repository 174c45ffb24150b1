package log

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"daybook.example/test/level"
)

// A harm is done to a copy of a log's files.
type harm func(s stored, random *rand.Rand, files map[string][]byte)

// segmentsOf are the names of the segments that hold events, oldest first.
func (s stored) segmentsOf() (names []string) {
	for name := range s.files {
		if filepath.Ext(name) == ".seg" && name <= s.live {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (s stored) anyFile(random *rand.Rand) string {
	names := append(s.segmentsOf(), markName, snapshotName)
	return names[random.IntN(len(names))]
}

// ofLast is a place in the last acknowledged group.
func (s stored) ofLast(random *rand.Rand) int { return s.last + random.IntN(s.end-s.last) }

func (s stored) lose(random *rand.Rand, files map[string][]byte) { // all that stands beside the log, or some
	for _, name := range []string{markName, snapshotName} {
		if random.IntN(2) == 0 {
			files[name] = nil
		}
	}
}

// harms are all the damage of the design's T5.
var harms = map[string]harm{
	"a bit flips in the last group, and nothing else knows of it": func(s stored, random *rand.Rand, f map[string][]byte) {
		alone(f)
		f[s.live][s.ofLast(random)] ^= 1 << random.IntN(8)
	},
	"a bit flips in any file": func(s stored, random *rand.Rand, f map[string][]byte) {
		b := f[s.anyFile(random)]
		b[random.IntN(len(b))] ^= 1 << random.IntN(8)
	},
	"a bit flips in a segment, and nothing stands beside it": func(s stored, random *rand.Rand, f map[string][]byte) {
		s.lose(random, f)
		names := s.segmentsOf()
		b := f[names[random.IntN(len(names))]]
		b[random.IntN(len(b))] ^= 1 << random.IntN(8)
	},
	"a file is cut short": func(s stored, random *rand.Rand, f map[string][]byte) {
		name := s.anyFile(random)
		f[name] = f[name][:random.IntN(len(f[name]))]
	},
	"a page is zero": func(s stored, random *rand.Rand, f map[string][]byte) {
		b := f[s.anyFile(random)]
		at := random.IntN(len(b)) &^ (pageSize - 1)
		clear(b[at:min(at+pageSize, len(b))])
	},
	"a sector of the last group is zero": func(s stored, random *rand.Rand, f map[string][]byte) {
		f[[]string{markName, snapshotName}[random.IntN(2)]] = nil // one of them is enough to tell
		at := s.ofLast(random) &^ (sectorSize - 1)
		clear(f[s.live][max(at, s.last):min(at+sectorSize, s.end)])
	},
	"two segments are swapped": func(s stored, random *rand.Rand, f map[string][]byte) {
		names := s.segmentsOf()
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		f[names[0]], f[names[1]] = f[names[1]], f[names[0]]
	},
	"a file is gone": func(s stored, random *rand.Rand, f map[string][]byte) {
		f[s.anyFile(random)] = nil
	},
	"the live segment is an older copy, and so is the mark or the snapshot": func(s stored, random *rand.Rand, f map[string][]byte) {
		f[[]string{markName, snapshotName}[random.IntN(2)]] = nil
		clear(f[s.live][s.last:])
	},
}

// opened opens a log on a copy of the files in memory, and reads all of it.
func (s stored) opened(files map[string][]byte, inspect func([]byte, uint64) string) ([]Record, error) {
	p := newPlatter(rand.New(rand.NewPCG(1, 1)))
	for name, content := range files {
		if content != nil {
			p.put(name, content)
		}
	}
	o := onPlatter(p.boot())
	o.SegmentMax, o.inspect = o.SegmentFirst, inspect
	l, err := Open(o)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.ReadAll(context.Background(), 0, Forwards, 1<<30, 1<<40)
}

// harmed is a copy of the log's files after one harm.
func (s stored) harmed(h harm, random *rand.Rand) map[string][]byte {
	files := map[string][]byte{}
	for name, content := range s.files {
		files[name] = slices.Clone(content)
	}
	h(s, random, files)
	return files
}

// suffers opens a harmed log and tells whether it said so. Silence is an error when
// it changes what is read, and so is another place than that of the harm.
func (s stored) suffers(files map[string][]byte, inspect func([]byte, uint64) string) (refused bool, err error) {
	records, err := s.opened(files, inspect)
	var damaged *Damaged
	switch {
	case errors.As(err, &damaged):
		return true, s.named(files, damaged)
	case err != nil:
		return false, fmt.Errorf("it is not called damage: %w", err)
	case len(records) != len(s.records):
		return false, fmt.Errorf("%d of %d events are lost in silence", len(s.records)-len(records), len(s.records))
	}
	for i, r := range records {
		if r.Position != s.records[i].Position || string(r.Event) != string(s.records[i].Event) {
			return false, fmt.Errorf("event %d changed in silence", i)
		}
	}
	return false, nil
}

// A piece of the log's files: a header, a group, what stands behind the groups, or
// a footer. The first of all that is not as it was written is where damage begins.
type piece struct {
	file string
	from int // where it begins
	bad  int // its first byte that is wrong
}

// firstBad finds that piece, if any of the log's is bad, by what was written.
func (s stored) firstBad(files map[string][]byte) (p piece, ok bool) {
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		if filepath.Ext(name) != ".seg" {
			continue
		}
		was, is := s.files[name], files[name]
		if is == nil {
			return piece{file: name}, true
		}
		bad := 0
		for bad < min(len(was), len(is)) && was[bad] == is[bad] {
			bad++
		}
		if bad < len(was) {
			return piece{name, s.pieceAt(name, bad), bad}, true
		}
	}
	return p, false
}

// pieceAt is where the piece begins that a byte of a segment belongs to.
func (s stored) pieceAt(name string, at int) int {
	begins, _ := s.groupsOf(name)
	footer := len(s.files[name]) - pageSize
	switch i, exact := slices.BinarySearch(begins, at); {
	case at < pageSize:
		return 0
	case at >= footer:
		return footer
	case exact:
		return at
	default:
		return begins[i-1]
	}
}

// holds tells whether the place named lies in the piece, and nothing before it is bad.
func (p piece) holds(file string, offset int64) bool {
	return filepath.Base(file) == p.file && offset >= int64(p.from) && offset <= int64(p.bad)
}

// named holds what an open says against where the damage is.
func (s stored) named(files map[string][]byte, d *Damaged) error {
	p, ok := s.firstBad(files)
	if !ok || !p.holds(d.File, d.Offset) || !strings.Contains(d.Error(), "daybook node fsck") {
		return fmt.Errorf("the damage begins at %+v, %t; the log says: %w", p, ok, d)
	}
	return nil
}

// reported does the same with what a check found. It may keep silent of what stands
// behind the last group only: no event is there.
func (s stored) reported(files map[string][]byte, r *Report) error {
	p, bad := s.firstBad(files)
	first := slices.IndexFunc(r.Faults, func(f Fault) bool { return f.Before != nil }) // others are beside the log
	switch {
	case first >= 0 && bad && p.holds(r.Faults[first].File, r.Faults[first].Offset):
		return nil
	case first < 0 && (!bad || p.file == s.live && p.from == s.end):
		return nil
	}
	return fmt.Errorf("the damage begins at %+v, %t; the check says: %+v", p, bad, r.Faults)
}

// T5 of the design's list of faults: whatever is done to the log's files, no event
// is lost or changed in silence, and the first bad place is named, by the check
// above all.
func TestGivenAnyDamageThenNothingIsLostInSilence(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	each := level.Of(20, 5000, 50_000)/len(harms) + 1
	var all sync.WaitGroup
	for i, name := range slices.Sorted(maps.Keys(harms)) {
		all.Go(func() { // side by side, for a check waits now and then for what might be being written
			random, refused := rand.New(rand.NewPCG(uint64(i), 5)), 0
			for n := range each {
				files := s.harmed(harms[name], random)
				said, err := s.suffers(files, nil)
				if err = errors.Join(err, s.reported(files, s.checkedCopy(t, files))); err != nil {
					t.Errorf("%s, number %d: %v", name, n, err)
				}
				if said {
					refused++
				}
			}
			t.Logf("%4d x %s: %d refused, %d did not matter", each, name, refused, each-refused)
		})
	}
	all.Wait()
}

// The control: a log that cuts whatever does not check must lose.
func TestGivenALogThatCutsAnythingThenDamageLoses(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	random, lost := rand.New(rand.NewPCG(1, 6)), 0
	for range level.Of(20, 100, 1000) {
		files := s.harmed(harms["a bit flips in the last group, and nothing else knows of it"], random)
		if _, err := s.suffers(files, func([]byte, uint64) string { return "" }); err != nil {
			lost++
		}
	}
	require.Positive(t, lost)
}

// The control of the place: a check that overlooks the first of two, or names one
// that lies elsewhere, must be found.
func TestGivenACheckThatOverlooksTheFirstPlaceThenThatShows(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	random := rand.New(rand.NewPCG(1, 7))
	for range level.Of(20, 100, 1000) {
		// given two bits that flipped, in two groups of a sealed segment
		name := s.segmentsOf()[0]
		begins, _ := s.groupsOf(name)
		one := random.IntN(len(begins) - 2)
		other := one + 1 + random.IntN(len(begins)-2-one)
		files := s.harmed(func(_ stored, _ *rand.Rand, f map[string][]byte) {
			for _, group := range []int{one, other} {
				f[name][begins[group]+random.IntN(begins[group+1]-begins[group])] ^= 1
			}
		}, random)

		// when the log is checked, then the first is named
		r := s.checkedCopy(t, files)
		require.NoError(t, s.reported(files, r))

		// and were it not, that would show
		first := r.Faults[0]
		r.Faults[0].Offset = int64(begins[one+1])
		require.Error(t, s.reported(files, r))
		r.Faults[0] = first
		r.Faults = r.Faults[1:]
		require.Error(t, s.reported(files, r))
		r.Faults = nil
		require.Error(t, s.reported(files, r))
	}
}
