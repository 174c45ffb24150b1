package projections_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/operation"
	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/eventstore/subscription"
	"daybook.example/projections"
	"daybook.example/projections/postgres/postgrestest"
)

const (
	patience = 30 * time.Second
	tick     = 10 * time.Millisecond
)

// A house is a real node, a real database, and clients of both.
type house struct {
	t    *testing.T
	node *eventstoretest.Node
	*eventstore.Client
	pool *pgxpool.Pool
	log  uuid.UUID
	feed *subscription.Feed // nil until something starts
}

func open(t *testing.T) *house {
	t.Helper()
	node := eventstoretest.Start(t)
	h := &house{t: t, node: node, Client: node.Connect(), pool: postgrestest.New(t)}
	var err error
	h.log, err = h.NameLog(t.Context(), eventstore.Proposed{
		ID: uuid.New(), Type: "log-named", Data: fmt.Appendf(nil, `{"log_id":%q}`, uuid.New()), Metadata: metadata(t),
	})
	require.NoError(t, err)
	return h
}

func metadata(t *testing.T) []byte {
	t.Helper()
	text, err := domain.Marshal(domain.Metadata{RecordedAt: noon, SchemaVersion: 1})
	require.NoError(t, err)
	return text
}

// put appends an event to a stream and answers its ID and position.
func (h *house) put(stream string, event domain.Named) (uuid.UUID, projections.Position) {
	h.t.Helper()
	data, err := domain.Encode(event)
	require.NoError(h.t, err)
	proposed := eventstore.Proposed{ID: uuid.New(), Type: event.EventType(), Data: data, Metadata: metadata(h.t)}
	written, err := h.Append(h.t.Context(), stream, eventstore.Any, []eventstore.Proposed{proposed})
	require.NoError(h.t, err)
	return proposed.ID, written.Position
}

// start runs projections until the test's end, or until stop is called.
func (h *house) start(all ...projections.Projection) (runners []*projections.Runner, stop func()) {
	h.t.Helper()
	require.NoError(h.t, projections.Prepare(h.t.Context(), h.pool, h.log, all...))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	if h.feed == nil {
		var err error
		h.feed, err = projections.NewFeed(subscription.FeedConfig{Client: h.Client, Logger: eventstoretest.Quiet})
		require.NoError(h.t, err)
	}
	options := projections.Options{
		Pool: h.pool, Store: h.Client, Feed: h.feed, Logger: eventstoretest.Quiet, Metrics: projections.NewMetrics(prometheus.NewRegistry()),
	}
	for _, p := range all {
		r := projections.NewRunner(options, p)
		runners = append(runners, r)
		running.Go(func() { _ = r.Run(ctx) })
	}
	stop = func() { cancel(); running.Wait() }
	h.t.Cleanup(stop)
	return runners, stop
}

// wait is patient as long as the runner comes further: how far it has to go is
// different by level.
func (h *house) wait(r *projections.Runner, p projections.Position) {
	h.t.Helper()
	for {
		before := r.Status()
		ctx, cancel := context.WithTimeout(h.t.Context(), patience)
		err := r.WaitFor(ctx, p)
		cancel()
		if err == nil {
			return
		}
		require.True(h.t, before.Position.Less(r.Status().Position), "%v: it stands still: %+v", err, r.Status())
	}
}

func (h *house) await(r *projections.Runner, state projections.State) {
	h.t.Helper()
	require.Eventually(h.t, func() bool { return r.Status().State == state }, patience, tick)
}

func (h *house) tallied(name string) int {
	h.t.Helper()
	return number(h.t, h.pool, "select coalesce(sum(n), 0) from rm_"+name+"_v1.tally")
}

func TestWhatIsAppendedIsInTheTablesOnce(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.put("claim-test-0", taken())
	runners, stop := h.start(counting{name: "counting"})
	_, last := h.put("claim-test-1", taken())
	h.wait(runners[0], last)
	require.Equal(t, 2, h.tallied("counting"))

	stop()
	require.Equal(t, projections.Stopped, runners[0].Status().State)
	_, last = h.put("claim-test-1", taken())
	again, _ := h.start(counting{name: "counting"})
	h.wait(again[0], last)
	require.Equal(t, 3, h.tallied("counting"))
}

