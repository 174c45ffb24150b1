package crash

import (
	"context"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/projections/postgres"
	"daybook.example/test/network"
	"daybook.example/test/program"
)

// errorMax is how long a caller may wait to hear that something is wrong, on a
// machine that does nothing else; slowMax on one that does.
const (
	errorMax = 5 * time.Second
	slowMax  = 4 * errorMax
)

// legs are the networks between a client and a process with the API and the
// projectors, and between that and the node and the database.
type legs struct{ node, database, api *network.Network }

func (l legs) all() []*network.Network { return []*network.Network{l.node, l.database, l.api} }

// apart starts a process that reaches everything over networks.
func apart(t *testing.T, home *program.Home) (*program.Process, legs) {
	t.Helper()
	to := func(kind, address string) *network.Network {
		n, err := network.To(kind, address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = n.Close() })
		return n
	}
	attached, err := postgres.Attach(home.Dir)
	require.NoError(t, err)
	at, err := url.Parse(attached)
	require.NoError(t, err)
	l := legs{
		node:     to("unix", filepath.Join(home.Dir, "node.sock")),
		database: to("unix", at.Query().Get("host")+"/.s.PGSQL."+at.Query().Get("port")),
	}
	p := home.Launch(t, program.Options{Args: []string{
		"--roles", "api,projections,processes", "--eventstore", "esdb://" + l.node.Addr() + "?tls=false",
		"--database", "postgres://" + at.User.String() + "@" + l.database.Addr() + at.Path + "?sslmode=disable",
	}})
	require.NoError(t, p.Ready(t.Context()))
	l.api = to("tcp", strings.TrimPrefix(p.HTTP, "http://"))
	return p, l
}

// T9: the networks between clients, API, projectors, node and database cut,
// delay, stand half-open, and reset in the middle of an answer or a commit.
// Everything acknowledged is there once; nobody waits long for an error; and no
// goroutine is left behind.
func TestGivenLoadWhenNetworksFailThenNothingIsLostDoubledOrLeftBehind(t *testing.T) {
	t.Parallel()
	home, l := found(t, writing)
	p, networks := apart(t, home)
	client := p.Client()
	client.Base = "http://" + networks.api.Addr()
	l.stubborn, l.pause = true, paced()
	ctx, rest := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run(ctx, client)
	}()
	defer rest()
	faults := program.Level(20, 300, 3000)
	for n := range faults {
		l.journal.answered(t) // so that faults meet work under way
		if n%5 == 0 {
			caughtUp(t, home.Now.Client())
		}
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		networks.all()[rand.IntN(3)].Fail()
	}
	rest()
	<-done
	again := len(l.journal.with(unknown))
	l.settle(t, home.Now.Client())
	took := caughtUp(t, home.Now.Client())
	t.Logf("%d faults: %d commands without an answer, sent again; the longest wait for an answer or an error %v; caught up %v after",
		faults, again, l.journal.slowest.Round(time.Millisecond), took.Round(time.Millisecond))
	require.Less(t, l.journal.slowest, slowMax)
	client.HTTP.CloseIdleConnections()
	leftNothing(t, home, p)
	l.verifyWhole(t, home)
}

// answered waits until one more command is acknowledged.
func (j *journal) answered(t *testing.T) {
	t.Helper()
	count := func() int {
		j.mu.Lock()
		defer j.mu.Unlock()
		return len(j.with(acknowledged))
	}
	before := count()
	require.Eventually(t, func() bool { return count() > before }, time.Minute, time.Millisecond)
}

// leftNothing ends a process by the signal at which it shows its goroutines, and
// compares them with those of one that has only just started.
func leftNothing(t *testing.T, home *program.Home, p *program.Process) {
	t.Helper()
	const margin = 20    // of connections that a pool keeps
	time.Sleep(errorMax) // what was under way has ended
	used := goroutines(t, p)
	fresh, _ := apart(t, home)
	caughtUp(t, home.Now.Client())
	time.Sleep(time.Second) // each of its parts is at work
	unused := goroutines(t, fresh)
	t.Logf("%d goroutines, %d in a process that has only just started", used, unused)
	require.Positive(t, unused)
	require.LessOrEqual(t, used, unused+margin)
}

// abandoned is where the goroutines of a connection wait that the official client
// never closes: after an answer that the node is unavailable it makes another one
// and forgets the first. There are three for each.
const abandoned = "grpcsync.(*CallbackSerializer).run"

// goroutines are how many a process has, but for those that are abandoned.
func goroutines(t *testing.T, p *program.Process) (count int) {
	t.Helper()
	require.NoError(t, syscall.Kill(p.PID(), syscall.SIGQUIT))
	<-p.Ended()
	for each := range strings.SplitSeq(p.Complaints(), "\n\n") {
		if strings.HasPrefix(each, "goroutine ") && !strings.Contains(each, abandoned) {
			count++
		}
	}
	return count
}
