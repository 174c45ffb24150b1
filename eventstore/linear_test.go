package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/test/level"
)

const (
	clientsOfHistory = 6
	historiesAtOnce  = 4              // one alone waits for the disk
	checkMax         = time.Minute    // of one history
	forEver          = int64(1) << 60 // when a call returns whose result nobody knows
	whatever         = int64(-2)      // expected
	nothing          = int64(-1)      // expected, and the revision of an empty stream
)

// An ask is one call to one stream: an append of one event, or a look at its end.
type ask struct {
	look     bool
	expected int64
	id       uuid.UUID
	again    bool // the same event is sent by another ask, too
}

// A reply is what came back: where the stream ends, or where the event stands.
type reply struct {
	unknown  bool
	refused  bool
	revision int64
	id       uuid.UUID // of the last event, of a look
}

// A tail is a stream as the model has it: its last event and those before it.
type tail struct {
	id       uuid.UUID
	revision int64
	before   *tail
}

var emptyStream = &tail{revision: nothing}

// find is the revision at which the stream holds an event from a revision on.
func (s *tail) find(id uuid.UUID, from int64) int64 {
	for ; s.revision >= from && s.revision >= 0; s = s.before {
		if s.id == id {
			return s.revision
		}
	}
	return nothing
}

// model is a stream with optimistic concurrency, and events that are stored once.
var model = porcupine.Model{
	Init: func() any { return emptyStream },
	Step: func(state, in, out any) (bool, any) { return step(state.(*tail), in.(ask), out.(reply)) },
	Equal: func(a, b any) bool {
		return a == b || a.(*tail).revision == b.(*tail).revision && sameTail(a.(*tail), b.(*tail))
	},
}

func sameTail(a, b *tail) bool {
	for ; a != b; a, b = a.before, b.before {
		if a.id != b.id {
			return false
		}
	}
	return true
}

func step(s *tail, in ask, out reply) (legal bool, next *tail) {
	if in.look {
		return out.unknown || out.revision == s.revision && out.id == s.id, s
	}
	known := nothing
	if in.again {
		known = s.find(in.id, in.expected+1)
	}
	switch {
	case known >= 0 && (in.expected == whatever || in.expected+1 == known):
		return out.unknown || !out.refused && out.revision == known, s
	case in.expected == whatever || in.expected == s.revision:
		next = &tail{id: in.id, revision: s.revision + 1, before: s}
		return out.unknown || !out.refused && out.revision == next.revision, next
	}
	return out.unknown || out.refused, s
}

// A history is what some clients did to one stream at the same time.
type history struct {
	store  *eventstore.Client
	stream string
	begin  time.Time
	bug    func(ask, reply) reply // planted

	mu    sync.Mutex
	calls []porcupine.Operation
}

func (h *history) run(t *testing.T, calls int) {
	t.Helper()
	var all sync.WaitGroup
	for client := range clientsOfHistory {
		all.Go(func() { h.work(t, client, calls/clientsOfHistory) })
	}
	all.Wait()
}

// work makes one client's calls. It expects what it saw last, and sends again
// whatever it does not know to be stored.
func (h *history) work(t *testing.T, client, calls int) {
	end, pending := nothing, []ask(nil)
	for range calls {
		in := ask{look: rand.IntN(10) < 4, expected: end, id: uuid.New()}
		if rand.IntN(20) == 0 {
			in.expected = whatever
		}
		if len(pending) > 0 && rand.IntN(3) == 0 {
			in, pending = pending[0], pending[1:]
		}
		out := h.call(t, client, in)
		switch {
		case out.unknown && !in.look:
			in.again = true
			pending = append(pending, in)
		case !out.unknown && !out.refused:
			end = max(end, out.revision)
		case out.refused:
			end = max(end, h.call(t, client, ask{look: true}).revision)
		}
	}
}

