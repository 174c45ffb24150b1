package crash

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/test/program"
)

var (
	writing    = program.Options{Args: []string{"--roles", "node,api"}, Live: true}
	answering  = program.Options{Args: []string{"--roles", "api"}, Live: true}
	projecting = program.Options{Args: []string{"--roles", "projections,processes"}}
)

// T26: 32 writers write through two processes, so that they meet at the log, and
// one command in twenty is stale. The projectors run in a process of their own,
// which is interrupted and killed meanwhile, and so is the second of the others,
// with an integrator on it who follows the feed.
func TestGivenWritersWhenProjectorsRestartThenEveryReadModelIsExact(t *testing.T) {
	t.Parallel()
	for n := range program.Level(1, 3, 50) {
		t.Run(strconv.Itoa(n), writeWhileProjectorsRestart) // its processes end with it
	}
}

func writeWhileProjectorsRestart(t *testing.T) {
	home, l := found(t, writing)
	l.writers = 32
	random := rand.New(rand.NewPCG(l.seed, 0))
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(program.Level(5, 10, 20))*time.Second)
	defer cancel()
	done := make(chan struct{})
	var reader follower
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			writeBeside(ctx, t, home, l, &reader, random.IntN(3000))
		}
	}()
	for ctx.Err() == nil {
		projector := home.Launch(t, projecting)
		time.Sleep(time.Duration(300+rand.IntN(900)) * time.Millisecond)
		endOneWay(t, projector)
	}
	<-done
	l.settle(t, home.Now.Client())
	last := home.Launch(t, projecting)
	within, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, home.Now.Client().CaughtUp(within))
	if _, err := last.Stop(15 * time.Second); err != nil { // the one before may have done all, while this one starts
		require.ErrorContains(t, err, "stopped before it was done")
	}
	reader.sawAll(t, home.Now.Client())
	l.verifyWhole(t, home)
}

// writeBeside has the crowd write through the first process and through another
// one, which ends after some milliseconds.
func writeBeside(ctx context.Context, t *testing.T, home *program.Home, l *load, reader *follower, milliseconds int) {
	beside := home.Launch(t, answering)
	if beside.Ready(ctx) != nil {
		return // the time is over
	}
	within, cancel := context.WithTimeout(ctx, time.Duration(500+milliseconds)*time.Millisecond)
	defer cancel()
	followed := reader.goOn(ctx, beside.Client())
	l.run(within, home.Now.Client(), beside.Client())
	beside.Kill()
	<-followed
}

// endOneWay interrupts a process, or kills it.
func endOneWay(t *testing.T, p *program.Process) {
	t.Helper()
	select {
	case <-p.Ended():
		require.Fail(t, "a projector gave up", p.Complaints())
	default:
	}
	if rand.IntN(2) == 0 {
		p.Kill()
		return
	}
	stop(t, p)
}

// stop interrupts a process, which may not have come to the end of its start.
func stop(t *testing.T, p *program.Process) {
	t.Helper()
	if _, err := p.Stop(15 * time.Second); err != nil {
		require.ErrorContains(t, err, "stopped before it was done")
	}
}

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }
