package crash

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/test/program"
)

// endings are the ways in which a database server ends: as by a power cut, at
// once, and in order.
var endings = []syscall.Signal{syscall.SIGKILL, syscall.SIGQUIT, syscall.SIGINT}

// T10: the private Postgres is killed or stopped under load, time and again. The
// writers do not need it; the read models come back by themselves, and are those
// that a rebuild makes.
func TestGivenLoadWhenTheDatabaseEndsThenTheReadModelsCatchUpExact(t *testing.T) {
	t.Parallel()
	home, l := found(t, program.Options{})
	l.writers, l.pause = 4, paced()
	ctx, rest := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run(ctx, home.Now.Client())
	}()
	defer rest()
	var took []time.Duration
	ends := program.Level(2, 30, 300)
	for range ends {
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		endDatabase(t, home.Now, endings[rand.IntN(len(endings))])
		took = append(took, caughtUp(t, home.Now.Client()))
	}
	rest()
	<-done
	t.Logf("%d ends of the database: restarted and caught up within p50 %v, max %v", ends, quantile(took, 0.5), quantile(took, 1))
	l.settle(t, home.Now.Client())
	l.verify(t, home)
}

// endDatabase sends the server a signal and returns when it is gone.
func endDatabase(t *testing.T, p *program.Process, how syscall.Signal) {
	t.Helper()
	pid := 0
	require.Eventually(t, func() bool { // after a kill those whom it served may still answer for a moment
		pid = serverOf(t, p)
		return pid > 1 && syscall.Kill(pid, 0) == nil
	}, time.Minute, time.Millisecond)
	require.NoError(t, syscall.Kill(pid, how))
	require.Eventually(t, func() bool { return serverOf(t, p) != pid || syscall.Kill(pid, 0) != nil }, time.Minute, time.Millisecond)
}

// serverOf is the number of the server's process, 0 while there is none.
func serverOf(t *testing.T, p *program.Process) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(p.Cluster(), "data", "postmaster.pid"))
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, _ := strconv.Atoi(line)
	return pid
}

// caughtUp waits until all read models are where the log is now, and returns how
// long that took. The API may have no answer at first.
func caughtUp(t *testing.T, client *program.Client) time.Duration {
	t.Helper()
	began := time.Now()
	var head eventstore.Position
	var said string
	require.Eventually(t, func() bool {
		var now program.Projections
		answer, err := client.Get(t.Context(), "/v1/projections", nil)
		if said = string(answer.Body); err != nil || answer.Into(&now) != nil {
			return false
		}
		if head.IsZero() {
			head, err = eventstore.ParsePosition(now.Head)
			require.NoError(t, err)
		}
		for _, item := range now.Items {
			at, err := eventstore.ParsePosition(item.Position)
			if err != nil || at.Less(head) {
				return false
			}
		}
		return len(now.Items) > 0
	}, time.Minute, 5*time.Millisecond, said)
	return time.Since(began)
}