func TestPoisonHaltsItsProjectionAloneUntilItIsWaived(t *testing.T) {
	t.Parallel()
	h := open(t)
	planted := counting{name: "failing", fail: func(e projections.Event) error {
		if e.Stream == "claim-test-poison" {
			return errors.New("planted")
		}
		return nil
	}}
	h.put("claim-test-0", taken())
	runners, _ := h.start(planted, counting{name: "counting"})
	culprit, at := h.put("claim-test-poison", taken())
	_, last := h.put("claim-test-1", taken())

	h.wait(runners[1], last)
	require.Equal(t, 3, h.tallied("counting"), "the other one goes on")
	h.await(runners[0], projections.Halted)
	require.ErrorIs(t, runners[0].WaitFor(t.Context(), last), projections.ErrHalted)
	require.Equal(t, 1, h.tallied("failing"), "all before it is there")
	h.noted(projections.EventError{EventID: culprit, Stream: "claim-test-poison", Position: at, Type: "claim-taken", Code: "apply"})

	h.put(operation.Stream, operation.ProjectionEventWaived{Projection: "counting", EventID: culprit, Reason: "of another projection", Operator: "op"})
	h.put(operation.Stream, operation.ProjectionEventWaived{Projection: "failing", EventID: culprit, Reason: "known", Operator: "op"})
	h.await(runners[0], projections.Running)
	h.wait(runners[0], last)
	require.Equal(t, 2, h.tallied("failing"))
}

// noted looks for the failure in the database, where nothing of the payload is.
func (h *house) noted(want projections.EventError) {
	h.t.Helper()
	var text string
	require.Eventually(h.t, func() bool {
		err := h.pool.QueryRow(h.t.Context(), "select failure::text from daybook.projection_checkpoint where state = 'halted'").Scan(&text)
		return err == nil
	}, patience, tick)
	var got projections.EventError
	require.NoError(h.t, json.Unmarshal([]byte(text), &got))
	require.Equal(h.t, want, got)
	require.NotContains(h.t, text, "somebody")
}

func TestAProjectionSurvivesTheLossOfItsConnection(t *testing.T) {
	t.Parallel()
	h := open(t)
	runners, _ := h.start(counting{name: "counting"})
	for i := range 3 {
		_, last := h.put("claim-test-0", taken())
		h.wait(runners[0], last)
		require.Equal(t, i+1, h.tallied("counting"))
		run(t, h.pool, "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())")
	}
}

func TestAProjectionSurvivesTheRestartOfTheNode(t *testing.T) {
	t.Parallel()
	h := open(t)
	runners, _ := h.start(counting{name: "counting"})
	_, last := h.put("claim-test-0", taken())
	h.wait(runners[0], last)
	h.node.Stop()
	h.node.Start()
	require.Eventually(t, func() bool { _, err := h.Head(t.Context()); return err == nil }, patience, tick)
	_, last = h.put("claim-test-0", taken())
	h.wait(runners[0], last)
	require.Equal(t, 2, h.tallied("counting"))
}

func TestASecondProcessStandsByAndTakesOver(t *testing.T) {
	t.Parallel()
	h := open(t)
	first, stop := h.start(counting{name: "counting"})
	h.await(first[0], projections.Running)
	second, _ := h.start(counting{name: "counting"})
	h.await(second[0], projections.Standby)
	_, last := h.put("claim-test-0", taken())
	h.wait(first[0], last)
	stop()
	_, last = h.put("claim-test-0", taken())
	h.wait(second[0], last)
	require.Equal(t, 2, h.tallied("counting"))
}

