package log_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/eventstore/log"
	"daybook.example/eventstore/node"
	"daybook.example/test/level"
)

const nodeFolder = "DAYBOOK_TEST_NODE_FOLDER" // set: this process is the node that is to be killed

// TestNodeThatIsToBeKilled is that process, and no test.
func TestNodeThatIsToBeKilled(t *testing.T) {
	dir := os.Getenv(nodeFolder)
	if dir == "" {
		t.Skip("serves the test of kills")
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	l, err := log.Open(log.Options{Dir: filepath.Join(dir, "log"), SegmentFirst: 256 << 10, SegmentMax: 1 << 20, Logger: quiet})
	require.NoError(t, err)
	_, err = node.Start(node.Options{Log: l, Socket: filepath.Join(dir, "node.sock"), Logger: quiet})
	require.NoError(t, err)
	select {}
}

// A nodeUser appends to a stream of its own, and sends what it does not know the
// end of again, the same bytes, until it knows.
type nodeUser struct {
	mu           sync.Mutex
	stream       string
	acknowledged []uuid.UUID
}

func (u *nodeUser) write(ctx context.Context, client *eventstore.Client) {
	for n := 0; ctx.Err() == nil; n++ {
		var events []eventstore.Proposed
		for range 1 + n%3 {
			events = append(events, eventstore.Proposed{ID: uuid.New(), Type: "thing-happened", Data: fmt.Appendf(nil, `{"n":%d}`, n)})
		}
		for {
			_, err := client.Append(context.WithoutCancel(ctx), u.stream, u.expected(), events)
			if err == nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		u.mu.Lock()
		for _, e := range events {
			u.acknowledged = append(u.acknowledged, e.ID)
		}
		u.mu.Unlock()
	}
}

func (u *nodeUser) expected() eventstore.ExpectedRevision {
	if len(u.acknowledged) == 0 {
		return eventstore.NoStream
	}
	return eventstore.Exactly(eventstore.Revision(len(u.acknowledged) - 1))
}

func (u *nodeUser) known() []uuid.UUID {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.acknowledged)
}

// judge counts what was acknowledged and is not where it belongs, and what is there
// twice, among the newest events known.
func (u *nodeUser) judge(t *testing.T, client *eventstore.Client, known []uuid.UUID, newest int) (lost, doubled int) {
	t.Helper()
	from := max(0, len(known)-newest)
	known = known[from:]
	var there []eventstore.Recorded
	if len(known) > 0 {
		var err error
		there, err = client.ReadStream(t.Context(), u.stream, eventstore.Revision(from), eventstore.Forwards, math.MaxUint32)
		require.NoError(t, err)
	}
	seen := map[uuid.UUID]bool{}
	for i, r := range there {
		require.Equal(t, eventstore.Revision(from+i), r.Revision)
		if seen[r.ID] {
			doubled++
		}
		seen[r.ID] = true
	}
	for i, id := range known {
		if i >= len(there) || there[i].ID != id {
			lost++
		}
	}
	return lost, doubled
}

func startNode(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestNodeThatIsToBeKilled$")
	child.Env = append(os.Environ(), nodeFolder+"="+dir)
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, child.Start())
	return child
}

// T1 of the design's list of faults, for the node: kill -9 at random moments
// under load through the official client; nothing acknowledged is lost, nothing
// that is sent again is there twice.
func TestGivenKillsOfTheNodeThenNothingIsLostOrDoubled(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "node") // t.TempDir's paths are too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	client, err := eventstore.Connect(eventstore.Options{Socket: filepath.Join(dir, "node.sock"), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	child := startNode(t, dir)
	t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	// given users who write without end
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	users := make([]*nodeUser, 8)
	var wait sync.WaitGroup
	for i := range users {
		users[i] = &nodeUser{stream: fmt.Sprintf("u-%d", i)}
		wait.Go(func() { users[i].write(ctx, client) })
	}
	// when the node is killed again and again
	var recoveries []time.Duration
	lost, doubled := 0, 0
	for range level.Of(3, 500, 10_000) {
		time.Sleep(10*time.Millisecond + rand.N(80*time.Millisecond))
		require.NoError(t, child.Process.Kill())
		_ = child.Wait()
		u := users[rand.IntN(len(users))]
		known, began := u.known(), time.Now()
		child = startNode(t, dir)
		for {
			if _, err := client.Head(t.Context()); err == nil {
				break
			}
			require.Less(t, time.Since(began), 20*time.Second, "the node did not come back")
			time.Sleep(time.Millisecond)
		}
		recoveries = append(recoveries, time.Since(began))
		l, d := u.judge(t, client, known, 1000)
		lost, doubled = lost+l, doubled+d
	}
	stop()
	wait.Wait()
	// then all is there, once
	events := 0
	for _, u := range users {
		l, d := u.judge(t, client, u.acknowledged, math.MaxInt)
		lost, doubled, events = lost+l, doubled+d, events+len(u.acknowledged)
	}
	slices.Sort(recoveries)
	t.Logf("%d kills, %d events acknowledged, %d lost, %d doubled; from start to first answer min %s, median %s, max %s", len(recoveries), events, lost, doubled,
		recoveries[0], recoveries[len(recoveries)/2], recoveries[len(recoveries)-1])
	require.Zero(t, lost)
	require.Zero(t, doubled)
	require.Positive(t, events)
	// the control: an acknowledged event that is not there shows
	l, _ := users[0].judge(t, client, append(users[0].known(), uuid.New()), math.MaxInt)
	require.Equal(t, 1, l)
}