// call makes a call, of which one in thirty is given up in the middle.
func (h *history) call(t *testing.T, client int, in ask) reply {
	patience, givenUp := 20*time.Second, rand.IntN(30) == 0
	if givenUp {
		patience = time.Duration(rand.IntN(1000)) * time.Microsecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	begin := time.Since(h.begin)
	out, err := h.ask(ctx, in)
	returned := int64(time.Since(h.begin))
	if err != nil {
		if !givenUp {
			t.Errorf("%+v: %v", in, err)
		}
		out, returned = reply{unknown: true}, forEver
	} else if h.bug != nil {
		out = h.bug(in, out)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, porcupine.Operation{ClientId: client, Input: in, Call: int64(begin), Output: out, Return: returned})
	return out
}

func (h *history) ask(ctx context.Context, in ask) (reply, error) {
	if in.look {
		return h.look(ctx)
	}
	expected := eventstore.Any
	switch {
	case in.expected == nothing:
		expected = eventstore.NoStream
	case in.expected >= 0:
		expected = eventstore.Exactly(uint64(in.expected))
	}
	written, err := h.store.Append(ctx, h.stream, expected, []eventstore.Proposed{{ID: in.id, Type: "thing-happened", Data: []byte("{}")}})
	if errors.Is(err, eventstore.ErrWrongExpectedRevision) {
		return reply{refused: true}, nil
	}
	return reply{revision: int64(written.Revision)}, err
}

func (h *history) look(ctx context.Context) (reply, error) {
	last, err := h.store.ReadStream(ctx, h.stream, eventstore.EndRevision, eventstore.Backwards, 1)
	if errors.Is(err, eventstore.ErrStreamNotFound) {
		return reply{revision: nothing}, nil
	}
	if err != nil {
		return reply{}, err
	}
	return reply{revision: int64(last[0].Revision), id: last[0].ID}, nil
}

// check asks porcupine whether the calls may have happened one after the other,
// each between its begin and its end.
func (h *history) check() porcupine.CheckResult {
	sent := map[uuid.UUID]int{}
	for _, c := range h.calls {
		sent[c.Input.(ask).id]++
	}
	var calls []porcupine.Operation
	for _, c := range h.calls {
		in := c.Input.(ask)
		if in.look && c.Output.(reply).unknown {
			continue // says nothing
		}
		in.again = sent[in.id] > 1
		c.Input = in
		calls = append(calls, c)
	}
	return porcupine.CheckOperationsTimeout(model, calls, checkMax)
}

func newHistory(store *eventstore.Client, name string) *history {
	return &history{store: store, stream: name + "-" + uuid.NewString(), begin: time.Now()}
}

// Given clients that append to one stream and look at it, some of whose calls are
// given up in the middle and sent again.
// When all that they saw is compared with a stream that does one thing at a time.
// Then there is an order in which it is the same.
func TestAStreamIsLinearizable(t *testing.T) {
	t.Parallel()
	store, _ := start(t)
	var unknown, total, begun atomic.Int64
	histories, began := int64(level.Of(3, 100, 5000)), time.Now()
	var all sync.WaitGroup
	for range historiesAtOnce {
		all.Go(func() {
			for i := begun.Add(1); i <= histories && !t.Failed(); i = begun.Add(1) {
				h := newHistory(store, fmt.Sprint("history-", i))
				h.run(t, level.Of(600, 5000, 5000))
				assert.Equal(t, porcupine.Ok, h.check(), "history %d", i)
				total.Add(int64(len(h.calls)))
				unknown.Add(h.unknown())
			}
		})
	}
	all.Wait()
	require.False(t, t.Failed())
	t.Logf("%d calls in %d histories, %d with unknown results: 0 illegal; they took %s", total.Load(), histories, unknown.Load(), time.Since(began).Round(time.Second))
}

func (h *history) unknown() (n int64) {
	for _, c := range h.calls {
		if c.Output.(reply).unknown {
			n++
		}
	}
	return n
}

// The bugs that an event store may have: what a reply becomes, if it is of the
// kind that the bug is about. A look from earlier comes with it.
var bugs = map[string]func(in ask, out, earlier reply) (wrong reply, ok bool){
	"an append is acknowledged and not stored": func(in ask, out, _ reply) (reply, bool) {
		return reply{revision: in.expected + 1}, out.refused && in.expected >= 0
	},
	"an append is refused and stored": func(in ask, out, _ reply) (reply, bool) {
		return reply{refused: true}, !in.look && !out.refused
	},
	"a look shows what was before": func(in ask, out, earlier reply) (reply, bool) {
		return earlier, in.look && out.revision > earlier.revision+clientsOfHistory
	},
}

// A bug shows once, somewhere in the middle.
type bug struct {
	spoil   func(in ask, out, earlier reply) (reply, bool)
	mu      sync.Mutex
	after   int // calls
	earlier *reply
}

func (b *bug) meet(in ask, out reply) reply {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.earlier == nil && in.look {
		b.earlier = &out
	}
	if b.after--; b.after > 0 || b.earlier == nil || b.spoil == nil {
		return out
	}
	wrong, ok := b.spoil(in, out, *b.earlier)
	if !ok {
		return out
	}
	b.spoil = nil
	return wrong
}

// The control: given a history in which the store was wrong once.
// When it is checked.
// Then that is found, nine times in ten at least.
func TestAStreamThatIsNotLinearizableIsFound(t *testing.T) {
	t.Parallel()
	store, _ := start(t)
	each, found := level.Of(4, 10, 100), 0
	for name, spoil := range bugs {
		for i := range each {
			h, planted := newHistory(store, fmt.Sprint("wrong-", i)), &bug{spoil: spoil, after: 100 + rand.IntN(100)}
			h.bug = planted.meet
			h.run(t, 600)
			require.Nil(t, planted.spoil, "%s: it showed", name)
			if h.check() == porcupine.Illegal {
				found++
			} else {
				t.Log("not found:", name)
			}
		}
	}
	t.Logf("%d of %d planted bugs found", found, each*len(bugs))
	require.GreaterOrEqual(t, found*10, each*len(bugs)*9)
}
