package projections_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/eventstore"
	"daybook.example/projections"
	"daybook.example/test/level"
)

const (
	crowdSize = 32
	staleOf   = 20  // one append in so many is stale
	streamMax = 500 // events of a stream; counting has no room for many more
)

// A crowd is 32 writers, each with a stream of its own, of whose appends one in
// twenty expects a revision that is over. It knows what must be in the log.
type crowd struct {
	store *eventstore.Client
	each  int // events of each writer; 0: until the end of ctx

	mu     sync.Mutex
	stored []uuid.UUID
	stale  int
	err    error
}

// write lets the crowd write; the channel is closed when it is done.
func (c *crowd) write(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	var writing sync.WaitGroup
	for w := range crowdSize {
		writing.Go(func() {
			for n := 0; ctx.Err() == nil && (c.each == 0 || n < c.each); n++ {
				if err := c.append(ctx, w, n); err != nil {
					c.fail(err)
					return
				}
			}
		})
	}
	go func() { writing.Wait(); close(done) }()
	return done
}

func (c *crowd) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = errors.Join(c.err, err)
}

// append appends a writer's n-th event, and now and then a stale one before it.
func (c *crowd) append(ctx context.Context, w, n int) error {
	stream, expected := fmt.Sprintf("claim-test-%d-%d", w, n/streamMax), eventstore.NoStream
	if n %= streamMax; n > 0 {
		expected = eventstore.Exactly(uint64(n - 1))
	}
	if n > 1 && rand.IntN(staleOf) == 0 {
		_, err := c.send(ctx, stream, eventstore.Exactly(uint64(n-2)))
		if !errors.Is(err, eventstore.ErrWrongExpectedRevision) {
			return fmt.Errorf("a stale append: %w", err)
		}
		c.mu.Lock()
		c.stale++
		c.mu.Unlock()
	}
	id, err := c.send(ctx, stream, expected)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stored = append(c.stored, id)
	return nil
}

func (c *crowd) send(ctx context.Context, stream string, expected eventstore.ExpectedRevision) (uuid.UUID, error) {
	data, err1 := domain.Encode(taken())
	meta, err2 := domain.Marshal(domain.Metadata{RecordedAt: noon, SchemaVersion: 1})
	id := uuid.New()
	_, err := c.store.Append(context.WithoutCancel(ctx), stream, expected, []eventstore.Proposed{{ID: id, Type: taken().EventType(), Data: data, Metadata: meta}})
	return id, errors.Join(err, err1, err2)
}

// ours are the events of the log that are not the store's own, in order.
func (h *house) ours() (ids []uuid.UUID) {
	h.t.Helper()
	for at := (projections.Position{}); ; {
		page, err := h.ReadAll(h.t.Context(), at, eventstore.Forwards, 1000)
		require.NoError(h.t, err)
		fresh := 0
		for _, e := range page {
			if !at.Less(e.Position) {
				continue
			}
			if at, fresh = e.Position, fresh+1; !e.System() {
				ids = append(ids, e.ID)
			}
		}
		if fresh == 0 {
			return ids
		}
	}
}

// exact holds the read models against the log, the log against the crowd, and the
// read models against ones built from zero.
func (h *house) exact(c *crowd) {
	h.t.Helper()
	require.NoError(h.t, c.err)
	log := h.ours()
	require.Zero(h.t, judge(c.stored, c.stored))
	require.Zero(h.t, judge(log, came(h.t, h.pool, "listing")))
	require.Equal(h.t, len(c.stored), h.tallied("counting"))
	require.Equal(h.t, len(c.stored)+1, len(log), "the crowd's, and the log's name")

	rebuilt := &house{t: h.t, node: h.node, Client: h.Client, pool: another(h.t), log: h.log}
	again, stop := rebuilt.start(counting{name: "counting"}, listing{"listing"})
	head, err := h.Head(h.t.Context())
	require.NoError(h.t, err)
	for _, r := range again {
		rebuilt.wait(r, head)
	}
	stop()
	require.Equal(h.t, word(h.t, rebuilt.pool, everything), word(h.t, h.pool, everything))
}

// everything is a hash of all rows of both projections.
const everything = `select md5(string_agg(x::text, ',' order by x::text collate "C")) from (
	select to_jsonb(t) from rm_counting_v1.tally t union all select to_jsonb(l) from rm_counting_v1.label_position l
	union all select to_jsonb(c) - 'place' from rm_listing_v1.came c union all select to_jsonb(l) from rm_listing_v1.label_position l) rows(x)`

// T26. Given 32 writers, of whose appends 5 % are stale.
// When projectors of two processes start, stop, displace each other and lose
// their connections meanwhile.
// Then each event is in each read model once, in order, and none is lost; behind
// a pooler too, where locks mean nothing and only the fence is left.
func TestGivenACrowdWhenProjectorsComeAndGoThenEveryEventIsAppliedOnce(t *testing.T) {
	t.Parallel()
	for range level.Of(1, 3, 50) {
		for name, pooled := range map[string]bool{"with locks": false, "behind a pooler": true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := open(t)
				if pooled {
					h.unlock()
				}
				h.comeAndGo()
			})
		}
	}
}

