package projections_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/projections"
	"daybook.example/test/level"
	"daybook.example/test/network"
)

// outside is the house as those see it who reach the node and the database over
// networks of their own.
func (h *house) outside() (*house, []*network.Network) {
	h.t.Helper()
	toNode, err := network.To("unix", h.node.Socket)
	require.NoError(h.t, err)
	at := h.pool.Config().ConnConfig
	toDatabase, err := network.To("unix", fmt.Sprintf("%s/.s.PGSQL.%d", at.Host, at.Port))
	require.NoError(h.t, err)
	url := fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", at.User, toDatabase.Addr(), at.Database)
	pool, err := pgxpool.New(h.t.Context(), url)
	require.NoError(h.t, err)
	store, err := eventstore.Connect(eventstore.Options{URL: "esdb://" + toNode.Addr() + "?tls=false", Logger: eventstoretest.Quiet})
	require.NoError(h.t, err)
	return &house{t: h.t, node: h.node, Client: store, pool: pool, log: h.log}, []*network.Network{toNode, toDatabase}
}

// leave closes what outside has opened.
func (h *house) leave(networks []*network.Network) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(h.t, h.Client.Close(ctx))
	h.pool.Close()
	for _, n := range networks {
		require.NoError(h.t, n.Close())
	}
}

// T9. Given networks between a projector and both the node and the database that
// cut, delay, stand half-open, and reset in the middle of a commit.
// Then each event is in the read models once, they are up to date soon after,
// and the projectors leave nothing running.
func TestGivenBadNetworksThenProjectorsLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	c := &crowd{store: h.Client}
	mark := uuid.NewString()
	pprof.Do(t.Context(), pprof.Labels("network", mark), func(context.Context) { // all that is started in here carries the label
		outside, networks := h.outside()
		runners, stop := outside.start(counting{name: "counting"}, listing{"listing"})
		writing, rest := context.WithCancel(t.Context())
		done := c.write(writing)
		faults := level.Of(20, 300, 3000)
		for range faults {
			commitSoon(t, runners[rand.IntN(len(runners))])
			networks[rand.IntN(len(networks))].Fail()
		}
		rest()
		<-done
		began := time.Now()
		head, err := h.Head(t.Context())
		require.NoError(t, err)
		for _, r := range runners {
			h.wait(r, head)
		}
		t.Logf("%d faults, %d events: up to date %v after the last", faults, len(c.stored), time.Since(began).Round(time.Millisecond))
		stop()
		outside.leave(networks)
	})
	h.exact(c)
	left := ""
	for began := time.Now(); time.Since(began) < patience; time.Sleep(tick) {
		if left = goroutines(mark); left == "" {
			break
		}
	}
	require.Empty(t, left, "goroutines are left")
}

// commitSoon waits until a projector commits something, so that faults meet work
// under way, and a moment more.
func commitSoon(t *testing.T, r *projections.Runner) {
	t.Helper()
	before := r.Status().Position
	require.Eventually(t, func() bool { return r.Status().Position != before }, patience, time.Millisecond)
	time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
}

// abandoned is where the goroutines of a connection wait that the official client
// never closes: after an answer that the node is unavailable it makes another one
// and forgets the first. There are three for each, and one more while it tries to
// connect.
var abandoned = regexp.MustCompile(`grpcsync\.\(\*CallbackSerializer\)\.run|grpc\.\(\*addrConn\)\.connect`)

// goroutines are those with a label, each kind with where it is, but for those
// that are abandoned.
func goroutines(mark string) (found string) {
	var text bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&text, 1)
	for kind := range strings.SplitSeq(text.String(), "\n\n") {
		if strings.Contains(kind, mark) && !abandoned.MatchString(kind) {
			found += kind + "\n\n"
		}
	}
	return found
}

// The control: given a projector that does not commit its place with its rows.
// Then the same networks have it double some.
func TestBadNetworksFindAProjectorThatCommitsItsPlaceApart(t *testing.T) {
	t.Parallel()
	h := open(t)
	outside, networks := h.outside()
	n := naive{outside.Client, outside.pool, false}
	naive{h.Client, h.pool, false}.prepare(t)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { n.run(ctx) })
	c := &crowd{store: h.Client}
	done := c.write(ctx)
	var found findings
	for range 50 {
		for range 5 {
			networks[1].Fail()
			time.Sleep(tick)
		}
		if found = judge(h.ours(), came(t, h.pool, "listing")); found.Doubled > 0 {
			break
		}
	}
	stop()
	<-done
	running.Wait()
	outside.leave(networks)
	require.NoError(t, c.err)
	t.Logf("%+v", found)
	require.Positive(t, found.Doubled)
}
