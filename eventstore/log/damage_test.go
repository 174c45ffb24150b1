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

// suffers does one harm to a copy of the log and tells whether the log said so.
// Silence is an error when it changes what is read.
func (s stored) suffers(h harm, random *rand.Rand, inspect func([]byte, uint64) string) (refused bool, err error) {
	files := map[string][]byte{}
	for name, content := range s.files {
		files[name] = slices.Clone(content)
	}
	h(s, random, files)
	records, err := s.opened(files, inspect)
	var damaged *Damaged
	switch {
	case errors.As(err, &damaged):
		return true, s.named(damaged)
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

// named checks that the place named is in a file of the log.
func (s stored) named(d *Damaged) error {
	name := filepath.Base(d.File)
	if s.files[name] == nil || !strings.Contains(d.Error(), "daybook node fsck") {
		return fmt.Errorf("a place is not named: %w", d)
	}
	return nil
}

// T5 of the design's list of faults: whatever is done to the log's files, no
// event is lost or changed in silence.
func TestGivenAnyDamageThenNothingIsLostInSilence(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	each := level.Of(20, 5000, 50_000)/len(harms) + 1
	for i, name := range slices.Sorted(maps.Keys(harms)) {
		random, refused := rand.New(rand.NewPCG(uint64(i), 5)), 0
		for n := range each {
			said, err := s.suffers(harms[name], random, nil)
			require.NoError(t, err, "%s, number %d", name, n)
			if said {
				refused++
			}
		}
		t.Logf("%4d x %s: %d refused, %d did not matter", each, name, refused, each-refused)
	}
}

// The control: a log that cuts whatever does not check must lose.
func TestGivenALogThatCutsAnythingThenDamageLoses(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	random, lost := rand.New(rand.NewPCG(1, 6)), 0
	for range level.Of(20, 100, 1000) {
		_, err := s.suffers(harms["a bit flips in the last group, and nothing else knows of it"], random, func([]byte, uint64) string { return "" })
		if err != nil {
			lost++
		}
	}
	require.Positive(t, lost)
}
