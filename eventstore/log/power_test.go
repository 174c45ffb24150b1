package log

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"daybook.example/test/level"
)

var powerSeed = flag.Uint64("power.seed", 0, "repeat the life of this seed only")

const cutsOfALife = 5

// A life is a log on one platter, through several cuts of its power.
type life struct {
	platter *platter
	random  *rand.Rand
	journal journal
	deaf    func(access) bool
	cuts    int
}

func newLife(seed uint64) *life {
	return &life{platter: newPlatter(rand.New(rand.NewPCG(seed, 1))), random: rand.New(rand.NewPCG(seed, 2))}
}

// options are those of a log on the platter, used by a session.
func onPlatter(s *session) Options {
	o := small("/platter")
	o.SegmentMax = 128 << 10
	o.disk, o.free = s, func() (int64, error) { return 1 << 40, nil }
	return o
}

// run goes through some cuts, judges what each leaves, and tells what is wrong.
func (f *life) run() error {
	for f.cuts < cutsOfALife {
		s := f.platter.boot()
		s.deaf = f.deaf
		if f.random.IntN(4) == 0 { // the power fails while the log opens, or soon after
			s.last = 1 + f.random.IntN(40)
		}
		if err := f.use(s); err != nil {
			return fmt.Errorf("after %d cuts: %w", f.cuts, err)
		}
		if f.random.IntN(4) > 0 { // or else the process alone was killed
			f.platter.cut()
			f.cuts++
		}
	}
	l, err := Open(onPlatter(f.platter.boot()))
	if err != nil {
		return err
	}
	defer l.Close()
	return f.journal.judge(l)
}

// use opens the log, judges it, and works with it until the power fails or
// work is done.
func (f *life) use(s *session) error {
	l, err := Open(onPlatter(s))
	if err != nil {
		if s.isOff() {
			return nil
		}
		return fmt.Errorf("open: %w", err)
	}
	defer l.Close()
	if err := f.journal.judge(l); err != nil && !s.isOff() {
		return err
	}
	s.mu.Lock()
	if s.last == 0 && f.random.IntN(5) > 0 { // or else it is stopped in good order
		s.last = s.accesses + 1 + f.random.IntN(300)
	}
	s.mu.Unlock()
	f.journal.load(l, f.random, 1+f.random.IntN(4), 40)
	return nil
}

// lives runs as many lives as it takes for some cuts, and counts those in which
// something was wrong.
func lives(t *testing.T, cuts int, deaf func(access) bool) (wrong int, example error) {
	for seed := range uint64(cuts / cutsOfALife) {
		if *powerSeed != 0 {
			seed = *powerSeed - 1
		}
		synctest.Test(t, func(*testing.T) {
			f := newLife(seed)
			f.deaf = deaf
			if err := f.run(); err != nil {
				wrong, example = wrong+1, fmt.Errorf("-power.seed=%d: %w", seed+1, err)
			}
		})
		if *powerSeed != 0 {
			break
		}
	}
	return wrong, example
}

// T2 of the design's list of faults: the power fails at any moment, drops,
// tears and reorders all that was not synced, and nothing that was acknowledged
// or seen is lost.
func TestGivenPowerCutsThenNothingAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	wrong, err := lives(t, level.Of(100, 2000, 50_000), nil)
	require.Zero(t, wrong, "%v", err)
}

// The control: with syncs that say yes and do nothing the same test must fail.
func TestGivenDeafSyncsThenPowerCutsLose(t *testing.T) {
	t.Parallel()
	for name, deaf := range map[string]func(access) bool{
		"every sync":    func(access) bool { return true },
		"of files":      func(a access) bool { return a.kind == "sync" },
		"of the folder": func(a access) bool { return a.kind == "sync folder" },
	} {
		t.Run(name, func(t *testing.T) {
			wrong, _ := lives(t, level.Of(50, 200, 1000), deaf)
			require.Positive(t, wrong)
		})
	}
}
