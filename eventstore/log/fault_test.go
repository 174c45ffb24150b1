package log

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"daybook.example/test/level"
)

// A stored log whose files tests damage in copies.
type stored struct {
	files   map[string][]byte
	live    string // the live segment's file
	records []Record
	last    int // where its last acknowledged group begins in the live segment
	end     int // and ends
}

func storedLog(t *testing.T) stored {
	t.Helper()
	o := small(t.TempDir())
	o.SegmentMax = o.SegmentFirst
	l := open(t, o)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		events := proposed(1 + random.IntN(4))
		events[0].Data = make([]byte, random.IntN(3000)) // runs of zeros, as data may have
		appended(t, l, fmt.Sprintf("s-%d", i%9), Any, events...)
	}
	s := stored{files: map[string][]byte{}, live: filepath.Base(l.writer.live.path)}
	s.last = int(l.writer.end - l.writer.live.base)
	appended(t, l, "s-0", Any, proposed(5)...)
	s.end = int(l.writer.end - l.writer.live.base)
	s.records = everything(t, l)
	require.NoError(t, l.Close())
	entries, err := os.ReadDir(l.options.Dir)
	require.NoError(t, err)
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(l.options.Dir, entry.Name()))
		require.NoError(t, err)
		s.files[entry.Name()] = content
	}
	require.GreaterOrEqual(t, len(s.files), 6, "several segments")
	return s
}

// reopened recovers a copy of the log after damage did its work on it: a nil
// slice is a file that is gone. It returns what the log then holds. It does what
// Open does, but for making the next segment.
func (s stored) reopened(t *testing.T, o Options, damage func(files map[string][]byte)) ([]Record, error) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	o.Dir = dir
	s.write(t, o.Dir, damage)
	o.Logger = slog.New(slog.DiscardHandler)
	r := &recovery{options: o.withDefaults()}
	m, durable, err := openMark(localDisk{}, o.Dir)
	require.NoError(t, err)
	defer m.file.Close()
	r.durable = durable
	if r.chain, err = openSegments(localDisk{}, o.Dir); err != nil {
		return nil, err
	}
	defer closeSegments(r.chain)
	for _, step := range []func() error{r.segments, func() error { return r.build(o.Dir) }, func() error { return r.finish(m.logID) }} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	var records []Record
	w := &window{segments: r.chain, end: r.end, chunk: logWindow}
	for v, err := range w.records(pageSize) {
		if err != nil {
			return nil, err
		}
		records = append(records, v.record())
	}
	return records, nil
}

// write stores a damaged copy of the log's files.
func (s stored) write(t *testing.T, dir string, damage func(files map[string][]byte)) {
	t.Helper()
	files := map[string][]byte{}
	for name, content := range s.files {
		files[name] = slices.Clone(content)
	}
	damage(files)
	for name, content := range files {
		if content != nil {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
		}
	}
}

// harmless requires that damage was refused, naming the file, or did not matter.
func (s stored) harmless(t *testing.T, records []Record, err error) (refused bool) {
	t.Helper()
	var damaged *Damaged
	if errors.As(err, &damaged) {
		require.NotEmpty(t, damaged.File)
		require.ErrorContains(t, err, "daybook node fsck")
		return true
	}
	require.NoError(t, err)
	require.Equal(t, s.records, records, "lost or changed in silence")
	return false
}

// alone takes away the mark and the snapshot, which remember how far the log was
// durable, so that the zero-sector rule stands alone.
func alone(files map[string][]byte) { files[markName], files[snapshotName] = nil, nil }

func TestDamageIsNeverLostInSilence(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	random := rand.New(rand.NewPCG(3, 4))
	inLast := func() int { return s.last + random.IntN(s.end-s.last) }
	for name, damage := range map[string]func(files map[string][]byte){
		"a bit flips in the last acknowledged group": func(files map[string][]byte) {
			alone(files)
			files[s.live][inLast()] ^= 1 << random.IntN(8)
		},
		"a bit flips anywhere": func(files map[string][]byte) {
			name := segmentName([]uint64{0, 64 << 10}[random.IntN(2)])
			files[name][random.IntN(len(files[name]))] ^= 1 << random.IntN(8)
		},
		"the live segment is cut short": func(files map[string][]byte) {
			alone(files)
			files[s.live] = files[s.live][:random.IntN(len(files[s.live]))]
		},
		"a sector of the last group is zero": func(files map[string][]byte) { // only the mark can tell
			at := inLast() &^ (sectorSize - 1)
			clear(files[s.live][max(at, s.last):min(at+sectorSize, s.end)])
		},
		"a page is zero": func(files map[string][]byte) {
			at := random.IntN(s.end) &^ (pageSize - 1)
			clear(files[s.live][at:min(at+pageSize, s.end)])
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range level.Of(40, 100, 2000) {
				records, err := s.reopened(t, Options{}, damage)
				s.harmless(t, records, err)
			}
		})
	}
}

