package projtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"daybook.example/projections"
)

// splits is how many random ways of cutting the events into batches are tried.
const splits = 3

// Conformance checks what the runtime promises of every projection, and what that
// asks of it: the tables depend on the events alone. They do not depend on how
// the events were cut into batches, on redelivery, on crashes, on races of two
// owners, nor on an event that could not be applied at first.
//
// It takes at least three events of types that the projection lists, in the order
// of the log, and wants as many kinds as there are.
func Conformance(t *testing.T, p projections.Projection, events []projections.Event) {
	t.Helper()
	require.GreaterOrEqual(t, len(listed(p, events)), 3, "conformance needs three events that the projection lists")
	want := Empty(t, p).Apply(events...).Rows()
	check := func(name string, run func(*testing.T, *Model)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := Empty(t, p)
			run(t, m)
			require.Equal(t, want, m.Rows())
		})
	}
	check("event by event", func(t *testing.T, m *Model) { m.play(events, 1) })
	for range splits {
		seed := rand.Uint64()
		check("in any batches", func(t *testing.T, m *Model) {
			t.Logf("seed %d", seed)
			m.play(events, 1+rand.New(rand.NewPCG(seed, 0)).IntN(len(events)))
		})
	}
	check("delivered again", func(t *testing.T, m *Model) { m.playTwice(events) })
	check("killed before the commit", func(t *testing.T, m *Model) { m.playKilled(events) })
	check("killed after the commit", func(t *testing.T, m *Model) { m.playForgetful(events) })
	check("two owners at once", func(t *testing.T, m *Model) { m.race(events) })
	for name, fault := range faults {
		t.Run("an event that "+name, func(t *testing.T) {
			t.Parallel()
			poison(t, p, events, fault)
		})
	}
	t.Run("an owner that was displaced", func(t *testing.T) {
		t.Parallel()
		fenced(t, p, events)
	})
}

func listed(p projections.Projection, events []projections.Event) []projections.Event {
	spec := p.Spec()
	return slices.DeleteFunc(slices.Clone(events), func(e projections.Event) bool { return !spec.Takes(e.Type) })
}

// play applies events in batches of a size.
func (m *Model) play(events []projections.Event, size int) {
	m.t.Helper()
	writer := m.claim(m.projection)
	defer writer.Close()
	for batch := range slices.Chunk(events, size) {
		require.NoError(m.t, writer.Apply(m.t.Context(), batch, end(batch)))
	}
}

// playTwice delivers each stretch again, whole and together with what follows.
func (m *Model) playTwice(events []projections.Event) {
	m.t.Helper()
	writer := m.claim(m.projection)
	defer writer.Close()
	half := len(events) / 2
	for _, stretch := range [][]projections.Event{events[:half], events[:half], events[half/2 : half+1], events, events[half:]} {
		require.NoError(m.t, writer.Apply(m.t.Context(), stretch, end(stretch)))
	}
	require.EqualValues(m.t, len(events), writer.Checkpoint().Events)
}

// playKilled loses the connection of each batch once, after its last statement.
func (m *Model) playKilled(events []projections.Event) {
	m.t.Helper()
	kill := func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "select pg_terminate_backend(pg_backend_pid())")
		return err
	}
	for batch := range slices.Chunk(events, 1+len(events)/4) {
		killed := m.claim(sabotaged{Projection: m.projection, after: kill})
		err := killed.Apply(m.t.Context(), batch, end(batch))
		require.True(m.t, err != nil || len(listed(m.projection, batch)) == 0)
		killed.Close()
		m.resume(batch)
	}
}

// playForgetful commits each batch and forgets it, as an owner does whose
// connection breaks before the answer to its commit.
func (m *Model) playForgetful(events []projections.Event) {
	m.t.Helper()
	for batch := range slices.Chunk(events, 1+len(events)/4) {
		m.resume(batch)
		m.resume(batch)
	}
}

func (m *Model) resume(batch []projections.Event) {
	m.t.Helper()
	writer := m.claim(m.projection)
	defer writer.Close()
	require.NoError(m.t, writer.Apply(m.t.Context(), batch, end(batch)))
}

// race lets two owners displace each other until everything is applied.
func (m *Model) race(events []projections.Event) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	var owners sync.WaitGroup
	errs := make(chan error, 2)
	for range 2 {
		owners.Go(func() { errs <- m.compete(ctx, events) })
	}
	owners.Wait()
	require.NoError(m.t, errors.Join(<-errs, <-errs))
}

// compete applies event by event, and claims the projection again after each time
// that it was displaced.
func (m *Model) compete(ctx context.Context, events []projections.Event) error {
	for {
		writer, err := projections.Claim(ctx, m.Pool, m.projection, projections.Ownership{Owner: "one of two", Unlocked: true})
		if err != nil {
			return err
		}
		for i := range events {
			if err = writer.Apply(ctx, events[i:i+1], events[i].Position); err != nil {
				break
			}
		}
		writer.Close()
		if !errors.Is(err, projections.ErrFenced) {
			return err
		}
	}
}

// errPlanted is what a planted fault answers.
var errPlanted = errors.New("planted")

// faults are ways in which an event cannot be applied, with the code to report.
var faults = map[string]struct {
	code string
	fail func() error
}{
	"is refused": {"apply", func() error { return errPlanted }},
	"panics":     {"panic", func() error { panic("planted") }},
}

// poison plants a fault at one event: what is before it is committed, the failure
// names it, and once mended all is as if nothing had been.
func poison(t *testing.T, p projections.Projection, events []projections.Event, fault struct {
	code string
	fail func() error
}) {
	taken := listed(p, events)
	culprit := taken[rand.IntN(len(taken))]
	at := slices.IndexFunc(events, func(e projections.Event) bool { return e.ID == culprit.ID })
	planted := sabotaged{Projection: p, before: func(batch []projections.Event) error {
		if slices.ContainsFunc(batch, func(e projections.Event) bool { return e.ID == culprit.ID }) {
			return fault.fail()
		}
		return nil
	}}
	m := Empty(t, p)
	writer := m.claim(planted)
	defer writer.Close()
	require.Error(t, writer.Apply(t.Context(), events, end(events)))
	require.Zero(t, writer.Checkpoint().Events, "nothing of a failed batch is committed")

	var failure *projections.Failure
	require.ErrorAs(t, writer.Isolate(t.Context(), events, end(events), nobody), &failure)
	require.Equal(t, culprit.ID, failure.EventID)
	require.Equal(t, culprit.Position, failure.Position)
	require.Equal(t, fault.code, failure.Code)
	require.EqualValues(t, at, writer.Checkpoint().Events, "all before it is committed")
	require.Equal(t, Empty(t, p).Apply(events[:at]...).Rows(), m.Rows())

	writer.Close()
	m.resume(events)
	require.Equal(t, Empty(t, p).Apply(events...).Rows(), m.Rows(), "once the cause is mended")
}

func nobody(uuid.UUID) bool { return false }

// fenced shows that an owner who does not know of its successor can write nothing.
func fenced(t *testing.T, p projections.Projection, events []projections.Event) {
	m := Empty(t, p)
	displaced := m.claim(p)
	defer displaced.Close()
	successor := m.claim(p)
	defer successor.Close()
	require.ErrorIs(t, displaced.Apply(t.Context(), events, end(events)), projections.ErrFenced, "before the successor's first commit")
	require.NoError(t, successor.Apply(t.Context(), events[:1], end(events[:1])))
	before := m.Rows()
	require.ErrorIs(t, displaced.Apply(t.Context(), events, end(events)), projections.ErrFenced, "after it")
	require.Equal(t, before, m.Rows())
}
