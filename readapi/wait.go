package readapi

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"daybook.example/commands/edge"
	"daybook.example/eventstore"
)

const (
	waitMax    = 5 * time.Second
	pollEvery  = 20 * time.Millisecond
	lookWithin = 2 * time.Second
)

// A watch looks at the checkpoints for all who wait for one: at most one look at
// a time, and none while nobody waits.
type watch struct {
	server *server
	wake   chan struct{} // somebody new waits

	mu      sync.Mutex
	waiting int
	looking bool
	seen    sighting
}

// A sighting is what one look found.
type sighting struct {
	marks map[string]mark // by projection
	err   error
	next  chan struct{} // closed by the next one
}

func newWatch(s *server) *watch {
	return &watch{server: s, wake: make(chan struct{}, 1), seen: sighting{next: make(chan struct{})}}
}

// reach waits until a read model has passed a position.
func (s *server) reach(ctx context.Context, projection string, awaited eventstore.Position) error {
	if awaited.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, waitMax)
	defer cancel()
	next := s.watch.enter()
	defer s.watch.leave()
	var at mark
	for {
		select {
		case <-ctx.Done():
			return notReached("read model", at.position, awaited)
		case <-next:
		}
		var now sighting
		now, next = s.watch.last()
		if now.err != nil {
			return fmt.Errorf("read the checkpoints: %w", now.err)
		}
		var there bool
		at, there = now.marks[projection]
		switch {
		case !there:
			return readModelMissing()
		case !at.position.Less(awaited):
			return nil
		case at.stands():
			return edge.NewProblem(http.StatusServiceUnavailable, "read-model-"+at.state, fmt.Sprintf("the read model is %s at %s, before this position; an operator must act", at.state, at.position)).
				RetryAfter(time.Minute).With(stateHeader, at.header())
		}
	}
}

func notReached(what string, at, awaited eventstore.Position) error {
	return edge.NewProblem(http.StatusServiceUnavailable, "not-reached",
		fmt.Sprintf("the %s is at %s and did not reach %s in time; try again", what, at, awaited)).RetryAfter(time.Second)
}

func readModelMissing() error {
	return edge.NewProblem(http.StatusServiceUnavailable, "read-model-missing",
		"the read model is not there yet; a process with role projections makes it").RetryAfter(time.Second)
}

// enter has the watch look, at once, and returns when it has.
func (w *watch) enter() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting++
	if !w.looking {
		w.looking = true
		go w.look()
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return w.seen.next
}

func (w *watch) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting--
}

func (w *watch) last() (sighting, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen, w.seen.next
}

// look goes on until nobody waits.
func (w *watch) look() {
	for {
		changed := w.server.changed() // before the look, so that no change is missed
		marks, err := w.marks()
		if !w.publish(marks, err) {
			return
		}
		select {
		case <-changed:
		case <-w.wake:
		case <-time.After(pollEvery):
		}
	}
}

// publish shows what was found; it reports whether anybody waits.
func (w *watch) publish(marks map[string]mark, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.seen.next)
	w.seen = sighting{marks, err, make(chan struct{})}
	w.looking = w.waiting > 0
	return w.looking
}

func (w *watch) marks() (map[string]mark, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
	defer cancel()
	rows, err := w.server.Pool.Query(ctx, marksSQL)
	if err != nil {
		return nil, err
	}
	marks := map[string]mark{}
	var name string
	var m mark
	_, err = pgx.ForEachRow(rows, []any{&name, &m.version, &m.position.Commit, &m.position.Prepare, &m.state}, func() error {
		marks[name] = m
		return nil
	})
	return marks, err
}

// changed is closed at the next commit of a projector in this process.
func (s *server) changed() <-chan struct{} {
	if s.Changed == nil {
		return nil
	}
	return s.Changed()
}
