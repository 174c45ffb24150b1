package projtest

import (
	"context"
	"errors"
	"fmt"
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
	database := Empty(t, p)
	want := database.Apply(events...).Rows()
	check := func(name string, run func(*Model)) {
		t.Run(name, func(t *testing.T) {
			m := database.again(t)
			run(m)
			require.Equal(t, want, m.Rows())
		})
	}
	check("event by event", func(m *Model) { m.play(events, 1) })
	for range splits {
		seed := rand.Uint64()
		check(fmt.Sprintf("in batches of seed %d", seed), func(m *Model) { m.play(events, 1+rand.New(rand.NewPCG(seed, 0)).IntN(len(events))) })
	}
	check("delivered again", func(m *Model) { m.playTwice(events) })
	check("behind a pooler of transactions", func(m *Model) { m.playPooled(events) })
	check("killed before the commit", func(m *Model) { m.playKilled(events) })
	check("killed after the commit", func(m *Model) { m.playForgetful(events) })
	check("two owners at once", func(m *Model) { m.race(events) })
	check("an owner that was displaced", func(m *Model) { m.displace(events) })
	for name, fault := range faults {
		culprit := rand.IntN(len(events))
		for !p.Spec().Takes(events[culprit].Type) {
			culprit = rand.IntN(len(events))
		}
		prefix := database.again(t).Apply(events[:culprit]...).Rows()
		check(fmt.Sprintf("event %d %s", culprit, name), func(m *Model) { m.poison(events, culprit, fault, prefix) })
	}
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

// playPooled applies events without what a connection of its own would keep.
func (m *Model) playPooled(events []projections.Event) {
	m.t.Helper()
	writer := m.claimBy(m.projection, projections.Ownership{Owner: "test", Unlocked: true})
	defer writer.Close()
	for batch := range slices.Chunk(events, 1+len(events)/4) {
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

// A fault is a way in which an event cannot be applied, with the code to report.
type fault struct {
	code string
	fail func() error
}

var faults = map[string]fault{
	"is refused": {"apply", func() error { return errPlanted }},
	"panics":     {"panic", func() error { panic("planted") }},
}

// poison plants a fault at one event: what is before it is committed, the failure
// names it, and once mended all is as if nothing had been.
func (m *Model) poison(events []projections.Event, at int, fault fault, prefix map[string][]string) {
	m.t.Helper()
	culprit := events[at]
	writer := m.claim(sabotaged{Projection: m.projection, before: func(batch []projections.Event) error {
		if slices.ContainsFunc(batch, func(e projections.Event) bool { return e.ID == culprit.ID }) {
			return fault.fail()
		}
		return nil
	}})
	require.Error(m.t, writer.Apply(m.t.Context(), events, end(events)))
	require.Zero(m.t, writer.Checkpoint().Events, "nothing of a failed batch is committed")

	var failure *projections.EventError
	require.ErrorAs(m.t, writer.Isolate(m.t.Context(), events, end(events), nobody), &failure)
	require.Equal(m.t, culprit.ID, failure.EventID)
	require.Equal(m.t, culprit.Position, failure.Position)
	require.Equal(m.t, fault.code, failure.Code)
	require.EqualValues(m.t, at, writer.Checkpoint().Events, "all before it is committed")
	require.Equal(m.t, prefix, m.Rows())
	writer.Close()
	m.resume(events)
}

func nobody(uuid.UUID) bool { return false }

// displace shows that an owner who does not know of its successor can write nothing.
func (m *Model) displace(events []projections.Event) {
	m.t.Helper()
	one := projections.Ownership{Owner: "one of two", Unlocked: true}
	displaced, successor := m.claimBy(m.projection, one), m.claimBy(m.projection, one)
	defer displaced.Close()
	defer successor.Close()
	require.ErrorIs(m.t, displaced.Apply(m.t.Context(), events, end(events)), projections.ErrFenced, "before the successor's first commit")
	require.NoError(m.t, successor.Apply(m.t.Context(), events[:1], end(events[:1])))
	before := m.Rows()
	require.ErrorIs(m.t, displaced.Apply(m.t.Context(), events, end(events)), projections.ErrFenced, "after it")
	require.Equal(m.t, before, m.Rows())
	require.NoError(m.t, successor.Apply(m.t.Context(), events, end(events)))
}