func TestALogThatIsNotTheOneInTheTablesIsRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	_, last := h.put("claim-test-0", taken())
	runners, stop := h.start(counting{name: "counting"})
	h.wait(runners[0], last)
	stop()
	require.NoError(t, projections.Recognise(t.Context(), h.pool, h.Reader, counting{name: "counting"}))
	for name, forgery := range map[string]string{
		"another event at the checkpoint": "last_event = gen_random_uuid()",
		"a log that ends before it":       "commit_pos = commit_pos + 1000000, prepare_pos = prepare_pos + 1000000",
		"another log":                     "log_id = gen_random_uuid()",
	} {
		run(t, h.pool, "create table if not exists public.kept as table daybook.projection_checkpoint")
		run(t, h.pool, "update daybook.projection_checkpoint set "+forgery)
		r := projections.NewRunner(projections.Options{Pool: h.pool, Store: h.Client, Logger: eventstoretest.Quiet}, counting{name: "counting"})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		require.ErrorIs(t, r.Run(ctx), projections.ErrOtherLog, name)
		cancel()
		require.Equal(t, 1, number(t, h.pool, "select count(*) from daybook.projection_checkpoint where state = 'halted' and failure->>'code' = 'other-log' and failure->>'hint' like '%newer backup%'"), name)
		if name != "another log" { // Prepare tells that one
			require.ErrorIs(t, projections.Recognise(t.Context(), h.pool, h.Reader, counting{name: "counting"}), projections.ErrOtherLog, name)
		}
		run(t, h.pool, "delete from daybook.projection_checkpoint; insert into daybook.projection_checkpoint table public.kept")
	}
}

func TestManyWritersAreCountedExactly(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 40
	h := open(t)
	runners, _ := h.start(counting{name: "counting"})
	var appending sync.WaitGroup
	for w := range writers {
		appending.Go(func() {
			for i := range each {
				h.put(fmt.Sprintf("claim-test-%d", (w+i)%5), taken())
			}
		})
	}
	appending.Wait()
	head, err := h.Head(t.Context())
	require.NoError(t, err)
	h.wait(runners[0], head)
	require.Equal(t, writers*each, h.tallied("counting"))
}

func TestAStoppedRunnerGivesTheProjectionBack(t *testing.T) {
	t.Parallel()
	h := open(t)
	runners, stop := h.start(counting{name: "counting"})
	_, last := h.put("claim-test-0", taken())
	h.wait(runners[0], last)
	stop()
	require.Eventually(t, func() bool {
		return number(t, h.pool, "select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())") == 0
	}, patience, tick, "the lock is given back")
}

func TestAStopDoesNotWaitForALongBatchAndLosesNothingOfIt(t *testing.T) {
	t.Parallel()
	h := open(t)
	runners, stop := h.start(counting{name: "counting"})
	_, first := h.put("claim-test-0", taken())
	h.wait(runners[0], first)
	// Given a batch that takes as long as somebody holds the table
	held, err := h.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = held.Exec(t.Context(), "lock table rm_counting_v1.tally")
	require.NoError(t, err)
	_, last := h.put("claim-test-0", taken())
	require.Eventually(t, func() bool {
		return number(t, h.pool, "select count(*) from pg_locks where not granted and relation = 'rm_counting_v1.tally'::regclass") > 0
	}, patience, tick)
	// When it is stopped, then within seconds
	began := time.Now()
	stop()
	require.Less(t, time.Since(began), 8*time.Second)
	require.NoError(t, held.Rollback(t.Context()))
	require.Equal(t, 1, h.tallied("counting"))
	// And the next one counts that batch, once
	runners, _ = h.start(counting{name: "counting"})
	h.wait(runners[0], last)
	require.Equal(t, 2, h.tallied("counting"))
}

// run runs a runner until the test's end.
func (h *house) run(r *projections.Runner) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Run(ctx) }()
	stop = func() { cancel(); <-done }
	h.t.Cleanup(stop)
	return stop
}

// planted is a fault that can be mended.
type planted struct{ mended atomic.Bool }

func (p *planted) fail(e projections.Event) error {
	if e.Stream == "claim-test-poison" && !p.mended.Load() {
		return errors.New("planted")
	}
	return nil
}
