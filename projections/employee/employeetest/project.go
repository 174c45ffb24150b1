package employeetest

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/eventstore"
	"daybook.example/projections"
)

// Project makes a projection's tables in an empty database and writes the
// events that it has not seen, in batches of a size, as its runner would.
func (c *Company) Project(pool *pgxpool.Pool, p projections.Projection, size int) {
	c.t.Helper()
	ctx := context.Background()
	require.NoError(c.t, projections.Prepare(ctx, pool, c.LogID, p))
	writer, err := projections.Claim(ctx, pool, p, projections.Ownership{Owner: "test"})
	require.NoError(c.t, err)
	defer writer.Close()
	for batch := range slices.Chunk(c.Events, size) {
		require.NoError(c.t, writer.Apply(ctx, batch, batch[len(batch)-1].Position))
	}
}

// Known is the position of the last event recorded up to a day.
func (c *Company) Known(day string) (position int64) {
	for _, e := range c.Events {
		if !e.Meta.RecordedAt.After(Instant(day)) {
			position = e.Pos()
		}
	}
	return position
}

// Append records the events in a real store, where they get their places.
func (c *Company) Append(store *eventstore.Client) {
	c.t.Helper()
	ctx := context.Background()
	for _, e := range c.Events {
		_, err := store.Append(ctx, e.Stream, eventstore.Any, []eventstore.Proposed{{ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata}})
		require.NoError(c.t, err)
	}
	var placed []projections.Event
	for recorded, err := range store.ReadOnly().All(ctx, eventstore.Position{}) {
		require.NoError(c.t, err)
		if e := projections.Decode(recorded); e.Err == nil {
			placed = append(placed, e)
		}
	}
	c.Events = placed
}
