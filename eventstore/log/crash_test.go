package log

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

const (
	crashFolder  = "DAYBOOK_TEST_CRASH_FOLDER" // set: this process is the one that is to be killed
	crashWriters = 8
	crashKills   = 20
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashFolder); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	flag.Parse()
	if testing.Short() {
		_ = flag.Set("rapid.checks", "20")
	}
	os.Exit(m.Run())
}

// attempt is a writer's n-th event; its ID follows from that.
func attempt(writer int, revision int64) Proposed {
	id := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%d/%d", writer, revision))
	size := 200 + int(revision*37%1800)
	return Proposed{ID: id, Type: "thing-happened", JSON: true, Data: []byte(`"` + strings.Repeat("x", size) + `"`)}
}

func attempts(writer int, from int64) (events []Proposed) {
	for i := range 1 + from%3 {
		events = append(events, attempt(writer, from+i))
	}
	return events
}

// writeUntilKilled appends from several goroutines and tells on standard output
// what it is about to append and what was acknowledged.
func writeUntilKilled(dir string) error {
	l, err := Open(small(dir))
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	var out sync.Mutex
	say := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	for writer := range crashWriters {
		wait.Go(func() {
			stream := fmt.Sprintf("w-%d", writer)
			for head := l.Stream(stream).Head; ; {
				events := attempts(writer, head+1)
				say("try %d %d", writer, head+int64(len(events)))
				result, err := l.Append(context.Background(), Append{Stream: stream, Expected: head, Events: events})
				if err != nil {
					say("error %v", err)
					return
				}
				head = result.Revision
				say("ack %d %d", writer, head)
			}
		})
	}
	wait.Wait()
	return nil
}

// A ledger knows what the killed processes said.
type ledger struct{ tried, acknowledged [crashWriters]int64 }

func (j *ledger) hear(line string) error {
	var writer int
	var head int64
	if n, _ := fmt.Sscanf(line, "try %d %d", &writer, &head); n == 2 {
		j.tried[writer] = head
	} else if n, _ := fmt.Sscanf(line, "ack %d %d", &writer, &head); n == 2 {
		j.acknowledged[writer] = head
	} else if strings.HasPrefix(line, "error") {
		return fmt.Errorf("the writer met: %s", line)
	}
	return nil
}

// TestNothingIsLostOrDoubledByKill9 kills a loaded process again and again: all that was
// acknowledged is there, once and in order, whole batches only, and nothing
// that nobody tried.
func TestNothingIsLostOrDoubledByKill9(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	said := ledger{}
	for i := range crashWriters {
		said.tried[i], said.acknowledged[i] = -1, -1
	}
	for range crashKills {
		killOnce(t, dir, &said)
		l, err := Open(small(dir))
		require.NoError(t, err)
		total := 0
		for writer := range crashWriters {
			total += said.verify(t, l, writer)
		}
		require.Len(t, everything(t, l), total)
		require.NoError(t, l.Close())
	}
	require.Greater(t, said.acknowledged[0], int64(crashKills), "the writers wrote")
}

func killOnce(t *testing.T, dir string, said *ledger) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashFolder+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan(), "the child started") // so the kill comes under load
	require.NoError(t, said.hear(lines.Text()))
	time.AfterFunc(time.Duration(rand.IntN(60_000))*time.Microsecond, func() { _ = child.Process.Kill() })
	for lines.Scan() {
		require.NoError(t, said.hear(lines.Text()))
	}
	require.Error(t, child.Wait(), "killed")
}

// verify compares one writer's stream with what it said and counts its events.
func (j *ledger) verify(t *testing.T, l *Log, writer int) int {
	t.Helper()
	records, err := l.ReadStream(t.Context(), fmt.Sprintf("w-%d", writer), 0, Forwards, 1<<30)
	require.NoError(t, err)
	head := int64(len(records)) - 1
	require.Contains(t, []int64{j.acknowledged[writer], j.tried[writer]}, head, "whole batches only")
	require.GreaterOrEqual(t, head, j.acknowledged[writer])
	for i, r := range records {
		require.Equal(t, int64(i), r.Revision)
		require.Equal(t, attempt(writer, int64(i)).ID, r.ID)
	}
	j.acknowledged[writer], j.tried[writer] = head, head
	return len(records)
}
