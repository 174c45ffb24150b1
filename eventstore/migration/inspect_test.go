package migration

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
)

// Our node never loses an event, so what a scavenged server answers is made up here.
func TestWhatNoCopyCanKeepIsRefused(t *testing.T) {
	t.Parallel()
	ordinary := eventstore.Recorded{ID: uuid.New(), Stream: "s", Type: "t", ContentType: eventstore.ContentJSON}
	later := ordinary
	later.Revision = 5
	other := ordinary
	other.ContentType = "application/x-protobuf"
	for name, c := range map[string]struct {
		event eventstore.Recorded
		want  error
	}{
		"an ordinary event":     {ordinary, nil},
		"one without its first": {later, ErrGap},
		"one of another kind":   {other, ErrContent},
	} {
		i := newInspection(eventstore.Reader{}, AppendMax)
		require.ErrorIs(t, i.inspect(c.event), c.want, name)
	}
}

func TestOnlyWhatBelongsToAServerIsLeftOut(t *testing.T) {
	t.Parallel()
	for stream, left := range map[string]bool{
		"s": false, "$$s": false, "$": true, "$$": false, "$settings": true, "$$$settings": true,
		"$persistentSubscriptionConfig": true, "$$$persistentsubscription-s::g-checkpoint": true, "$ce-s": true, "s-$": false,
	} {
		require.Equal(t, left, leftOut(stream), stream)
	}
}