func TestAFlipInTheLastGroupIsRefusedAndItsControlLoses(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	lost := 0
	for at := s.last; at < s.end; at += (s.end - s.last) / 40 {
		flip := func(files map[string][]byte) { alone(files); files[s.live][at] ^= 1 }
		_, err := s.reopened(t, Options{}, flip)
		require.ErrorAs(t, err, new(*Damaged), "byte %d", at)
		// the same without the zero-sector rule: the group is gone, and nobody says so
		careless := Options{inspect: func([]byte, uint64) string { return "" }}
		records, err := s.reopened(t, careless, flip)
		require.NoError(t, err)
		lost += len(s.records) - len(records)
	}
	require.Positive(t, lost)
}

func TestATornGroupIsCut(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	random := rand.New(rand.NewPCG(5, 6))
	before := s.records[:len(s.records)-5]
	for range level.Of(40, 100, 2000) {
		records, err := s.reopened(t, Options{}, func(files map[string][]byte) {
			alone(files) // never acknowledged: both stand before it
			tear(random, files[s.live][:s.end], s.last)
		})
		require.NoError(t, err)
		require.Equal(t, before, records)
	}
}

// tear undoes the writing of some sectors behind from, one at least of which was not zero.
func tear(random *rand.Rand, b []byte, from int) {
	for torn := false; !torn; {
		for at := from &^ (sectorSize - 1); at < len(b); at += sectorSize {
			sector := b[max(at, from):min(at+sectorSize, len(b))]
			if random.IntN(2) == 0 {
				torn = torn || !allZero(sector)
				clear(sector)
			}
		}
	}
}

// Without the mark, a lost group in the middle shows by the ones after it.
func TestALostGroupBeforeOthersIsRefused(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	_, err := s.reopened(t, Options{}, func(files map[string][]byte) {
		files[markName], files[snapshotName] = nil, nil
		clear(files[s.live][pageSize : pageSize+sectorSize])
	})
	require.ErrorContains(t, err, "written after it")
}

func TestABrokenChainIsRefused(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	first, second := segmentName(0), segmentName(64<<10)
	for name, damage := range map[string]func(files map[string][]byte){
		"a segment is missing":              func(f map[string][]byte) { f[first] = nil },
		"the live segment is missing":       func(f map[string][]byte) { f[s.live] = nil },
		"a segment has the wrong size":      func(f map[string][]byte) { f[second] = append(f[second], 0) },
		"a sealed segment lost its footer":  func(f map[string][]byte) { clear(f[first][len(f[first])-pageSize:]) },
		"a segment stands in another place": func(f map[string][]byte) { f[second] = append([]byte{}, f[s.live]...) },
		"the live one is an older copy":     func(f map[string][]byte) { clear(f[s.live][s.last:]) },
		"no segment is unsealed": func(f map[string][]byte) {
			for name := range f {
				if filepath.Ext(name) == ".seg" && name >= s.live {
					f[name] = nil
				}
			}
		},
		"the mark is of another log": func(f map[string][]byte) {
			for _, slot := range [][]byte{f[markName][:markSize], f[markName][pageSize:][:markSize]} {
				slot[30]++
				sign(slot)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.reopened(t, Options{}, damage)
			require.ErrorAs(t, err, new(*Damaged))
			require.ErrorContains(t, err, "daybook node fsck")
		})
	}
	o := small(t.TempDir())
	s.write(t, o.Dir, func(f map[string][]byte) {
		maps.DeleteFunc(f, func(name string, _ []byte) bool { return filepath.Ext(name) == ".seg" })
	})
	_, err := Open(o)
	require.ErrorAs(t, err, new(*Damaged), "every segment is missing: no new log is begun over the old one")
}

func TestADamagedIndexSnapshotIsRebuilt(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	random := rand.New(rand.NewPCG(7, 8))
	for name, damage := range map[string]func(b []byte) []byte{
		"gone":       func([]byte) []byte { return nil },
		"empty":      func([]byte) []byte { return []byte{} },
		"cut short":  func(b []byte) []byte { return b[:random.IntN(len(b))] },
		"a bit flip": func(b []byte) []byte { b[random.IntN(len(b))] ^= 1 << random.IntN(8); return b },
		"longer":     func(b []byte) []byte { return append(b, 1, 2, 3) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				records, err := s.reopened(t, Options{}, func(files map[string][]byte) {
					files[snapshotName] = damage(files[snapshotName])
				})
				require.False(t, s.harmless(t, records, err))
			}
		})
	}
}

// A header that reaches into a second sector ends there with bytes that may
// rightly be zero, those of a small count: the sector was written all the same.
func TestADamagedHeaderIsNeverTakenForATornOne(t *testing.T) {
	t.Parallel()
	frame := bytes.Repeat([]byte{0xee}, 700)
	for offset := range uint64(sectorSize) {
		end := 8*sectorSize + offset
		group := sealGroup(append(make([]byte, groupHeaderSize), frame...), groupHeader{at: end, durable: end, frames: 1, events: 1, ticks: 1})
		rest := append(group, make([]byte, 2*sectorSize)...)
		for bit := range 8 * groupHeaderSize {
			rest[bit/8] ^= 1 << (bit % 8)
			require.NotEmpty(t, inspectTail(rest, end), "bit %d of the header at byte %d of its sector", bit, offset)
			rest[bit/8] ^= 1 << (bit % 8)
		}
	}
}
