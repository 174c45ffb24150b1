package projections_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/projections"
)

// An errand does its work outside of the database, as process managers do.
type errand struct {
	mu    *sync.Mutex
	begun *[]projections.Position
	ended *[]context.Context
	done  *[]uuid.UUID
	away  *bool // what it needs does not answer
}

func newErrand() errand {
	return errand{&sync.Mutex{}, &[]projections.Position{}, &[]context.Context{}, &[]uuid.UUID{}, new(bool)}
}

func (e errand) Spec() projections.Spec {
	return projections.Spec{Name: "errand", Version: 1, Events: []string{taken().EventType()}, Outside: true, Begin: func(ctx context.Context, at projections.Position) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		*e.begun, *e.ended = append(*e.begun, at), append(*e.ended, ctx)
		return nil
	}}
}

func (e errand) Apply(_ context.Context, _ pgx.Tx, events []projections.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if *e.away {
		return fmt.Errorf("do an errand: %w", eventstore.ErrUnavailable)
	}
	for _, event := range events {
		*e.done = append(*e.done, event.ID)
	}
	return nil
}

func TestWhatWorksOutsideIsToldWhereItBeginsAndKeepsNothingButItsCheckpoint(t *testing.T) {
	t.Parallel()
	h, e := open(t), newErrand()
	first, at := h.put("claim-test-0", taken())
	runners, stop := h.start(e)
	h.wait(runners[0], at)
	stop()
	second, last := h.put("claim-test-0", taken())
	runners, stop = h.start(e)
	h.wait(runners[0], last)
	require.NoError(t, (*e.ended)[1].Err(), "it lasts as long as the ownership")
	stop()

	require.Equal(t, []uuid.UUID{first, second}, *e.done)
	require.Len(t, *e.begun, 2)
	require.True(t, (*e.begun)[0].IsZero())
	require.Equal(t, at, (*e.begun)[1])
	for _, ctx := range *e.ended {
		require.Error(t, ctx.Err())
	}
	require.Zero(t, number(t, h.pool, "select count(*) from pg_tables where schemaname = 'rm_errand_v1'"))
	require.Zero(t, number(t, h.pool, "select count(*) from daybook.projection_version where phase = 'active'"), "nobody who reads waits for it")
	require.NoError(t, projections.Prepare(t.Context(), h.pool, h.log, e), "again")
	require.ErrorIs(t, projections.Prepare(t.Context(), h.pool, uuid.New(), e), projections.ErrOtherLog)
}

func TestWhatDoesNotAnswerOutsideIsAskedAgainAndHaltsNothing(t *testing.T) {
	t.Parallel()
	h, e := open(t), newErrand()
	*e.away = true
	id, at := h.put("claim-test-0", taken())
	runners, _ := h.start(e)
	h.await(runners[0], projections.Retrying)
	e.mu.Lock()
	*e.away = false
	e.mu.Unlock()
	h.wait(runners[0], at)
	e.mu.Lock()
	defer e.mu.Unlock()
	require.Equal(t, []uuid.UUID{id}, *e.done)
}
