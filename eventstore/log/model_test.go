package log

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A model is a naive event store: it answers as the decision table says, from
// plain slices.
type model struct {
	streams map[string]*modelStream
	all     []modelEvent
}

type modelStream struct {
	events     []modelEvent
	tombstoned bool
	keys       map[string]any // its metadata
}

type modelEvent struct {
	stream   string
	revision int64
	id       uuid.UUID
}

// An answer is what an append comes to, in the model's terms.
type answer struct {
	outcome  string // written, repeated, wrong, deleted
	revision int64
}

func (m *model) stream(name string) *modelStream {
	if m.streams[name] == nil {
		m.streams[name] = &modelStream{}
	}
	return m.streams[name]
}

func (s *modelStream) current() int64 { return int64(len(s.events)) - 1 }
func (s *modelStream) deleted() bool  { return s.keys["$tb"] == int64(math.MaxInt64) }

func (m *model) check(name string, expected int64, ids []uuid.UUID) answer {
	s := m.stream(name)
	current := s.current()
	if s.tombstoned {
		return answer{"deleted", 0}
	}
	if expected == StreamExists {
		if s.deleted() {
			return answer{"deleted", 0}
		}
		if current < 0 && m.stream("$$"+name).current() < 0 {
			return answer{"wrong", current}
		}
	}
	if expected == Any || expected == StreamExists {
		known := 0
		last := int64(-1)
		for i, id := range ids {
			at := -1
			for j := range s.events {
				if s.events[j].id == id {
					at = j
				}
			}
			if at < 0 && i == 0 {
				return answer{"written", current + int64(len(ids))}
			}
			if at >= 0 {
				known, last = known+1, int64(at)
			}
		}
		switch {
		case len(ids) == 0:
			return answer{"written", current}
		case known == len(ids):
			return answer{"repeated", last}
		}
		return answer{"wrong", current}
	}
	if expected < current {
		for i, id := range ids {
			at := expected + 1 + int64(i)
			if at > current || s.events[at].id != id {
				if i == 0 && expected == NoStream && s.deleted() {
					return answer{"written", current + int64(len(ids))}
				}
				return answer{"wrong", current}
			}
		}
		if len(ids) == 0 {
			return answer{"wrong", current}
		}
		return answer{"repeated", expected + int64(len(ids))}
	}
	if expected > current {
		return answer{"wrong", current}
	}
	return answer{"written", current + int64(len(ids))}
}

func (m *model) put(name string, id uuid.UUID) {
	s := m.stream(name)
	e := modelEvent{name, int64(len(s.events)), id}
	s.events = append(s.events, e)
	m.all = append(m.all, e)
}

// revive writes the second metadata event of a stream that comes back.
func (m *model) revive(name string, first int64) {
	s := m.stream(name)
	keys := map[string]any{}
	for k, v := range s.keys {
		keys[k] = v
	}
	keys["$tb"] = first
	s.keys = keys
	m.put("$$"+name, uuid.Nil)
}

func (m *model) append(name string, expected int64, ids []uuid.UUID) answer {
	a := m.check(name, expected, ids)
	if a.outcome != "written" || len(ids) == 0 {
		return a
	}
	s := m.stream(name)
	first := s.current() + 1
	for _, id := range ids {
		m.put(name, id)
	}
	if s.deleted() {
		m.revive(name, first)
	}
	return a
}

func (m *model) describe(name string, id uuid.UUID, keys map[string]any) answer {
	a := m.check("$$"+name, Any, []uuid.UUID{id})
	if a.outcome != "written" {
		return a
	}
	s := m.stream(name)
	was := s.deleted()
	m.put("$$"+name, id)
	s.keys = keys
	if was && !s.deleted() {
		m.revive(name, s.current()+1)
	}
	return a
}

func (m *model) delete(name string, expected int64) answer {
	a := m.check(name, expected, nil)
	s := m.stream(name)
	if a.outcome != "written" {
		return a
	}
	if s.current() < 0 && m.stream("$$"+name).current() < 0 {
		return answer{"wrong", -1}
	}
	m.put("$$"+name, uuid.Nil)
	s.keys = map[string]any{"$tb": int64(math.MaxInt64)}
	return a
}

