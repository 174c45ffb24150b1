package node

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"daybook.example/eventstore/log"
	"daybook.example/test/level"
)

const (
	apartFolder = "DAYBOOK_TEST_NODE_FOLDER" // of the node that this binary serves for another test
	apartHoards = "DAYBOOK_TEST_NODE_HOARDS" // whether its readers hold what they like

	stalledBacklog = 4 << 20 // bytes that every stalled reader has before it: more than a connection takes in
	stalledMemory  = 64 << 20
	stallingTime   = 2 * time.Second // until all of them have what they take
	stalledWindow  = 64 << 10        // what a stalled reader's own side takes in
)

// A nodeApart is a node in a process of its own, whose memory is its alone.
type nodeApart struct {
	t       *testing.T
	socket  string
	ask     io.WriteCloser
	answers *bufio.Scanner
}

func startApart(t *testing.T, hoards bool) *nodeApart {
	t.Helper()
	dir, err := os.MkdirTemp("", "node")
	require.NoError(t, err)
	command := exec.Command(os.Args[0], "-test.run=^TestServeApart$")
	command.Env = append(os.Environ(), apartFolder+"="+dir, apartHoards+"="+strconv.FormatBool(hoards))
	command.Stderr = os.Stderr
	ask, err := command.StdinPipe()
	require.NoError(t, err)
	answers, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	n := &nodeApart{t: t, socket: filepath.Join(dir, "node.sock"), ask: ask, answers: bufio.NewScanner(answers)}
	t.Cleanup(func() {
		_ = ask.Close()
		_, _ = io.Copy(io.Discard, answers)
		require.NoError(t, command.Wait())
		require.NoError(t, os.RemoveAll(dir))
	})
	n.memory() // it is there
	return n
}

// memory is what the node's process holds, once it has swept.
func (n *nodeApart) memory() int {
	n.t.Helper()
	_, err := fmt.Fprintln(n.ask)
	require.NoError(n.t, err)
	require.True(n.t, n.answers.Scan(), "the node is gone: %v", n.answers.Err())
	pages, err := strconv.Atoi(strings.Fields(n.answers.Text())[1])
	require.NoError(n.t, err, n.answers.Text())
	return pages * os.Getpagesize()
}

// TestServeApart is the other process: it says how large it is for each line
// that it is given.
func TestServeApart(t *testing.T) {
	dir := os.Getenv(apartFolder)
	if dir == "" {
		return
	}
	quiet := slog.New(slog.DiscardHandler)
	l, err := log.Open(log.Options{Dir: filepath.Join(dir, "log"), FreeSpaceMin: 1, Logger: quiet})
	require.NoError(t, err)
	n, err := Start(Options{Log: l, Socket: filepath.Join(dir, "node.sock"), Logger: quiet, hoards: os.Getenv(apartHoards) == "true"})
	require.NoError(t, err)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		debug.FreeOSMemory()
		size, err := os.ReadFile("/proc/self/statm")
		require.NoError(t, err)
		_, _ = os.Stdout.Write(size)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = n.Close(ctx)
	require.NoError(t, l.Close())
}

func (n *nodeApart) client() *esdb.Client {
	n.t.Helper()
	config, err := esdb.ParseConnectionString("esdb://localhost:2113?tls=false")
	require.NoError(n.t, err)
	config.Address, config.MaxDiscoverAttempts, config.Logger = "unix://"+n.socket, math.MaxInt, esdb.NoopLogging()
	client, err := esdb.NewClient(config)
	require.NoError(n.t, err)
	n.t.Cleanup(func() { _ = client.Close() })
	return client
}

// fill gives the stalled something to stall at.
func (n *nodeApart) fill(c *esdb.Client) {
	n.t.Helper()
	for range stalledBacklog >> 16 {
		var all []esdb.EventData
		for range 64 {
			all = append(all, plainEvent(1<<10))
		}
		_, err := c.AppendToStream(n.t.Context(), "backlog", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, all...)
		require.NoError(n.t, err)
	}
}

