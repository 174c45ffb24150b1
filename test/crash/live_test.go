package crash

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/test/program"
)

// T26: the projectors run in a process of their own, which is interrupted and
// killed while others write and are refused now and then.
func TestGivenWritersWhenProjectorsRestartThenEveryReadModelIsExact(t *testing.T) {
	t.Parallel()
	writing := program.Options{Args: []string{"--roles", "node,api"}, Live: true}
	projecting := program.Options{Args: []string{"--roles", "projections"}}
	for range program.Level(1, 3) {
		home, l := found(t, writing)
		random := rand.New(rand.NewPCG(l.seed, 0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(program.Level(4, 20))*time.Second)
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.run(ctx, home.Now.Client())
		}()
		for ctx.Err() == nil {
			projector := home.Launch(t, projecting)
			time.Sleep(time.Duration(300+random.IntN(900)) * time.Millisecond)
			select {
			case <-projector.Ended():
				require.Fail(t, "a projector gave up", projector.Complaints())
			default:
			}
			if random.IntN(2) == 0 {
				projector.Kill()
				continue
			}
			_, err := projector.Stop(15 * time.Second)
			require.NoError(t, err)
		}
		<-done
		l.settle(t, home.Now.Client())
		last := home.Launch(t, projecting)
		within, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, home.Now.Client().CaughtUp(within))
		_, err := last.Stop(15 * time.Second)
		require.NoError(t, err)
		l.verify(t, home)
	}
}

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }
