package commands

import (
	"context"
	"fmt"
	"sync"
	"time"

	"daybook.example/commands/claims"
	"daybook.example/domain"
)

const waitingMax = 1024 // commands waiting for one stream

// A Handler carries out the commands of one category. The commands of a stream
// run one after another on one worker, which lives as long as there are any.
type Handler[C, S any, E domain.Named] struct {
	core     *Core
	decider  domain.Decider[C, S, E]
	catalog  domain.Catalog[E]
	category string

	mu    sync.Mutex
	lines map[string]*line[C, S] // of streams with a worker
	cache *cache[known[S]]       // of streams without
}

// A line is the commands that wait for a stream's worker.
type line[C, S any] struct{ waiting []*job[C, S] }

// A job is one command on its way, or a look at the state. All but the first
// four belong to the worker until done is closed.
type job[C, S any] struct {
	ctx     context.Context
	request Request
	command C
	arrived time.Time
	look    bool

	held      []claims.Held // taken for this command so far
	conflicts int
	met       time.Time // the first of them
	done      chan struct{}
	answer    Answer
	state     S
	exists    bool
	err       error
}

// NewHandler makes the handler of a category's commands.
func NewHandler[C, S any, E domain.Named](core *Core, d domain.Decider[C, S, E], c domain.Catalog[E], category string) *Handler[C, S, E] {
	return &Handler[C, S, E]{
		core: core, decider: d, catalog: c, category: category,
		lines: map[string]*line[C, S]{},
		cache: newCache[known[S]](core.CacheEvents),
	}
}

// Handle carries out one command: afterwards its events are stored, once however
// often it is delivered, or nothing is. A refusal is a *domain.Error; of kind
// domain.Unknown, the same request finds out what happened.
func (h *Handler[C, S, E]) Handle(ctx context.Context, stream string, req Request, cmd C) (Answer, error) {
	started := time.Now()
	j := &job[C, S]{ctx: ctx, request: req, command: cmd, arrived: started, done: make(chan struct{})}
	err := h.wait(stream, j)
	var answer Answer
	if err == nil {
		answer = j.answer
	}
	h.core.observer().observe(cmd, answer, err, time.Since(started))
	return answer, err
}

// State returns a stream's folded state with its revision, as of its tail, for
// decisions on other streams. It may be kept but not changed.
func (h *Handler[C, S, E]) State(ctx context.Context, stream string) (state S, revision uint64, exists bool, err error) {
	j := &job[C, S]{ctx: ctx, look: true, arrived: time.Now(), done: make(chan struct{})}
	if err := h.wait(stream, j); err != nil {
		return state, 0, false, err
	}
	return j.state, j.answer.Revision, j.exists, nil
}

// wait lines the job up and waits for its end or for the caller's.
func (h *Handler[C, S, E]) wait(stream string, j *job[C, S]) error {
	if !h.enqueue(stream, j) {
		return &domain.Error{Kind: domain.Unknown, Code: "busy", Message: fmt.Sprintf("%d commands wait for this stream already; try again in a moment", waitingMax)}
	}
	select {
	case <-j.done:
		return j.err
	case <-j.ctx.Done(): // the cause tells a program that was stopped from one that failed
		return fmt.Errorf("%w (%w)", unknown(), j.ctx.Err())
	}
}

func (h *Handler[C, S, E]) enqueue(stream string, j *job[C, S]) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, working := h.lines[stream]
	if !working {
		l = &line[C, S]{}
		h.lines[stream] = l
		go h.work(stream, l)
	}
	if len(l.waiting) >= waitingMax {
		return false
	}
	l.waiting = append(l.waiting, j)
	return true
}

// work serves a stream until nobody waits any more.
func (h *Handler[C, S, E]) work(stream string, l *line[C, S]) {
	w := worker[C, S, E]{Handler: h, stream: stream}
	h.mu.Lock()
	defer h.mu.Unlock()
	w.known = h.cache.take(stream)
	for len(l.waiting) > 0 {
		jobs := l.waiting
		l.waiting = nil
		h.mu.Unlock()
		w.serve(jobs)
		h.mu.Lock()
	}
	delete(h.lines, stream)
	if w.known != nil {
		h.cache.put(stream, w.known, 1+len(w.known.commands))
	}
}

func (j *job[C, S]) finish(answer Answer, err error) {
	j.answer, j.err = answer, err
	close(j.done)
}

func unknown() error {
	return &domain.Error{Kind: domain.Unknown, Code: "result-unknown", Message: "it is not known yet whether the command was carried out; send the same request with the same Idempotency-Key to find out"}
}
