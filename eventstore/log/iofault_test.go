package log

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"daybook.example/test/level"
)

// copied is a platter as this one is now, where nothing is open.
func (p *platter) copied(random *rand.Rand) *platter {
	c := newPlatter(random)
	for name, n := range p.names {
		c.put(name, append([]byte(nil), n.content...))
	}
	return c
}

func (j *journal) copied() *journal {
	c := &journal{seen: j.seen}
	for _, b := range j.batches {
		twin := *b
		c.batches = append(c.batches, &twin)
	}
	return c
}

// A trial is one round of a log's life, from start to stop, in which something fails.
type trial struct {
	platter *platter
	journal *journal
	random  *rand.Rand
	prepare func(*session)
}

// round opens the log, works and stops it, and tells how many accesses that took.
func (f trial) round() (accesses int, err error) {
	s := f.platter.boot()
	f.prepare(s)
	l, err := Open(onPlatter(s))
	if err == nil {
		f.journal.load(l, f.random, 2, 12)
		_ = l.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retried != "" {
		err = errors.Join(err, fmt.Errorf("%s was synced again after a sync of it had failed", s.retried))
	}
	s.off = true
	return s.accesses, err
}

// judge opens the log with nothing failing any more, once after the process
// was started again and once after a power cut on top.
func (f trial) judge() error {
	for _, after := range []string{"a restart", "a power cut"} {
		l, err := Open(onPlatter(f.platter.boot()))
		if err != nil {
			return fmt.Errorf("open after %s: %w", after, err)
		}
		err = f.journal.judge(l)
		if err == nil && after == "a power cut" {
			f.journal.load(l, f.random, 1, 3)
			err = f.journal.judge(l)
		}
		l.options.disk.(*session).end()
		_ = l.Close()
		if err != nil {
			return fmt.Errorf("after %s: %w", after, err)
		}
		f.platter.cut()
	}
	return nil
}

// end kills the process.
func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off = true
}

// failures are the ways in which an access fails.
var failures = []error{syscall.EIO, errShort, syscall.ENOSPC}

// faults lets a log's first accesses fail once, each in its own copy of the log's
// life, in which only that one round is lived anew: in some of the ways, or
// only one access of every so many.
func faults(t *testing.T, first, every, ways int, bug func(*session)) (wrong, runs int, example error) {
	p, j := newPlatter(nil), &journal{}
	for done := 0; done < first; {
		before, known := p.copied(nil), j.copied()
		f := trial{p, j, nil, func(*session) {}}
		length := 0
		synctest.Test(t, func(*testing.T) { // the same round in peace
			f.seed(uint64(done))
			accesses, err := f.round()
			require.NoError(t, err)
			length = accesses
		})
		for at := 1 + done%every; at <= min(length, first-done); at += every {
			for way := range ways {
				kind := failures[(done+at+way)%len(failures)]
				f := trial{before.copied(nil), known.copied(), nil, func(s *session) {
					s.fault = failing(at, kind)
					if bug != nil {
						bug(s)
					}
				}}
				synctest.Test(t, func(*testing.T) {
					f.seed(uint64(done))
					runs++
					if err := f.live(); err != nil {
						wrong, example = wrong+1, fmt.Errorf("access %d of the round at %d, %w: %w", at, done, kind, err)
					}
				})
			}
		}
		done += length
	}
	return wrong, runs, example
}

func failing(at int, kind error) func(access) error {
	return func(a access) error {
		if a.n == at {
			return kind
		}
		return nil
	}
}

func (f *trial) seed(seed uint64) {
	f.random = rand.New(rand.NewPCG(seed, 3))
	f.platter.random = rand.New(rand.NewPCG(seed, 4))
}

// live goes through the round with the fault and what comes after.
func (f *trial) live() error {
	if _, err := f.round(); err != nil && !f.harmless(err) {
		return err
	}
	return f.judge()
}

// harmless tells an error in opening from a rule that was broken.
func (trial) harmless(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, errShort)
}

// T4 of the design's list of faults: each of the first 2,000 accesses fails once,
// in one of three ways by turns; in the night in each of them. The log stops or
// answers an error, loses nothing that it acknowledged, and syncs nothing again.
func TestGivenAnAccessThatFailsThenNothingAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	wrong, runs, err := faults(t, 2000, level.Of(60, 1, 1), level.Of(1, 1, len(failures)), nil)
	require.Zero(t, wrong, "%v", err)
	t.Logf("%d accesses failed, 0 lost, 0 doubled", runs)
}

// The control: with a log that would not hear of a failure, or try a failed sync
// again, the same test must fail.
func TestGivenFailuresThatAreNotHeardThenItShows(t *testing.T) {
	t.Parallel()
	for name, bug := range map[string]func(*session){
		"a failed sync says yes":       func(s *session) { s.mute = true },
		"a failed sync is tried twice": func(s *session) { s.stubborn = true },
	} {
		t.Run(name, func(t *testing.T) {
			wrong, _, _ := faults(t, 200, level.Of(3, 2, 1), 1, bug)
			require.Positive(t, wrong)
		})
	}
}
