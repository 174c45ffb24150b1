package resend

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
)

var stored = eventstore.Written{Revision: 7}

func TestAnAppendIsSentUntilItsResultIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		written, err := Plan{}.Until(func(context.Context) (eventstore.Written, error) {
			if sent++; sent < 5 {
				return eventstore.Written{}, eventstore.ErrUnavailable
			}
			return stored, nil
		})
		require.NoError(t, err)
		require.Equal(t, stored, written)
		require.Equal(t, 5, sent)
	})
}

func TestADefiniteRefusalEndsIt(t *testing.T) {
	t.Parallel()
	sent := 0
	_, err := Plan{}.Until(func(context.Context) (eventstore.Written, error) {
		sent++
		return eventstore.Written{}, eventstore.ErrWrongExpectedRevision
	})
	require.ErrorIs(t, err, eventstore.ErrWrongExpectedRevision)
	require.Equal(t, 1, sent)
}

func TestAfterItsPatienceTheResultIsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := Plan{}.Until(func(ctx context.Context) (eventstore.Written, error) {
			<-ctx.Done() // a store that hangs
			return eventstore.Written{}, ctx.Err()
		})
		require.ErrorIs(t, err, ErrUnknown)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, PatienceMax, time.Since(start))
	})
}

func TestNothingIsSentTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limit := time.Now().Add(3 * time.Second)
		plan := Plan{May: func() bool { return time.Now().Before(limit) }}
		lost := errors.New("lost")
		_, err := plan.Until(func(context.Context) (eventstore.Written, error) {
			require.True(t, time.Now().Before(limit))
			return eventstore.Written{}, lost
		})
		require.ErrorIs(t, err, ErrUnknown, "it was sent, so it may be stored")
		require.ErrorIs(t, err, lost)

		_, err = plan.Until(func(context.Context) (eventstore.Written, error) {
			require.Fail(t, "sent")
			return stored, nil
		})
		require.ErrorIs(t, err, ErrLate)
		require.NotErrorIs(t, err, ErrUnknown, "it was never sent")
	})
}
