package process

import (
	"container/heap"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain/process"
)

// An appointment is a deadline that was scheduled. Whether it is still open only
// its instance knows.
type appointment struct {
	at          time.Time
	stream      string
	deadline    uuid.UUID // the event that scheduled it
	correlation uuid.UUID
}

// An agenda is a heap of appointments, the next one first. It is made of the
// process streams alone.
type agenda []appointment

func (a *agenda) add(next appointment) { heap.Push(a, next) }

// Len, Less, Swap, Push and Pop are what container/heap asks for.
func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }

// Push adds the last one.
func (a *agenda) Push(next any) { *a = append(*a, next.(appointment)) }

// Pop takes the last one.
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// watch looks for deadlines whose time has come until ctx ends.
func (r *Runtime) watch(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.Tick(ctx); err != nil && ctx.Err() == nil {
			r.logger.Warn("deadlines wait", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(tickEvery):
		}
	}
}

// Tick records each open deadline whose time has come, with the reaction to it.
// First everything must have been handed over that was recorded before: a deadline
// that was answered in time is never reached.
func (r *Runtime) Tick(ctx context.Context) error {
	now := r.options.Clock()
	if !r.isDue(now) {
		return nil
	}
	if !r.sabotage.blind {
		if err := r.await(ctx); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.due) > 0 && !r.due[0].at.After(now) {
		if err := r.reach(ctx, r.due[0]); err != nil {
			return err
		}
		heap.Pop(&r.due)
	}
	return nil
}

// isDue reports whether an open deadline's time has come. It forgets those that
// are not open any more.
func (r *Runtime) isDue(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.due) > 0 && !r.due[0].at.After(now) {
		if r.open(r.due[0]) {
			return true
		}
		heap.Pop(&r.due)
	}
	return false
}

func (r *Runtime) open(a appointment) bool {
	own := r.instances[a.stream]
	return own != nil && slices.ContainsFunc(own.Deadlines, func(d process.Deadline) bool { return d.ID == a.deadline })
}

// reach records that a deadline is reached. The ID derives from the event that
// scheduled it, and the instance decides whether it is still open.
func (r *Runtime) reach(ctx context.Context, a appointment) error {
	d, id, known := r.definition(a.stream)
	if !known || !r.open(a) {
		return nil
	}
	last, err := r.last(ctx, a.stream)
	if err != nil {
		return err
	}
	cause := Event{}
	cause.ID, cause.Meta.CorrelationID = a.deadline, a.correlation
	reach := process.Reach{Last: last, DeadlineID: a.deadline, Version: d.Version(), React: r.reaction(d, id)}
	_, err = r.append(d, a.stream, cause, reach, "reached", a.deadline.String())
	return err
}
