package projections_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/eventstore"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/eventstore/subscription"
	"daybook.example/projections"
	"daybook.example/projections/audit"
	"daybook.example/projections/employee"
	"daybook.example/projections/employee/employeetest"
	"daybook.example/projections/journal"
	"daybook.example/projections/projtest"
)

// given a read model that is held back, when others have gone on beyond what is held ready for it, then it held up nobody, and is exact, too
func TestAReadModelThatIsHeldBackHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	const least, window = 2 * time.Second, 50
	const ready = 3 * 512 // events in the batches that wait for it
	h := open(t)
	var err error
	h.feed, err = projections.NewFeed(subscription.FeedConfig{Client: h.Client, MaxEvents: window, Logger: eventstoretest.Quiet})
	require.NoError(t, err)
	held, release := context.WithCancel(t.Context())
	defer release()
	runners, _ := h.start(counting{name: "held", fail: func(projections.Event) error { <-held.Done(); return nil }},
		counting{name: "counting"}, counting{name: "other"})
	total := 0
	for began := time.Now(); time.Since(began) < least || total < ready+3*window; total += window {
		last := h.putMany(fmt.Sprintf("claim-test-%d", total%97), window)
		h.wait(runners[1], last)
		h.wait(runners[2], last)
	}
	require.Zero(t, h.tallied("held"))
	release()
	_, last := h.put("claim-test-0", taken())
	for _, r := range runners {
		h.wait(r, last)
		require.Equal(t, total+1, h.tallied(r.Status().Name))
	}
	require.NotZero(t, h.feed.Stats().Detours, "it was left behind")
	require.Eventually(t, func() bool { return h.feed.Stats().Sharing == 3 }, patience, tick, "and shares again")
}

// putMany appends many events at once and answers the position of the last.
func (h *house) putMany(stream string, n int) projections.Position {
	h.t.Helper()
	data, err := domain.Encode(taken())
	require.NoError(h.t, err)
	events := make([]eventstore.Proposed, n)
	for i := range events {
		events[i] = eventstore.Proposed{ID: uuid.New(), Type: taken().EventType(), Data: data, Metadata: metadata(h.t)}
	}
	written, err := h.Append(h.t.Context(), stream, eventstore.Any, events)
	require.NoError(h.t, err)
	return written.Position
}

// given events that all read models are handed at once, when they have applied them, then the events are as they were (the race detector sees who writes)
func TestReadModelsLeaveWhatTheyShareAsItIs(t *testing.T) {
	t.Parallel()
	company := employeetest.BusyYear(t)
	events := company.Events
	before := make([][]byte, len(events))
	for i, e := range events {
		before[i] = slices.Clone(e.Data)
	}
	t.Run("at once", func(t *testing.T) {
		for _, p := range []projections.Projection{audit.New(), employee.New(company.Keys), journal.New()} {
			t.Run(p.Spec().Name, func(t *testing.T) {
				t.Parallel()
				m := projtest.Empty(t, p)
				for batch := range slices.Chunk(events, 1+len(events)/3) {
					m.Apply(batch...)
				}
			})
		}
	})
	for i, e := range events {
		require.Equal(t, before[i], e.Data)
		require.Equal(t, projections.Decode(e.Recorded), e)
	}
}
