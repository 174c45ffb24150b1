package eventstore_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/eventstore"
)

func TestPropertyAPositionReadsAsItWasWritten(t *testing.T) {
	t.Parallel()
	place := rapid.Uint64Range(0, math.MaxInt64)
	rapid.Check(t, func(t *rapid.T) {
		p := eventstore.Position{Commit: place.Draw(t, "commit"), Prepare: place.Draw(t, "prepare")}
		again, err := eventstore.ParsePosition(p.String())
		require.NoError(t, err)
		require.Equal(t, p, again)
		text, err := json.Marshal(p)
		require.NoError(t, err)
		require.Equal(t, `"`+p.String()+`"`, string(text), "a string, for a number would break in JavaScript")
		require.NoError(t, json.Unmarshal(text, &again))
		require.Equal(t, p, again)

		q := eventstore.Position{Commit: place.Draw(t, "other commit"), Prepare: place.Draw(t, "other prepare")}
		require.Equal(t, p != q, p.Less(q) != q.Less(p), "of two, one is the earlier")
	})
}

func TestWhatIsNoPositionIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "1", "1/", "/1", "-1/1", "1/2/3", "a/b", " 1/1", "+1/1", "1_0/1", "9223372036854775808/0"} {
		_, err := eventstore.ParsePosition(text)
		require.ErrorContains(t, err, "<commit>/<prepare>", text)
	}
}

func TestOnlyAnAnswerOfTheStoreIsDefinite(t *testing.T) {
	t.Parallel()
	for _, err := range []error{eventstore.ErrWrongExpectedRevision, eventstore.ErrStreamDeleted, eventstore.ErrAccessDenied,
		eventstore.ErrInvalid, eventstore.ErrMarker} {
		require.True(t, eventstore.Definite(err), err.Error())
	}
	require.False(t, eventstore.Definite(eventstore.ErrUnavailable))
	require.False(t, eventstore.Definite(nil))
}
