package main_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/eventstore/log"
	"daybook.example/eventstore/node"
	"daybook.example/eventstore/proof"
)

// A carried is a folder with a log and its node, without the rest of the house.
type carried struct {
	*eventstore.Client
	dir, url string
	close    func()
}

// carry starts a node on a folder; others may write to it over TCP.
func carry(t *testing.T, dir string) carried {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	l, err := log.Open(log.Options{Dir: filepath.Join(dir, "log"), Logger: quiet})
	require.NoError(t, err)
	socket := filepath.Join(dir, "test.sock")
	n, err := node.Start(node.Options{Log: l, Socket: socket, Listen: "127.0.0.1:0", AllowWrites: true, Logger: quiet})
	require.NoError(t, err)
	client, err := eventstore.Connect(eventstore.Options{Socket: socket, Logger: quiet})
	require.NoError(t, err)
	c := carried{Client: client, dir: dir, url: "esdb://" + n.Addr() + "?tls=false"}
	closed := false
	c.close = func() {
		if closed {
			return
		}
		closed = true
		ctx, cancel := context.WithTimeout(context.Background(), stopMax)
		defer cancel()
		require.NoError(t, client.Close(ctx))
		_ = n.Close(ctx)
		require.NoError(t, l.Close())
	}
	t.Cleanup(c.close)
	return c
}

// fill appends n events to some streams, and names the log first.
func (c carried) fill(t *testing.T, n int) {
	t.Helper()
	_, err := c.NameLog(t.Context(), eventstore.Proposed{ID: uuid.New(), Type: "log-named", Data: fmt.Appendf(nil, `{"log_id":"%s"}`, uuid.New()), Metadata: []byte(`{}`)})
	require.NoError(t, err)
	for i := range n {
		_, err := c.Append(t.Context(), fmt.Sprintf("thing-%d", i%7), eventstore.Any, []eventstore.Proposed{{
			ID: uuid.New(), Type: "thing-happened", Data: fmt.Appendf(nil, `{"n":%d,"fill":"%s"}`, i, strings.Repeat("x", 300)), Metadata: []byte(`{}`),
		}})
		require.NoError(t, err)
	}
}

func (c carried) root(t *testing.T, events int) [32]byte {
	t.Helper()
	var tree proof.Tree
	for e, err := range c.All(t.Context(), eventstore.Position{}) {
		require.NoError(t, err)
		if proof.Covers(e) && tree.Size() < uint64(events) {
			tree.Add(proof.Leaf(e))
		}
	}
	require.EqualValues(t, events, tree.Size())
	return tree.Root()
}

func TestALogMovesToAnotherStore(t *testing.T) {
	t.Parallel()
	// Given a folder that nobody runs on, with a log
	from, positions := carry(t, folder(t)), filepath.Join(t.TempDir(), "positions")
	from.fill(t, 300)
	was, err := from.LogID(t.Context())
	require.NoError(t, err)
	root := from.root(t, 301)
	from.close()

	// When a copy follows it into a fresh folder
	to := filepath.Join(folder(t), "copy")
	p := launch(t, nil, "migrate", "--from", from.dir, "--to", to, "--map", positions)
	require.Eventually(t, func() bool { return strings.Contains(p.err.String(), "following: 301 events copied, 0 behind") }, readyMax, 10*time.Millisecond)
	p.stop(t)
	require.Contains(t, p.out.String(), "not yet: run it with --cutover")

	// And is cut over
	out := must(t, "migrate", "--from", from.dir, "--to", to, "--map", positions, "--cutover", "--output", "json")
	var report struct {
		Events   uint64
		Root     string
		Verified bool
		LogID    uuid.UUID `json:"log_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.EqualValues(t, 301, report.Events)
	require.True(t, report.Verified)
	require.Equal(t, hex.EncodeToString(root[:]), report.Root)
	lines, err := os.ReadFile(positions)
	require.NoError(t, err)
	require.Equal(t, 301, strings.Count(string(lines), "\n"))

	// Then the copy holds the same under a name of its own
	copied := carry(t, to)
	require.Equal(t, root, copied.root(t, 301))
	name, err := copied.LogID(t.Context())
	require.NoError(t, err)
	require.Equal(t, report.LogID, name)
	require.NotEqual(t, was, name)
	copied.close()

	// And is not written to again
	r := daybook(t, "migrate", "--from", from.dir, "--to", to, "--cutover")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "was cut over already")
	require.Contains(t, r.err, "— use the target as it is")
}

// Each kill is at another moment; what it left is gone on with.
func TestAMigrationThatIsKilledGoesOn(t *testing.T) {
	t.Parallel()
	from, to, positions := carry(t, folder(t)), carry(t, folder(t)), filepath.Join(t.TempDir(), "positions")
	from.fill(t, 1500)
	args := []string{"migrate", "--from", from.url, "--to", to.url, "--map", positions}
	began, kills := uint64(0), 0
	for range 12 {
		p := launch(t, nil, args...)
		time.Sleep(time.Duration(20+rand.IntN(150)) * time.Millisecond)
		p.kill()
		kills++
		began = 0
		for e, err := range to.All(t.Context(), eventstore.Position{}) {
			require.NoError(t, err)
			began++
			require.NotEmpty(t, e.Stream)
		}
		if began == 1501 {
			break
		}
	}
	t.Logf("%d kills, then %d of 1501 events were there", kills, began)
	out := must(t, append(args, "--cutover")...)
	require.Contains(t, out, "copied    1501 events")
	require.Equal(t, from.root(t, 1501), to.root(t, 1501))
}

func TestWhatCannotBeMigratedIsRefusedWithTheWayOut(t *testing.T) {
	t.Parallel()
	from, to := carry(t, folder(t)), carry(t, folder(t))
	from.fill(t, 3)
	to.fill(t, 1)
	readOnly := folder(t)
	for _, c := range []struct {
		args   []string
		expect []string
	}{
		{[]string{"--from", from.url}, []string{"--from and --to are required", "— give each an esdb:// address or a folder"}},
		{[]string{"--from", from.url, "--to", from.url}, []string{"the same log", "— name two stores"}},
		{[]string{"--from", from.url, "--to", to.url, "--cutover"}, []string{"the target is not empty", "— name an empty store"}},
		{[]string{"--from", from.url, "--to", readOnly, "--append-max", "200", "--cutover"}, []string{"event is larger", "thing-0", "--append-max"}},
		{[]string{"--from", filepath.Join(readOnly, "none"), "--to", to.url}, []string{"holds no log", "— name the folder"}},
	} {
		r := daybook(t, append([]string{"migrate"}, c.args...)...)
		require.Equal(t, 1, r.code, "%v", c.args)
		for _, text := range c.expect {
			require.Contains(t, r.err, text, "%v", c.args)
		}
		require.Equal(t, "daybook: ", r.err[strings.LastIndex(strings.TrimSpace(r.err), "\n")+1:][:9])
	}
}