func (m *model) tombstone(name string, expected int64) answer {
	a := m.check(name, expected, nil)
	if a.outcome == "written" {
		m.stream(name).tombstoned = true
		m.all = append(m.all, modelEvent{name, math.MaxInt64, uuid.Nil})
	}
	return a
}

// readable is what a forward read of the whole stream gives.
func (m *model) readable(name string) []modelEvent {
	s := m.stream(name)
	first := 0
	if tb, ok := s.keys["$tb"].(int64); ok {
		first = int(min(tb, int64(len(s.events))))
	}
	if count, ok := s.keys["$maxCount"].(int64); ok {
		first = max(first, len(s.events)-int(count))
	}
	if _, ok := describes(name); ok {
		first = max(first, len(s.events)-1)
	}
	return append([]modelEvent{}, s.events[first:]...)
}

// A machine drives the log and the model alike.
type machine struct {
	t     *rapid.T
	log   *Log
	model *model
	names []string
	ids   []uuid.UUID // recently used, so that repeats happen
}

func TestTheLogDecidesAsTheTableSays(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		l, err := Open(small(fmt.Sprintf("%s/%d", root, runs)))
		require.NoError(rt, err)
		m := &machine{rt, l, &model{streams: map[string]*modelStream{}}, []string{"a", "b"}, nil}
		defer func() { m.log.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append":   m.append,
			"batch":    m.batch,
			"again":    m.append,
			"describe": m.describe,
			"delete":   m.delete,
			"tombstone": func(rt *rapid.T) {
				if rapid.IntRange(0, 9).Draw(rt, "rarely") == 0 {
					name, expected := m.target(rt)
					at, err := m.log.Tombstone(rt.Context(), name, expected)
					m.compare(name, m.model.tombstone(name, expected), Result{Revision: -9, Position: at}, err)
				}
			},
			"reopen": func(rt *rapid.T) {
				if rapid.IntRange(0, 9).Draw(rt, "rarely") == 0 {
					m.reopen(rapid.Bool().Draw(rt, "with snapshot"))
				}
			},
			"": m.readsAgree,
		})
	})
}

func (m *machine) target(rt *rapid.T) (name string, expected int64) {
	name = rapid.SampledFrom(m.names).Draw(rt, "stream")
	current := m.model.stream(name).current()
	return name, rapid.SampledFrom([]int64{Any, Any, NoStream, StreamExists, current, current, max(current-1, -1), max(current-2, -1), current + 1, 0}).Draw(rt, "expected")
}

// events draws new IDs and such that the stream has had before.
func (m *machine) events(rt *rapid.T, name string) (events []Proposed, ids []uuid.UUID) {
	s := m.model.stream(name)
	start := rapid.IntRange(0, max(0, len(s.events)-1)).Draw(rt, "repeat from")
	repeat := rapid.Bool().Draw(rt, "repeat")
	for i := range rapid.IntRange(0, 3).Draw(rt, "events") {
		id := uuid.New()
		if repeat && start+i < len(s.events) {
			id = s.events[start+i].id
		}
		if id == uuid.Nil {
			id = uuid.New()
		}
		ids = append(ids, id)
		events = append(events, Proposed{ID: id, Type: "happened", JSON: true, Data: []byte("{}")})
	}
	return events, ids
}

func (m *machine) append(rt *rapid.T) {
	name, expected := m.target(rt)
	events, ids := m.events(rt, name)
	result, err := m.log.Append(m.t.Context(), Append{Stream: name, Expected: expected, Events: events})
	m.compare(name, m.model.append(name, expected, ids), result, err)
}

