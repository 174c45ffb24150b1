package commands

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"daybook.example/domain"
)

// Of a stream that other processes write to at the same time.
const (
	conflictMax = 10 * time.Second       // after others first came first, before a command gives up
	pauseMax    = 5 * time.Millisecond   // before it starts again
	metMax      = time.Second            // after meeting others
	giveWayMax  = 100 * time.Millisecond // to them
)

// A worker serves the commands of one stream.
type worker[C, S any, E domain.Named] struct {
	*Handler[C, S, E]
	stream string
	known  *known[S] // nil = nothing
	batch  batch[C, S]
	spare  *known[S] // the stored state, while known is ahead of it; nil = none
	met    time.Time // when others' events last came before ours
	broken bool      // a panic may have left the state half changed
}

// serve carries out jobs in their order. Each is decided on the state that the
// ones before it just made, so that one append can carry several. A job that
// cannot be answered yet starts again once everything before it is stored.
func (w *worker[C, S, E]) serve(jobs []*job[C, S]) {
	for len(jobs) > 0 || !w.batch.empty() {
		if len(jobs) == 0 {
			jobs = w.flush()
			continue
		}
		ready := w.try(jobs[0])
		if ready {
			jobs = jobs[1:]
		}
		if !ready || w.broken {
			jobs = append(w.settle(jobs), jobs...)
		}
	}
}

// settle makes the state the stored tail of the stream and returns what others'
// events made undone. If the tail cannot be read the first job ends.
func (w *worker[C, S, E]) settle(jobs []*job[C, S]) (again []*job[C, S]) {
	appended := !w.batch.empty()
	again = w.flush()
	if w.broken {
		w.known, w.broken = nil, false
		return again
	}
	if appended || w.known == nil {
		return again
	}
	w.guard(jobs[0], func() {
		if err := w.catchUp(); err != nil && !errors.Is(err, errLent) {
			w.refuse(jobs[0], err)
		}
	})
	return again
}

// try answers the job or adds it to the batch. It returns false when the job has
// to start again on a settled state.
func (w *worker[C, S, E]) try(j *job[C, S]) (ready bool) {
	switch {
	case j.finished():
		return true
	case j.ctx.Err() != nil:
		w.refuse(j, unknown())
		return true
	}
	w.guard(j, func() { ready = w.proceed(j) })
	return ready || w.broken
}

// guard lets a panic of the domain end one command and nothing else.
func (w *worker[C, S, E]) guard(j *job[C, S], do func()) {
	defer func() {
		reason := recover()
		if reason == nil {
			return
		}
		w.broken = true
		w.core.logger().Error("a command panicked", "command", fmt.Sprintf("%T", j.command), "stack", string(debug.Stack()))
		if !j.finished() {
			w.refuse(j, fmt.Errorf("internal error in %T", j.command))
		}
	}()
	do()
}

func (w *worker[C, S, E]) proceed(j *job[C, S]) (ready bool) {
	if err := w.load(j); err != nil {
		w.refuse(j, err)
		return true
	}
	if j.look {
		return w.lend(j)
	}
	if answered, repeated := w.repeat(j); repeated {
		return answered
	}
	events, err := w.decide(j)
	if err != nil || len(events) == 0 || j.request.DryRun {
		return w.settled(j) && w.conclude(j, events, err)
	}
	return w.add(j, events)
}

// settled reports whether the state is all stored and was the stream's tail at
// some time since the job arrived: only then a refusal is just.
func (w *worker[C, S, E]) settled(j *job[C, S]) bool {
	return w.batch.empty() && !w.known.checked.Before(j.arrived)
}

func (w *worker[C, S, E]) lend(j *job[C, S]) bool {
	if !w.settled(j) {
		return false
	}
	w.known.lent = true
	j.state, j.exists = w.known.state, w.known.exists()
	j.finish(Answer{Revision: w.known.revision(), Position: w.known.position}, nil)
	return true
}

func (w *worker[C, S, E]) decide(j *job[C, S]) ([]E, error) {
	if !w.known.exists() && !j.request.Creating {
		return nil, &domain.Error{Kind: domain.NotFound, Code: "not-found", Message: absent(w.category)}
	}
	if err := w.match(j.request); err != nil {
		return nil, err
	}
	return w.decider.Decide(w.known.state, j.command)
}

// match compares what the caller has seen with what there is.
func (w *worker[C, S, E]) match(r Request) error {
	switch {
	case r.IfMatchAny && !w.known.exists():
		return &domain.Error{Kind: domain.Stale, Code: "stale-revision", Message: "If-Match: * requires that it exists, and it does not"}
	case r.IfMatch == nil || w.known.exists() && *r.IfMatch == w.known.revision():
		return nil
	case !w.known.exists():
		return &domain.Error{Kind: domain.Stale, Code: "stale-revision", Message: fmt.Sprintf("If-Match names revision %d, but it does not exist", *r.IfMatch)}
	}
	return &domain.Error{Kind: domain.Stale, Code: "stale-revision", Message: fmt.Sprintf("If-Match names revision %d, the present one is %d; read it again and decide anew", *r.IfMatch, w.known.revision())}
}

// conclude answers a job that appends nothing. It always returns true.
func (w *worker[C, S, E]) conclude(j *job[C, S], events []E, err error) bool {
	if err == nil && j.request.DryRun {
		err = w.rehearse(j, events)
	}
	if err != nil {
		w.refuse(j, err)
		return true
	}
	answer := Answer{Revision: w.known.revision(), Position: w.known.position, Events: []EventRef{}}
	for i, event := range events {
		id := domain.EventID(j.request.CommandID, j.request.RequestMAC, w.stream, i)
		answer.Events = append(answer.Events, EventRef{ID: id, Type: event.EventType()})
	}
	w.withdraw(j)
	j.finish(answer, nil)
	return true
}

// refuse ends a job that appended nothing. Claims are given back unless the
// result is unknown: then the events that need them may be stored yet.
func (w *worker[C, S, E]) refuse(j *job[C, S], err error) {
	var refusal *domain.Error
	if !errors.As(err, &refusal) || refusal.Kind != domain.Unknown {
		w.withdraw(j)
	}
	j.finish(Answer{}, err)
}

func (j *job[C, S]) finished() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// evolve makes the state that follows the decision. Only what will be appended
// comes here.
func (w *worker[C, S, E]) evolve(d *decided[C, S], events []E, at time.Time) {
	k := w.known
	k.claims, k.cause = nil, nil
	for i, event := range events {
		recording := domain.Recording{ID: d.events[i].ID, Revision: k.next, RecordedAt: at}
		k.note(d.job.request.CommandID, k.next)
		k.state = w.decider.Evolve(k.state, domain.Recorded[E]{Recording: recording, Event: event})
	}
}
