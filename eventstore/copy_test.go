package eventstore_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
)

func TestGivenEventsOfAnotherStoreWhenAppendedThenTheyAreWhatTheyWere(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, 10*time.Second)
	// Given events of both content types, one with what would be a personal value in clear
	events := []eventstore.Recorded{
		{ID: uuid.New(), Type: "counted", ContentType: eventstore.ContentJSON, Data: []byte(`{"$personal":{"subject":"s","purpose":"p","value":1}}`), Metadata: []byte(`{}`)},
		{ID: uuid.New(), Type: "drawn", ContentType: eventstore.ContentBinary, Data: []byte{0, 1, 0xff}, Metadata: []byte("not JSON")},
		{ID: uuid.New(), Type: "emptied", ContentType: eventstore.ContentJSON},
	}
	// When they are appended, and once more
	written, err := client.AppendRecorded(ctx, "s", eventstore.NoStream, events)
	require.NoError(t, err)
	again, err := client.AppendRecorded(ctx, "s", eventstore.NoStream, events)
	require.NoError(t, err)
	require.Equal(t, written, again)

	// Then they are there once, as they were
	read, err := client.ReadStream(ctx, "s", 0, eventstore.Forwards, math.MaxUint64)
	require.NoError(t, err)
	require.Len(t, read, 3)
	for i, event := range read {
		require.Equal(t, events[i].ID, event.ID)
		require.Equal(t, events[i].Type, event.Type)
		require.Equal(t, events[i].ContentType, event.ContentType)
		require.Equal(t, string(events[i].Data), string(event.Data))
		require.Equal(t, string(events[i].Metadata), string(event.Metadata))
	}
	// And what no append can keep is refused
	_, err = client.AppendRecorded(ctx, "s", eventstore.Any, []eventstore.Recorded{{ID: uuid.New(), Type: "t", ContentType: "text/plain"}})
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	_, err = client.AppendRecorded(ctx, "s", eventstore.Any, nil)
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	_, err = client.AppendRecorded(ctx, "s", eventstore.ExpectedRevision{}, events)
	require.ErrorIs(t, err, eventstore.ErrInvalid)
}

func TestGivenAStreamWhenDeletedForEverThenItsExpectedRevisionCounts(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, 10*time.Second)
	_, err := client.Append(ctx, "s", eventstore.NoStream, proposed(2))
	require.NoError(t, err)

	_, err = client.Tombstone(ctx, "s", eventstore.Exactly(0))
	require.ErrorIs(t, err, eventstore.ErrWrongExpectedRevision)
	require.True(t, eventstore.Definite(err))
	_, err = client.Tombstone(ctx, "s", eventstore.ExpectedRevision{})
	require.ErrorIs(t, err, eventstore.ErrInvalid)

	at, err := client.Tombstone(ctx, "s", eventstore.Exactly(1))
	require.NoError(t, err)
	head, err := client.Head(ctx)
	require.NoError(t, err)
	require.Equal(t, head, at)
	_, err = client.Tombstone(ctx, "s", eventstore.Exactly(1))
	require.ErrorIs(t, err, eventstore.ErrStreamDeleted)
	require.NotErrorIs(t, err, eventstore.ErrWrongExpectedRevision)
}

func TestGivenACopyOfALogWhenRenamedThenTheLastNameCounts(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx := within(t, 10*time.Second)
	named := func(id uuid.UUID) eventstore.Proposed {
		return eventstore.Proposed{ID: uuid.New(), Type: "log-named", Data: []byte(`{"log_id":"` + id.String() + `"}`), Metadata: []byte(`{}`)}
	}
	// A log without a name stays without
	require.NoError(t, client.RenameLog(ctx, named(uuid.New())))
	_, err := client.LogID(ctx)
	require.ErrorIs(t, err, eventstore.ErrStreamNotFound)

	first, second := uuid.New(), uuid.New()
	id, err := client.NameLog(ctx, named(first))
	require.NoError(t, err)
	require.Equal(t, first, id)
	require.NoError(t, client.RenameLog(ctx, named(second)))
	id, err = client.LogID(ctx)
	require.NoError(t, err)
	require.Equal(t, second, id)
}