// batch commits several appends as one group, so that later ones are decided on
// what is still in flight.
func (m *machine) batch(rt *rapid.T) {
	var requests []*request
	var wanted []answer
	for range rapid.IntRange(2, 5).Draw(rt, "appends") {
		name, expected := m.target(rt)
		events, ids := m.events(rt, name)
		requests = append(requests, newRequest(Append{Stream: name, Expected: expected, Events: events}))
		wanted = append(wanted, m.model.append(name, expected, ids))
	}
	q := m.log.queue
	q.mu.Lock()
	q.turn = true
	q.mu.Unlock()
	m.log.writer.commit(requests)
	q.pass()
	for i, r := range requests {
		m.compare(r.stream, wanted[i], r.result, r.err)
	}
}

func (m *machine) describe(rt *rapid.T) {
	name := rapid.SampledFrom(m.names).Draw(rt, "stream")
	keys := rapid.SampledFrom([]map[string]any{
		{}, {"$maxCount": int64(2)}, {"$tb": int64(1)}, {"colour": "red"}, {"$tb": int64(math.MaxInt64)}, {"$tb": int64(2), "$maxCount": int64(1)},
	}).Draw(rt, "keys")
	data, err := json.Marshal(keys)
	require.NoError(m.t, err)
	id := uuid.New()
	result, err := m.log.Append(m.t.Context(), Append{Stream: "$$" + name, Expected: Any, Events: []Proposed{{ID: id, Type: metadataType, JSON: true, Data: data}}})
	m.compare("$$"+name, m.model.describe(name, id, keys), result, err)
}

func (m *machine) delete(rt *rapid.T) {
	name, expected := m.target(rt)
	at, err := m.log.Delete(m.t.Context(), name, expected)
	m.compare(name, m.model.delete(name, expected), Result{Revision: -9, Position: at}, err)
}

func (m *machine) compare(name string, want answer, got Result, err error) {
	var wrongRevision *WrongExpectedRevision
	switch {
	case errors.As(err, &wrongRevision):
		require.Equal(m.t, want, answer{"wrong", wrongRevision.Current})
		return
	case errors.Is(err, ErrStreamDeleted):
		require.Equal(m.t, "deleted", want.outcome)
		return
	}
	require.NoError(m.t, err)
	require.Contains(m.t, []string{"written", "repeated"}, want.outcome)
	require.Equal(m.t, want.outcome == "repeated", got.Idempotent)
	if got.Revision != -9 { // deletions name no revision
		require.Equal(m.t, want.revision, got.Revision)
	}
	if got.Revision >= 0 {
		require.Equal(m.t, m.log.index.stream(name).events[got.Revision].at, got.Position)
	}
}

func (m *machine) reopen(snapshot bool) {
	require.NoError(m.t, m.log.Close())
	o := m.log.options
	if !snapshot {
		removeSnapshot(m.t, o.Dir)
	}
	l, err := Open(o)
	require.NoError(m.t, err)
	m.log = l
}

// readsAgree compares every read with the model's.
func (m *machine) readsAgree(*rapid.T) {
	t := m.t
	require.Equal(t, append([]modelEvent{}, m.model.all...), seen(everything(t, m.log)))
	for _, name := range append([]string{"$$a", "$$b"}, m.names...) {
		s := m.model.stream(name)
		state := m.log.Stream(name)
		require.Equal(t, s.tombstoned, state.Tombstoned)
		require.Equal(t, s.deleted(), state.Deleted)
		require.Equal(t, s.current(), state.Head)
		forwards, err := m.log.ReadStream(t.Context(), name, 0, Forwards, 1000)
		if s.tombstoned {
			require.ErrorIs(t, err, ErrStreamDeleted)
			continue
		}
		require.NoError(t, err)
		want := m.model.readable(name)
		require.Equal(t, want, seen(forwards), name)
		backwards, err := m.log.ReadStream(t.Context(), name, math.MaxInt64, Backwards, 1000)
		require.NoError(t, err)
		slices.Reverse(backwards)
		require.Equal(t, forwards, backwards)
	}
}

// seen turns records into the model's words; events of the log's own making
// have no ID there.
func seen(records []Record) []modelEvent {
	events := []modelEvent{}
	for _, r := range records {
		e := modelEvent{r.Stream, r.Revision, r.ID}
		if r.ID.Version() == 5 {
			e.id = uuid.Nil
		}
		events = append(events, e)
	}
	return events
}
