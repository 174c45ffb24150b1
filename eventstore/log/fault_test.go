package log

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
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
	l := open(t, small(t.TempDir()))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 90 {
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
	require.Greater(t, len(s.files), 5, "several segments")
	return s
}

// reopened opens a copy of the log after damage did its work on it: a nil slice is a
// file that is gone. It returns what the log then holds.
func (s stored) reopened(t *testing.T, o Options, damage func(files map[string][]byte)) ([]Record, error) {
	t.Helper()
	files := map[string][]byte{}
	for name, content := range s.files {
		files[name] = append([]byte{}, content...)
	}
	damage(files)
	inspect := o.inspect
	o = small(t.TempDir())
	o.inspect = inspect
	for name, content := range files {
		if content != nil {
			require.NoError(t, os.WriteFile(filepath.Join(o.Dir, name), content, 0o600))
		}
	}
	l, err := Open(o)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.ReadAll(t.Context(), 0, Forwards, 1<<30, 1<<30)
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

const faultTrials = 120

func TestDamageIsNeverLostInSilence(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	random := rand.New(rand.NewPCG(3, 4))
	inLast := func() int { return s.last + random.IntN(s.end-s.last) }
	noMark := func(files map[string][]byte) { files[markName] = nil } // so that the zero-sector rule stands alone
	for name, damage := range map[string]func(files map[string][]byte){
		"a bit flips in the last acknowledged group": func(files map[string][]byte) {
			noMark(files)
			files[s.live][inLast()] ^= 1 << random.IntN(8)
		},
		"a bit flips anywhere": func(files map[string][]byte) {
			name := segmentName([]uint64{0, 64 << 10}[random.IntN(2)])
			files[name][random.IntN(len(files[name]))] ^= 1 << random.IntN(8)
		},
		"the live segment is cut short": func(files map[string][]byte) {
			noMark(files)
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
			for range faultTrials {
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
		flip := func(files map[string][]byte) { files[markName], files[s.live][at] = nil, files[s.live][at]^1 }
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
	for range faultTrials {
		records, err := s.reopened(t, Options{}, func(files map[string][]byte) {
			files[markName] = nil // never acknowledged: the mark stands before it
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
		"every segment is missing": func(f map[string][]byte) {
			for name := range f {
				if filepath.Ext(name) == ".seg" {
					f[name] = nil
				}
			}
		},
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
