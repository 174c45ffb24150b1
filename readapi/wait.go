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

// A watch looks at one thing for all who wait for it: at most one look at a time,
// and none while nobody waits.
type watch[T any] struct {
	find    func() (T, error)
	changed func() <-chan struct{} // closed when another look may find more; nil = never
	wake    chan struct{}          // somebody new waits

	mu      sync.Mutex
	waiting int
	looking bool
	seen    sighting[T]
}

// A sighting is what one look found.
type sighting[T any] struct {
	found T
	err   error
	next  chan struct{} // closed by the next one
}

func newWatch[T any](find func() (T, error), changed func() <-chan struct{}) *watch[T] {
	if changed == nil {
		changed = func() <-chan struct{} { return nil }
	}
	return &watch[T]{find: find, changed: changed, wake: make(chan struct{}, 1), seen: sighting[T]{next: make(chan struct{})}}
}

// until waits for what enough accepts, or for an error of it or of the look. When
// ctx ends first it returns what was seen last, and ended.
func (w *watch[T]) until(ctx context.Context, enough func(T) (bool, error)) (last T, ended bool, err error) {
	next := w.enter()
	defer w.leave()
	for {
		select {
		case <-ctx.Done():
			return last, true, nil
		case <-next:
		}
		now, following := w.last()
		if now.err != nil {
			return last, false, now.err
		}
		last, next = now.found, following
		if done, err := enough(last); done || err != nil {
			return last, false, err
		}
	}
}

// reach waits until a read model has passed a position.
func (s *server) reach(ctx context.Context, projection string, awaited eventstore.Position) error {
	if awaited.IsZero() {
		return nil
	}
	return edge.Resting(ctx, func() error { return s.await(ctx, projection, awaited) })
}

func (s *server) await(ctx context.Context, projection string, awaited eventstore.Position) error {
	ctx, cancel := context.WithTimeout(ctx, waitMax)
	defer cancel()
	marks, ended, err := s.marks.until(ctx, func(marks map[string]mark) (bool, error) {
		at, there := marks[projection]
		switch {
		case !there:
			return false, readModelMissing()
		case !at.position.Less(awaited):
			return true, nil
		case at.stands():
			return false, edge.NewProblem(http.StatusServiceUnavailable, "read-model-"+at.state,
				fmt.Sprintf("the read model is %s at %s, before this position; an operator must act", at.state, at.position)).
				RetryAfter(time.Minute).With(stateHeader, at.header())
		}
		return false, nil
	})
	if ended {
		return notReached("read model", marks[projection].position, awaited)
	}
	return err
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
func (w *watch[T]) enter() <-chan struct{} {
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

func (w *watch[T]) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting--
}

func (w *watch[T]) last() (sighting[T], <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen, w.seen.next
}

// look goes on until nobody waits.
func (w *watch[T]) look() {
	for {
		changed := w.changed() // before the look, so that no change is missed
		found, err := w.find()
		if !w.publish(found, err) {
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
func (w *watch[T]) publish(found T, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.seen.next)
	w.seen = sighting[T]{found, err, make(chan struct{})}
	w.looking = w.waiting > 0
	return w.looking
}

// findMarks reads the checkpoints.
func (s *server) findMarks() (map[string]mark, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
	defer cancel()
	rows, err := s.Pool.Query(ctx, marksSQL)
	if err != nil {
		return nil, fmt.Errorf("read the checkpoints: %w", err)
	}
	marks := map[string]mark{}
	var name string
	var m mark
	_, err = pgx.ForEachRow(rows, []any{&name, &m.version, &m.position.Commit, &m.position.Prepare, &m.state}, func() error {
		marks[name] = m
		return nil
	})
	if err != nil {
		err = fmt.Errorf("read the checkpoints: %w", err)
	}
	return marks, err
}

// findHead asks for the end of the log.
func (s *server) findHead() (eventstore.Position, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
	defer cancel()
	return s.Store.Head(ctx)
}
