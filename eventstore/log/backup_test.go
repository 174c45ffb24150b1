package log

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/test/level"
)

func backedUp(t *testing.T, dir, to string) (Manifest, int64) {
	t.Helper()
	m, copied, err := Backup(t.Context(), BackupOptions{Dir: dir, To: to})
	require.NoError(t, err)
	return m, copied
}

// restored is the log that comes back from a backup.
func restored(t *testing.T, o RestoreOptions) *Log {
	t.Helper()
	if o.To == "" {
		o.To = filepath.Join(t.TempDir(), "log")
	}
	_, err := Restore(t.Context(), o)
	require.NoError(t, err)
	return open(t, small(o.To))
}

// filled makes a log of several segments.
func filled(t *testing.T) *Log {
	t.Helper()
	o := small(t.TempDir())
	o.SegmentMax = o.SegmentFirst
	l := open(t, o)
	for i := range 120 {
		appended(t, l, fmt.Sprintf("s-%d", i%9), Any, proposed(1+i%9)...)
	}
	require.Greater(t, len(*l.segments.Load()), 2)
	return l
}

func TestABackupOfALogInUseIsTheLogUpToItsEnd(t *testing.T) {
	t.Parallel()
	// given a log that four callers append to
	l := filled(t)
	var wait sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for c := range 4 {
		wait.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := l.Append(t.Context(), Append{Stream: fmt.Sprintf("w-%d", c), Expected: Any, Events: proposed(1 + i%20)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	to := t.TempDir()
	for range 4 {
		// when it is backed up again and again into one folder
		acknowledged := l.Head()
		m, _ := backedUp(t, l.options.Dir, to)

		// then each time all that was acknowledged before is in it, byte for byte
		require.GreaterOrEqual(t, m.Head, acknowledged)
		copied := restored(t, RestoreOptions{From: to, LogID: l.ID()})
		got := everything(t, copied)
		require.EqualValues(t, m.Events, len(got))
		require.Equal(t, m.Head, copied.Head())
		want, err := l.ReadAll(t.Context(), 0, Forwards, len(got), 1<<40)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, want[len(want)-1].ID, m.LastEventID)
		require.NoError(t, copied.Close())
		require.Empty(t, checked(t, to).Faults)
		require.Empty(t, checked(t, copied.options.Dir).Faults)
	}
	stop()
	wait.Wait()
}

func TestABackupCopiesWhatIsNewOnly(t *testing.T) {
	t.Parallel()
	// given a backup
	l := filled(t)
	to := t.TempDir()
	first, copied := backedUp(t, l.options.Dir, to)
	require.Greater(t, copied, int64(first.Events)*100)

	// when nothing happened since, nothing is copied
	again, copied := backedUp(t, l.options.Dir, to)
	require.Zero(t, copied)
	again.TakenAt = first.TakenAt
	require.Equal(t, first, again)

	// when one event was appended, it alone is
	appended(t, l, "new", NoStream, proposed(1)...)
	_, copied = backedUp(t, l.options.Dir, to)
	require.Positive(t, copied)
	require.Less(t, copied, int64(1000))

	// when a file of the backup was spoilt or lost meanwhile, it is copied anew
	live := first.Files[len(first.Files)-1].Name
	require.NoError(t, os.WriteFile(filepath.Join(to, live), []byte("spoilt"), 0o600))
	backedUp(t, l.options.Dir, to)
	require.Equal(t, everything(t, l), everything(t, restored(t, RestoreOptions{From: to})))

	// and a copy is a log as it is: it need not be restored
	direct := open(t, small(to))
	require.Equal(t, l.ID(), direct.ID())
	require.Equal(t, everything(t, l), everything(t, direct))
}

// interrupted breaks a backup off after so many calls of its progress.
func interrupted(t *testing.T, dir, to string, after int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, _, err := Backup(ctx, BackupOptions{Dir: dir, To: to, Progress: func(int64, int64) {
		if after--; after == 0 {
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
}

func TestAnInterruptedBackupIsNoneAndCanBeRepeated(t *testing.T) {
	t.Parallel()
	// given a backup that was interrupted
	l := filled(t)
	to := t.TempDir()
	interrupted(t, l.options.Dir, to, 70)
	require.FileExists(t, filepath.Join(to, segmentName(64<<10)))

	// then it cannot be restored
	_, err := Restore(t.Context(), RestoreOptions{From: to, To: filepath.Join(t.TempDir(), "log")})
	require.ErrorIs(t, err, ErrNoBackup)

	// when it is repeated, it can
	before := everything(t, l)
	backedUp(t, l.options.Dir, to)
	require.Equal(t, before, everything(t, restored(t, RestoreOptions{From: to})))

	// when a later one is interrupted, this one still can
	for range 200 {
		appended(t, l, "more", Any, proposed(3)...)
	}
	interrupted(t, l.options.Dir, to, 60)
	require.Equal(t, before, everything(t, restored(t, RestoreOptions{From: to})))
	backedUp(t, l.options.Dir, to)
	require.Equal(t, everything(t, l), everything(t, restored(t, RestoreOptions{From: to})))
}

func TestABackupStaysWhatItIs(t *testing.T) {
	t.Parallel()
	l := filled(t)
	to := t.TempDir()
	backedUp(t, l.options.Dir, to)
	other := filled(t)
	older := restored(t, RestoreOptions{From: to})
	later := proposed(1)
	appended(t, l, "later", NoStream, later...)
	backedUp(t, l.options.Dir, to)
	into := func(name string) string {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		return dir
	}
	for name, c := range map[string]struct {
		from, to string
		want     error
		says     string
	}{
		"another log":      {other.options.Dir, to, ErrOtherLog, "holds a backup of log " + l.ID().String()},
		"an older log":     {older.options.Dir, to, ErrDifferent, "the log ends at position"},
		"a folder in use":  {l.options.Dir, into("letters.txt"), nil, "letters.txt, which is no part of a backup"},
		"the log itself":   {l.options.Dir, l.options.Dir, nil, "which is no part of a backup"},
		"nothing to back":  {t.TempDir(), t.TempDir(), os.ErrNotExist, "holds no segment"},
		"another's folder": {l.options.Dir, other.options.Dir, nil, "no part of a backup"},
	} {
		before := footprint(t, to)
		_, _, err := Backup(t.Context(), BackupOptions{Dir: c.from, To: c.to})
		require.ErrorContains(t, err, c.says, name)
		if c.want != nil {
			require.ErrorIs(t, err, c.want, name)
		}
		require.Equal(t, before, footprint(t, to), name)
	}

	// and a log that went another way since, though it is longer
	later[0].Data = []byte(`{"n":2}`)
	appended(t, older, "later", NoStream, later...)
	for range 5 {
		appended(t, older, "elsewhere", Any, proposed(5)...)
	}
	_, _, err := Backup(t.Context(), BackupOptions{Dir: older.options.Dir, To: to})
	require.ErrorIs(t, err, ErrDifferent)
	require.Equal(t, everything(t, l), everything(t, restored(t, RestoreOptions{From: to})))
}

func TestADamagedLogIsNotBackedUp(t *testing.T) {
	t.Parallel()
	s := storedLog(t)
	random := rand.New(rand.NewPCG(7, 8))
	for i := range level.Of(10, 25, 500) {
		dir := filepath.Join(t.TempDir(), "log")
		require.NoError(t, os.Mkdir(dir, 0o700))
		s.write(t, dir, func(files map[string][]byte) {
			name := []string{segmentName(0), segmentName(64 << 10), s.live}[random.IntN(3)]
			begins, _ := s.groupsOf(name)
			if i == 0 { // a lost end, of which the mark knows
				clear(files[s.live][s.last:s.end])
				return
			}
			files[name][pageSize+random.IntN(begins[len(begins)-1]-pageSize)] ^= 1 << random.IntN(8)
		})
		_, _, err := Backup(t.Context(), BackupOptions{Dir: dir, To: t.TempDir()})
		var damaged *Damaged
		require.ErrorAs(t, err, &damaged)
		require.ErrorContains(t, err, "daybook node fsck")
	}
}

func TestAnAlteredBackupIsRefused(t *testing.T) {
	t.Parallel()
	l := filled(t)
	to := t.TempDir()
	m, _ := backedUp(t, l.options.Dir, to)
	random := rand.New(rand.NewPCG(9, 10))
	live := m.Files[len(m.Files)-1]
	refused := func(name, says string, alter func(content []byte) []byte) {
		t.Helper()
		path := filepath.Join(to, name)
		whole, err := os.ReadFile(path)
		require.NoError(t, err)
		defer func() { require.NoError(t, os.WriteFile(path, whole, 0o600)) }()
		if content := alter(append([]byte(nil), whole...)); content == nil {
			require.NoError(t, os.Remove(path))
		} else {
			require.NoError(t, os.WriteFile(path, content, 0o600))
		}
		log := filepath.Join(t.TempDir(), "log")
		_, err = Restore(t.Context(), RestoreOptions{From: to, To: log})
		require.ErrorContains(t, err, says)
		require.NoDirExists(t, log)
		require.NoDirExists(t, log+".restoring")
	}
	for _, f := range m.Files {
		refused(f.Name, f.Name+" is not as it was backed up: it is missing", func([]byte) []byte { return nil })
		refused(f.Name, f.Name+" is not as it was backed up", func(b []byte) []byte { return b[:random.IntN(len(b))] })
		for range 10 {
			refused(f.Name, f.Name+" is not as it was backed up", func(b []byte) []byte {
				b[random.Int64N(f.Bytes)] ^= 1 << random.IntN(8)
				return b
			})
		}
	}
	// A whole log that has gone on passes every check of the log's own; the manifest tells.
	refused(live.Name, "its SHA-256 is", func(b []byte) []byte {
		h, _ := parseSegmentHeader(b)
		g, _ := parseGroupHeader(b[pageSize:], h.base+pageSize)
		g.ticks++
		g.put(b[pageSize:])
		return b
	})
	change := func(old, now string) func([]byte) []byte {
		return func(b []byte) []byte {
			require.Contains(t, string(b), old)
			return []byte(strings.Replace(string(b), old, now, 1))
		}
	}
	refused(manifestName, "no finished backup", func([]byte) []byte { return nil })
	refused(manifestName, "is no manifest", func(b []byte) []byte { return b[:len(b)/2] })
	refused(manifestName, "not the sum of its files", change(fmt.Sprintf(`"events": "%d"`, m.Events), `"events": "1"`))
	refused(manifestName, "is not described as a backup does it", change(segmentName(64<<10), "../../etc/passwd"))
	refused(manifestName, "has format 2 of log format 1", change(`"format": 1`, `"format": 2`))
	refused(manifestName, "use the program that wrote it", change(`"log_format": 1`, `"log_format": 2`))
	refused(manifestName, "it is a segment of log", change(m.LogID.String(), uuid.NewString()))
}

func TestARestoreGoesNowhereElse(t *testing.T) {
	t.Parallel()
	l := filled(t)
	to := t.TempDir()
	backedUp(t, l.options.Dir, to)
	_, err := Restore(t.Context(), RestoreOptions{From: to, To: l.options.Dir})
	require.ErrorIs(t, err, ErrNotEmpty)
	_, err = Restore(t.Context(), RestoreOptions{From: to, To: filepath.Join(t.TempDir(), "log"), LogID: uuid.New()})
	require.ErrorIs(t, err, ErrOtherLog)
	// what an interrupted restore left is no obstacle, nor is an empty folder
	log := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.MkdirAll(filepath.Join(log+".restoring", "x"), 0o700))
	require.NoError(t, os.MkdirAll(log, 0o700))
	require.Equal(t, everything(t, l), everything(t, restored(t, RestoreOptions{From: to, To: log})))
	require.NoDirExists(t, log+".restoring")
}

func TestALogRestoredWithLossIsAnotherLog(t *testing.T) {
	t.Parallel()
	// given a backup of a log
	l := filled(t)
	to := t.TempDir()
	backedUp(t, l.options.Dir, to)
	before := everything(t, l)

	// when it is restored under another ID
	id := uuid.New()
	again := restored(t, RestoreOptions{From: to, NewID: id, First: []Append{{Stream: "operations", Expected: Any, Events: proposed(1)}}})

	// then its events and their positions are the same, and the first new one follows
	require.Equal(t, id, again.ID())
	got := everything(t, again)
	require.Equal(t, before, got[:len(before)])
	require.Len(t, got, len(before)+1)
	require.Equal(t, "operations", got[len(before)].Stream)

	// and everything still checks, and goes on
	appended(t, again, "s-1", Any, proposed(100)...)
	again = reopen(t, again)
	require.NoError(t, again.Close())
	r := checked(t, again.options.Dir)
	require.Empty(t, r.Faults)
	require.Equal(t, id, r.LogID)
}
