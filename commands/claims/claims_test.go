package claims

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/eventstore/eventstoretest"
	"daybook.example/eventstore/seal"
)

// The way from a command to its settled claims is tested with the handler.

var (
	start  = time.Date(2024, 3, 1, 9, 0, 0, 0, time.UTC)
	number = domain.Claim{Set: "number", Value: "E-1"}
)

// at is the same claims at some time after the start.
func (c *Claims) at(after time.Duration) *Claims {
	later := c.Config
	later.Clock = func() time.Time { return start.Add(after) }
	return New(later)
}

func newClaims(t *testing.T) *Claims {
	t.Helper()
	client := eventstoretest.Start(t).Connect()
	keys, err := seal.Create(filepath.Join(t.TempDir(), "keys"))
	require.NoError(t, err)
	return New(Config{Store: client, Keys: keys, Clock: func() time.Time { return start }})
}

func cause() domain.Metadata {
	return domain.Metadata{CommandID: uuid.New(), RequestMAC: "mac", RecordedAt: start}
}

func TestOfManyWhoTakeAValueOneGetsIt(t *testing.T) {
	t.Parallel()
	c := newClaims(t)
	errs := make([]error, 20)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, errs[i] = c.Take(t.Context(), "jar-"+uuid.NewString(), number, cause()) })
	}
	all.Wait()

	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, domain.Code("taken"))
	}
	require.Equal(t, 1, won)
}

func TestAClaimIsSentForUntilShortlyBeforeItExpires(t *testing.T) {
	t.Parallel()
	c, first := newClaims(t), cause()
	held, err := c.Take(t.Context(), "jar-1", number, first)
	require.NoError(t, err)
	require.True(t, held.Pending())
	require.Equal(t, start.Add(5*time.Minute-15*time.Second), held.SendBefore())

	again, err := c.at(time.Minute).Take(t.Context(), "jar-1", number, first)
	require.NoError(t, err)
	require.Equal(t, held.SendBefore(), again.SendBefore(), "a claim taken again lives no longer")
}

func TestACommandTakesItsOwnersConfirmedValueWithoutAnything(t *testing.T) {
	t.Parallel()
	c, first := newClaims(t), cause()
	_, err := c.Take(t.Context(), "jar-1", number, first)
	require.NoError(t, err)
	require.NoError(t, c.Confirm(t.Context(), "jar-1", number, first))

	held, err := c.Take(t.Context(), "jar-1", number, cause())
	require.NoError(t, err)
	require.False(t, held.Pending())
	_, err = c.at(time.Hour).Take(t.Context(), "jar-2", number, cause())
	require.ErrorIs(t, err, domain.Code("taken"), "a confirmed claim does not expire")
}

func TestAnotherBodyUnderTheSameKeyDoesNotShareAClaim(t *testing.T) {
	t.Parallel()
	c, first := newClaims(t), cause()
	_, err := c.Take(t.Context(), "jar-1", number, first)
	require.NoError(t, err)

	other := first
	other.RequestMAC = "other"
	_, err = c.Take(t.Context(), "jar-1", number, other)
	require.ErrorIs(t, err, domain.Code("taken"))
	require.NoError(t, c.Confirm(t.Context(), "jar-1", number, other))
	require.ErrorIs(t, c.Check(t.Context(), "jar-2", number, uuid.New()), domain.Code("taken"))
	require.NoError(t, c.at(time.Hour).Check(t.Context(), "jar-2", number, uuid.New()), "it was confirmed by another request")
}

func TestACheckSaysWhatATakeWouldSay(t *testing.T) {
	t.Parallel()
	c, first := newClaims(t), cause()
	require.NoError(t, c.Check(t.Context(), "jar-1", number, first.CommandID))
	held, err := c.Take(t.Context(), "jar-1", number, first)
	require.NoError(t, err)
	require.NoError(t, c.Check(t.Context(), "jar-1", number, first.CommandID))
	require.ErrorIs(t, c.Check(t.Context(), "jar-2", number, uuid.New()), domain.Code("taken"))

	require.NoError(t, c.Withdraw(t.Context(), "jar-1", held, first))
	require.NoError(t, c.Check(t.Context(), "jar-2", number, uuid.New()))
}

func TestOneValueInTwoSetsIsTwoClaims(t *testing.T) {
	t.Parallel()
	c := newClaims(t)
	_, err := c.Take(t.Context(), "jar-1", number, cause())
	require.NoError(t, err)
	_, err = c.Take(t.Context(), "jar-2", domain.Claim{Set: "other", Value: number.Value}, cause())
	require.NoError(t, err)
}