func plainEvent(size int) esdb.EventData {
	return esdb.EventData{EventID: uuid.New(), EventType: "thing-happened", ContentType: esdb.ContentTypeBinary, Data: make([]byte, size)}
}

// stall subscribes many times, on connections of 50 calls each, and reads nothing.
func (n *nodeApart) stall(ctx context.Context, count int) (stalled []streams.Streams_ReadClient) {
	n.t.Helper()
	var connection *grpc.ClientConn
	for i := range count {
		if i%50 == 0 {
			var err error
			connection, err = grpc.NewClient("unix://"+n.socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithInitialWindowSize(stalledWindow), grpc.WithInitialConnWindowSize(64*stalledWindow))
			require.NoError(n.t, err)
			context.AfterFunc(ctx, func() { _ = connection.Close() })
		}
		call, err := streams.NewStreamsClient(connection).Read(ctx, followAll())
		require.NoError(n.t, err)
		stalled = append(stalled, call)
	}
	return stalled
}

func followAll() *streams.ReadReq {
	return &streams.ReadReq{Options: &streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
			AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}},
		}},
		CountOption:  &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}},
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		UuidOption:   &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}}},
	}}
}

// The healthy are a follower of everything, and eight who append.
type healthy struct {
	t        *testing.T
	client   *esdb.Client
	follower *esdb.Subscription

	mu    sync.Mutex
	sent  map[uuid.UUID]time.Time
	known []uint64 // positions, in the order in which they came
}

func newHealthy(t *testing.T, c *esdb.Client) *healthy {
	t.Helper()
	follower, err := c.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{From: esdb.Start{}})
	require.NoError(t, err)
	h := &healthy{t: t, client: c, follower: follower, sent: map[uuid.UUID]time.Time{}}
	for h.follower.Recv().CaughtUp == nil {
	}
	return h
}

// work appends count events, follows them all, and gives the time that 99 of 100
// appends took at most, and that it took until 99 of 100 were seen.
func (h *healthy) work(count int) [2]time.Duration {
	h.t.Helper()
	var appends, sights []time.Duration
	failed := make(chan error, 9)
	go func() { failed <- h.follow(count, &sights) }()
	for writer := range 8 {
		go func() { failed <- h.append(fmt.Sprint("healthy-", writer), count/8, &appends) }()
	}
	for range 9 {
		require.NoError(h.t, <-failed)
	}
	return [2]time.Duration{percentile99(appends), percentile99(sights)}
}

func (h *healthy) follow(count int, sights *[]time.Duration) error {
	for range count {
		m := h.follower.Recv()
		for m.CaughtUp != nil || m.FellBehind != nil {
			m = h.follower.Recv()
		}
		if m.EventAppeared == nil {
			return m.SubscriptionDropped.Error
		}
		e := m.EventAppeared.Event
		h.mu.Lock()
		*sights = append(*sights, time.Since(h.sent[e.EventID]))
		h.known = append(h.known, e.Position.Commit)
		h.mu.Unlock()
	}
	return nil
}

func (h *healthy) append(stream string, count int, appends *[]time.Duration) error {
	for range count {
		e, begin := plainEvent(300), time.Now()
		h.mu.Lock()
		h.sent[e.EventID] = begin
		h.mu.Unlock()
		if _, err := h.client.AppendToStream(h.t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, e); err != nil {
			return err
		}
		h.mu.Lock()
		*appends = append(*appends, time.Since(begin))
		h.mu.Unlock()
	}
	return nil
}

func percentile99(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)*99/100]
}

// A comparison is how much slower the healthy were beside the stalled, round by round.
type comparison struct{ appends, sights []float64 }

