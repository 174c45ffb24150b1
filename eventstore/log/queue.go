package log

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"
)

const (
	groupMax = 8 << 20 // bytes of frames taken into one batch
	yields   = 3       // how often the writer lets others come before it drains
)

type requestKind int

const (
	appending requestKind = iota
	softDeletion
	tombstoning
)

// A request waits for its turn with everything its caller could prepare.
type request struct {
	kind     requestKind
	stream   string
	expected int64
	ids      []uuid.UUID
	frame    frame
	metadata *metadata // what its last $metadata event says
	content  []byte    // and that event's data
	result   Result
	err      error
	done     chan struct{}
}

func (r *request) answer(result Result, err error) {
	r.result, r.err = result, err
	r.done <- struct{}{}
}

// cost is what a request takes of the queue.
func (r *request) cost() int64 { return int64(len(r.frame.bytes)) + 512 }

func newRequest(a Append) *request {
	r := &request{stream: a.Stream, expected: a.Expected, done: make(chan struct{}, 1)}
	if len(a.Events) == 0 {
		return r
	}
	r.frame = encodeFrame(a.Stream, a.Events)
	r.ids = make([]uuid.UUID, len(a.Events))
	for i := range a.Events {
		r.ids[i] = a.Events[i].ID
	}
	if i := lastMetadata(a.Stream, a.Events); i >= 0 {
		m := parseMetadata(a.Events[i].Data)
		r.metadata, r.content, r.frame.describing = &m, a.Events[i].Data, i
	}
	return r
}

// validate refuses what could not be stored or read back.
func (a Append) validate() error {
	size := 0
	for i := range a.Events {
		e := &a.Events[i]
		if e.ID == uuid.Nil {
			return fmt.Errorf("%w: event %d has no ID", ErrInvalid, i)
		}
		if !utf8.ValidString(e.Type) {
			return fmt.Errorf("%w: event %d has a type that is not UTF-8", ErrInvalid, i)
		}
		size += len(e.Data) + len(e.Metadata) + len(e.Type) + len(a.Stream) + recordHeaderSize + recordTailSize
	}
	if size > appendMax {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, appendMax)
	}
	return validStream(a.Stream)
}

func validStream(name string) error {
	if name == "" || len(name) > streamNameMax {
		return fmt.Errorf("%w: a stream's name has 1 to %d bytes", ErrInvalid, streamNameMax)
	}
	if original, ok := describes(name); ok {
		if _, twice := describes(original); twice || original == "" {
			return fmt.Errorf("%w: metadata have no metadata", ErrInvalid)
		}
	}
	return nil
}

// A queue brings requests to the writer. One goroutine at a time holds the
// turn: the writer's own, which takes all that waits in one group, or a caller
// that finds nobody else there and so saves two changes of goroutine.
type queue struct {
	mu      sync.Mutex
	arrived sync.Cond
	waiting []*request
	spare   []*request
	turn    bool // someone is committing
	closed  bool
	room    *semaphore.Weighted
	bytes   int64
	wait    sync.WaitGroup
}

func newQueue(bytes int64) *queue {
	q := &queue{room: semaphore.NewWeighted(bytes), bytes: bytes}
	q.arrived.L = &q.mu
	return q
}

// submit has a request committed and waits for the answer. When the context
// ends while it waits, whether it is stored is not known.
func (l *Log) submit(ctx context.Context, r *request) (Result, error) {
	q := l.queue
	cost, err := q.admit(ctx, r)
	if err != nil {
		return Result{}, err
	}
	q.mu.Lock()
	if !q.closed && !q.turn && len(q.waiting) == 0 {
		q.turn = true
		q.mu.Unlock()
		l.writer.commit([]*request{r})
		q.pass()
		q.room.Release(cost)
		return r.result, r.err
	}
	err = q.put(r, cost)
	q.mu.Unlock()
	if err != nil {
		return Result{}, err
	}
	return l.await(ctx, r, cost)
}

// admit waits until the queue has room for a request, and tells what it takes.
func (q *queue) admit(ctx context.Context, r *request) (cost int64, err error) {
	cost = min(r.cost(), q.bytes)
	return cost, q.room.Acquire(ctx, cost)
}

// put lets a request wait for the writer. The caller holds mu.
func (q *queue) put(r *request, cost int64) error {
	if q.closed {
		q.room.Release(cost)
		return ErrClosed
	}
	q.waiting = append(q.waiting, r)
	q.arrived.Signal()
	return nil
}

func (l *Log) await(ctx context.Context, r *request, cost int64) (Result, error) {
	select {
	case <-r.done:
		l.queue.room.Release(cost)
		return r.result, r.err
	case <-ctx.Done():
		go func() { <-r.done; l.queue.room.Release(cost) }()
		return Result{}, fmt.Errorf("append may or may not have been stored: %w", ctx.Err())
	}
}

// pass gives the turn away.
func (q *queue) pass() {
	q.mu.Lock()
	q.turn = false
	if len(q.waiting) > 0 || q.closed {
		q.arrived.Signal()
	}
	q.mu.Unlock()
}

// write is the writer's goroutine.
func (l *Log) write() {
	for batch := l.queue.take(); batch != nil; batch = l.queue.take() {
		l.writer.commit(batch)
		l.queue.pass()
	}
}

// take waits for requests and takes the turn with them; nil after the close.
func (q *queue) take() []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.turn || len(q.waiting) == 0 {
		if q.closed && !q.turn {
			return nil
		}
		q.arrived.Wait()
	}
	q.turn = true
	q.yield()
	return q.drain()
}

// yield lets callers that are about to come do so, until nobody new does. It
// costs microseconds and makes groups much larger: no timer does as well.
func (q *queue) yield() {
	for range yields {
		before := len(q.waiting)
		q.mu.Unlock()
		runtime.Gosched()
		q.mu.Lock()
		if len(q.waiting) == before {
			return
		}
	}
}

// drain takes what waits, up to a group's size.
func (q *queue) drain() []*request {
	size, n := 0, 0
	for n < len(q.waiting) && size < groupMax {
		size += len(q.waiting[n].frame.bytes)
		n++
	}
	batch := q.waiting[:n:n]
	q.waiting, q.spare = append(q.spare[:0], q.waiting[n:]...), batch
	return batch
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.arrived.Broadcast()
	q.mu.Unlock()
	q.wait.Wait()
}
