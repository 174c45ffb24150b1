package log

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/test/level"
)

// A shortage is a log's life on a disk that is full at times.
type shortage struct {
	life
	strict bool // not even overwriting works
	unseen bool // the free space does not show it, as with a quota
	mute   bool // the bug switched on
}

func newShortage(seed uint64) *shortage {
	s := &shortage{life: *newLife(seed)}
	s.strict, s.unseen = s.random.IntN(2) == 0, s.random.IntN(2) == 0
	return s
}

// fill makes the disk full, or not.
func (s *shortage) fill(full bool) {
	s.platter.mu.Lock()
	defer s.platter.mu.Unlock()
	s.platter.full, s.platter.strict = full, s.strict
}

func (s *shortage) options() Options {
	session := s.platter.boot()
	session.mute = s.mute
	o := onPlatter(session)
	o.free = func() (int64, error) {
		s.platter.mu.Lock()
		defer s.platter.mu.Unlock()
		if s.platter.full && !s.unseen {
			return 0, nil
		}
		return 1 << 40, nil
	}
	return o
}

// run fills the disk some times, in use and at the start, and judges what is there.
func (s *shortage) run() error {
	for range 4 {
		l, err := Open(s.options())
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		err = s.use(l)
		l.options.disk.(*session).end() // killed
		_ = l.Close()
		s.platter.cut()
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *shortage) use(l *Log) error {
	if err := s.journal.judge(l); err != nil {
		return err
	}
	for range 2 {
		s.journal.load(l, s.random, 3, s.random.IntN(20))
		s.fill(true)
		if err := s.refused(l); err != nil {
			return err
		}
		if err := s.journal.judge(l); err != nil {
			return fmt.Errorf("while the disk is full: %w", err)
		}
		s.fill(false)
		if err := s.resumed(l); err != nil {
			return err
		}
	}
	return s.journal.judge(l)
}

// refused appends until that is refused. Every answer comes within 2 s.
func (s *shortage) refused(l *Log) error {
	c := caller{l, &s.journal, rand.New(rand.NewPCG(s.random.Uint64(), 1)), 0}
	for range 500 { // more than what is made ahead can take
		began := time.Now()
		b := s.journal.try("full", c.events(3))
		result, err := l.Append(context.Background(), Append{Stream: "full", Expected: Any, Events: b.events})
		s.journal.note(b, result, err)
		switch {
		case time.Since(began) > 2*time.Second:
			return fmt.Errorf("the answer took %s", time.Since(began))
		case errors.Is(err, ErrDiskFull):
			return nil
		case err != nil:
			return fmt.Errorf("append on a full disk: %w", err)
		}
	}
	if s.mute { // what was lost must show all the same
		return nil
	}
	return errors.New("a full disk refuses nothing")
}

// resumed appends until that goes well again, 2 s at most.
func (s *shortage) resumed(l *Log) error {
	c := caller{l, &s.journal, rand.New(rand.NewPCG(s.random.Uint64(), 1)), 0}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		b := s.journal.try("resumed", c.events(1))
		result, err := l.Append(context.Background(), Append{Stream: "resumed", Expected: Any, Events: b.events})
		s.journal.note(b, result, err)
		if err == nil || time.Since(began) > 2*time.Second {
			return err
		}
	}
}

// shortages lives some lives and counts those in which something was wrong.
func shortages(t *testing.T, n int, mute bool) (wrong int, example error) {
	for seed := range uint64(n) {
		synctest.Test(t, func(*testing.T) {
			s := newShortage(seed)
			s.mute = mute
			if err := s.run(); err != nil {
				wrong, example = wrong+1, fmt.Errorf("life %d (strict %v, unseen %v): %w", seed, s.strict, s.unseen, err)
			}
		})
	}
	return wrong, example
}

// T7 of the design's list of faults: on a full disk appends are refused within
// 2 s, reads go on, nothing is lost, and appends resume by themselves.
func TestGivenAFullDiskThenAppendsAreRefusedAndResume(t *testing.T) {
	t.Parallel()
	lives := level.Of(10, 100, 2000)
	wrong, err := shortages(t, lives, false)
	require.Zero(t, wrong, "%v", err)
	t.Logf("the disk was full %d times, 0 lost, 0 doubled", lives*8)
}

// The control: with a disk that is full and does not say so the same test must fail.
func TestGivenAFullDiskThatSaysYesThenItShows(t *testing.T) {
	t.Parallel()
	wrong, _ := shortages(t, 10, true)
	require.Positive(t, wrong)
}

// The same with a real file system, as small as a log's first segments.
func TestGivenAFileSystemThatIsFullThenTheLogStartsAndResumes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "small")
	require.NoError(t, os.Mkdir(dir, 0o700))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("only who may mount can make a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	// given a log in use, and a disk that others fill to its last byte
	o, ballast := small(filepath.Join(dir, "log")), filepath.Join(dir, "ballast")
	l := open(t, o)
	appended(t, l, "a", NoStream, proposed(1)...)
	require.ErrorIs(t, os.WriteFile(ballast, make([]byte, 2<<20), 0o600), syscall.ENOSPC)
	// then appends are refused within 2 s
	try := func() error {
		_, err := l.Append(t.Context(), Append{Stream: "a", Expected: Any, Events: proposed(1)})
		return err
	}
	require.Eventually(t, func() bool { return errors.Is(try(), ErrDiskFull) }, 2*time.Second, 10*time.Millisecond)
	before := everything(t, l)
	require.NotEmpty(t, before)
	// and the log starts on the full disk and is read
	l = reopen(t, l)
	require.Equal(t, before, everything(t, l))
	require.ErrorIs(t, try(), ErrDiskFull)
	// when there is room again, then it resumes by itself
	require.NoError(t, os.Remove(ballast))
	require.Eventually(t, func() bool { return try() == nil }, 2*time.Second, 10*time.Millisecond)
	require.Len(t, everything(t, l), len(before)+1)
}
