package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"daybook.example/test/program"
)

const takeoverMax = 15 * time.Second

// T1 with projectors: under load, one of two processes with projectors is killed
// with kill -9, time and again. What it owned is taken over by the other within
// 15 s, and no event is applied twice.
func TestGivenLoadWhenAProjectorIsKilledThenAStandbyTakesOverAndNothingIsAppliedTwice(t *testing.T) {
	t.Parallel()
	home, l := found(t, writing)
	l.writers, l.pause = 4, paced()
	ctx, rest := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run(ctx, home.Now.Client())
	}()
	defer rest()
	projectors := []*program.Process{home.Launch(t, projecting), home.Launch(t, projecting)}
	ownedBy(t, home, projectors)
	var took []time.Duration
	kills := program.Level(4, 50, 500)
	for range kills {
		time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
		i := rand.IntN(2)
		projectors[i].Kill()
		took = append(took, ownedBy(t, home, projectors[1-i:2-i]))
		projectors[i] = home.Launch(t, projecting)
	}
	rest()
	<-done
	t.Logf("%d kills: taken over within p50 %v, max %v", kills, quantile(took, 0.5), quantile(took, 1))
	within, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, home.Now.Client().CaughtUp(within))
	for _, p := range projectors {
		stop(t, p)
	}
	l.verifyWhole(t, home)
}

// ownedBy waits until every read model is owned by one of the processes, and
// returns how long that took.
func ownedBy(t *testing.T, home *program.Home, processes []*program.Process) time.Duration {
	t.Helper()
	began := time.Now()
	var owners []string
	require.NoError(t, home.Now.Query(t.Context(), func(conn *pgx.Conn) error {
		for {
			rows, err := conn.Query(t.Context(), "select owner from daybook.projection_checkpoint where owner is not null")
			if err != nil {
				return err
			}
			if owners, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
				return err
			}
			switch {
			case len(owners) > 0 && !slices.ContainsFunc(owners, func(owner string) bool { return !isOneOf(owner, processes) }):
				return nil
			case time.Since(began) > takeoverMax:
				return fmt.Errorf("not taken over within %s: the owners are %v", takeoverMax, owners)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}))
	return time.Since(began)
}

func isOneOf(owner string, processes []*program.Process) bool {
	return slices.ContainsFunc(processes, func(p *program.Process) bool { return strings.HasSuffix(owner, fmt.Sprintf("/%d", p.PID())) })
}

func quantile(all []time.Duration, q float64) time.Duration {
	slices.Sort(all)
	return all[int(q*float64(len(all)-1))].Round(time.Millisecond)
}