func (c *comparison) add(t *testing.T, alone, beside [2]time.Duration) {
	t.Helper()
	t.Logf("p99 of appends %v alone, %v beside; until seen %v alone, %v beside", alone[0], beside[0], alone[1], beside[1])
	c.appends = append(c.appends, float64(beside[0])/float64(alone[0]))
	c.sights = append(c.sights, float64(beside[1])/float64(alone[1]))
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// readAtLast has a stalled reader read everything from where it stands.
func readAtLast(t *testing.T, stalled streams.Streams_ReadClient, want []uint64) {
	t.Helper()
	got := make([]uint64, 0, len(want))
	for len(got) < len(want) {
		m, err := stalled.Recv()
		require.NoError(t, err)
		if e := m.GetEvent(); e != nil {
			got = append(got, e.GetCommitPosition())
		}
	}
	require.Equal(t, want, got)
}

// positions are those of all events, from a read of its own.
func positions(t *testing.T, c *esdb.Client) (all []uint64) {
	t.Helper()
	read, err := c.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, math.MaxUint64)
	require.NoError(t, err)
	defer read.Close()
	for {
		e, err := read.Recv()
		if err != nil {
			require.ErrorIs(t, err, io.EOF)
			return all
		}
		all = append(all, e.Event.Position.Commit)
	}
}

// Given a backlog, some who subscribe to everything and never read, and others
// who append and follow.
// When they work side by side.
// Then the stalled cost the node little memory and the others no time, nobody
// loses anything, and who reads at last gets everything.
//
// Alone and beside alternate. Their ratio should be under 1.2. The test asks for
// less, and only of the median of several rounds: a busy machine alone makes it 4
// in one and 0.4 in the next.
func TestStalledSubscribersHurtNobody(t *testing.T) {
	count, events := level.Of(100, 1000, 1000), level.Of(400, 2400, 20000)
	n := startApart(t, false)
	c := n.client()
	n.fill(c)
	h := newHealthy(t, c)
	h.work(events) // warm
	grown := 0
	var slower comparison
	for round := range level.Of(1, 5, 7) {
		alone := h.work(events)
		ctx, cancel := context.WithCancel(t.Context())
		empty := n.memory() // in each round, as what was appended since takes some, too
		stalled := n.stall(ctx, count)
		time.Sleep(stallingTime)
		grown = max(grown, n.memory()-empty)
		slower.add(t, alone, h.work(events))
		grown = max(grown, n.memory()-empty)
		if round == 0 {
			all := positions(t, c)
			for i := range level.Of(3, 20, 100) {
				readAtLast(t, stalled[i*len(stalled)/100], all)
			}
		}
		cancel()
		time.Sleep(stallingTime / 2)
	}
	all := positions(t, c)
	require.Equal(t, all[len(all)-len(h.known):], h.known, "what the follower saw")
	t.Logf("%d stalled subscribers: %.1f MiB more memory; p99 of appends x %.2f, until seen x %.2f (medians)",
		count, float64(grown)/(1<<20), median(slower.appends), median(slower.sights))
	if !underRace { // the race detector's own memory is several times larger
		require.LessOrEqual(t, grown, stalledMemory)
	}
	if len(slower.appends) > 1 {
		require.Less(t, median(slower.appends), 5.0)
		require.Less(t, median(slower.sights), 5.0)
	}
}

// The control: given a node whose readers hold what they like, a thousand who
// stall take more memory than they may.
func TestStalledSubscribersWouldFillTheMemory(t *testing.T) {
	if level.Few() {
		t.Skip("takes a thousand subscribers: DAYBOOK_TEST_LEVEL=ci")
	}
	n := startApart(t, true)
	n.fill(n.client())
	empty := n.memory()
	n.stall(t.Context(), 1000)
	time.Sleep(stallingTime)
	grown := n.memory() - empty
	t.Logf("1000 stalled subscribers that hold what they like: %.1f MiB more memory", float64(grown)/(1<<20))
	require.Greater(t, grown, stalledMemory)
}
