package postgres

import (
	"context"
	"time"
)

const (
	restartMin = 100 * time.Millisecond
	restartMax = 10 * time.Second
)

// A keeper starts a server again that ended by itself.
type keeper struct {
	end  context.CancelFunc
	done chan struct{}
}

// keep watches over the server until the keeper is stopped. The address stays as
// it is, so that connections can be made anew.
func (s *Server) keep() {
	ctx, end := context.WithCancel(context.Background())
	s.keeper = keeper{end, make(chan struct{})}
	go func() {
		defer close(s.keeper.done)
		for backoff := restartMin; s.died(ctx); {
			s.logger.Error("the private Postgres ended by itself and is started again", "log", s.file("postgres.log"))
			err := s.spawn(ctx)
			if err == nil {
				backoff = restartMin
				continue
			}
			s.logger.Error("the private Postgres does not start", "error", err, "again_in", backoff)
			wait(ctx, backoff)
			backoff = min(2*backoff, restartMax)
		}
	}()
}

// died waits for the server's end; false is that of ctx.
func (s *Server) died(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-s.process.done:
		return ctx.Err() == nil
	}
}

// stop returns when the keeper will not touch the server any more.
func (k keeper) stop() {
	if k.end != nil {
		k.end()
		<-k.done
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