// unlock has every advisory lock granted to everyone.
func (h *house) unlock() {
	h.t.Helper()
	run(h.t, h.pool, `create function public.pg_try_advisory_lock(bigint) returns boolean language sql as 'select true';
		do $$ begin execute format('alter database %I set search_path = public, pg_catalog', current_database()); end $$`)
	h.pool.Reset()
}

func (h *house) comeAndGo() {
	h.t.Helper()
	c := &crowd{store: h.Client, each: level.Of(25, 150, 150)}
	require.NoError(h.t, projections.Prepare(h.t.Context(), h.pool, h.log, counting{name: "counting"}, listing{"listing"}))
	done := c.write(h.t.Context())
	turns := h.churn(done)
	last, stop := h.start(counting{name: "counting"}, listing{"listing"})
	head, err := h.Head(h.t.Context())
	require.NoError(h.t, err)
	for _, r := range last {
		h.wait(r, head)
	}
	stop()
	h.exact(c)
	h.t.Logf("%d events stored, %d stale appends refused, projectors came and went %d times: exact", len(c.stored), c.stale, turns)
}

// churn starts and stops projectors until done: two sets overlap, and now and
// then all lose their connections.
func (h *house) churn(done <-chan struct{}) (turns int) {
	h.t.Helper()
	before := func() {}
	defer func() { before() }()
	for ; ; turns++ {
		_, stop := h.start(counting{name: "counting"}, listing{"listing"})
		h.pause(done, 100)
		if rand.IntN(3) == 0 {
			run(h.t, h.pool, "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())")
		}
		before()
		before = stop
		if h.pause(done, 100) {
			return turns + 1
		}
	}
}

// pause waits some milliseconds; it reports whether all is done.
func (h *house) pause(done <-chan struct{}, most int) bool {
	select {
	case <-done:
		return true
	case <-time.After(time.Duration(rand.IntN(most)) * time.Millisecond):
		return false
	}
}

// A naive projector asks where it is, applies what comes behind that, and then
// says where it is: each a statement of its own, whoever else does the same. It
// keeps its rows where a listing has them.
type naive struct {
	store *eventstore.Client
	pool  *pgxpool.Pool

	scattered bool // each page is applied by a goroutine of its own, as a router does by default
}

func (n naive) prepare(t *testing.T) {
	t.Helper()
	run(t, n.pool, `create schema rm_listing_v1; create table rm_listing_v1.came (place bigserial, position bigint, event uuid, stream text, revision bigint);
		create table rm_listing_v1.place (at bigint); insert into rm_listing_v1.place values (0)`)
}

func (n naive) run(ctx context.Context) {
	var at uint64
	for ; ctx.Err() == nil; time.Sleep(time.Millisecond) {
		if !n.scattered || at == 0 {
			if n.pool.QueryRow(ctx, "select at from rm_listing_v1.place").Scan(&at) != nil {
				continue
			}
		}
		from := projections.Position{Commit: at, Prepare: at}
		page, err := n.store.ReadAll(ctx, from, eventstore.Forwards, 16)
		if err != nil || len(page) == 0 {
			continue
		}
		if at = page[len(page)-1].Position.Commit; n.scattered {
			go func() {
				time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
				n.apply(ctx, from, page)
			}()
			continue
		}
		n.apply(ctx, from, page)
	}
}

func (n naive) apply(ctx context.Context, from projections.Position, page []eventstore.Recorded) {
	rows := [][]any{}
	for _, e := range page {
		if from.Less(e.Position) && !e.System() {
			rows = append(rows, []any{int64(e.Position.Commit), e.ID, e.Stream, int64(e.Revision)})
		}
	}
	if _, err := n.pool.CopyFrom(ctx, pgx.Identifier{"rm_listing_v1", "came"}, []string{"position", "event", "stream", "revision"}, pgx.CopyFromRows(rows)); err != nil {
		return
	}
	_, _ = n.pool.Exec(ctx, "update rm_listing_v1.place set at = $1", int64(page[len(page)-1].Position.Commit))
}

// The control: given projectors without a fence, or without order.
// Then such crowds show what they do wrong.
func TestACrowdFindsProjectorsWithoutAFenceOrOrder(t *testing.T) {
	t.Parallel()
	for name, scattered := range map[string]bool{"two without a fence": false, "one without order": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var found findings
			for round := 0; round < 10 && found == (findings{}); round++ { // chance may spare one
				found = naively(t, scattered)
			}
			require.NotZero(t, found)
		})
	}
}

// naively lets a crowd meet a naive projector, or two.
func naively(t *testing.T, scattered bool) findings {
	t.Helper()
	h := open(t)
	n := naive{h.Client, h.pool, scattered}
	n.prepare(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { n.run(ctx) })
	if !scattered {
		running.Go(func() { n.run(ctx) })
	}
	c := &crowd{store: h.Client, each: 25}
	<-c.write(t.Context())
	require.NoError(t, c.err)
	log := h.ours()
	require.Eventually(t, func() bool { return len(came(t, h.pool, "listing")) >= len(log) }, patience, tick)
	stop()
	running.Wait()
	found := judge(log, came(t, h.pool, "listing"))
	t.Logf("%d events: %+v", len(log), found)
	return found
}
