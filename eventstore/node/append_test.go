package node_test

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/stretchr/testify/require"
)

func TestAnAppendedEventIsReadBackAsItWasGiven(t *testing.T) {
	t.Parallel()
	c := start(t).client()
	given := esdb.EventData{
		EventID: events(1)[0].EventID, EventType: "thing-happened", ContentType: esdb.ContentTypeJson,
		Data: []byte(`{"a":1}`), Metadata: []byte(`{"$correlationId":"x"}`),
	}

	written := appendTo(t, c, "things-1", esdb.NoStream{}, given)

	all, err := readStream(t, c, "things-1", esdb.ReadStreamOptions{})
	require.NoError(t, err)
	require.Len(t, all, 1)
	got := all[0].Event
	require.Equal(t, given.EventID, got.EventID)
	require.Equal(t, "thing-happened", got.EventType)
	require.Equal(t, "application/json", got.ContentType)
	require.Equal(t, "things-1", got.StreamID)
	require.Equal(t, given.Data, got.Data)
	require.Equal(t, given.Metadata, got.UserMetadata)
	require.Zero(t, got.EventNumber)
	require.Equal(t, written.CommitPosition, got.Position.Commit)
	require.Equal(t, written.PreparePosition, got.Position.Prepare)
	require.Equal(t, written.CommitPosition, *all[0].Commit)
	require.Zero(t, written.NextExpectedVersion)
	require.False(t, got.CreatedDate.IsZero())
	require.Nil(t, all[0].Link)
}
