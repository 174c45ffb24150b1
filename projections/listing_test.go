package projections_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/projections"
)

// listing keeps a row of every event of ours, decodable or not, in the order in
// which they came. Nothing in its tables would refuse one that comes twice.
type listing struct{ name string }

func (l listing) Spec() projections.Spec {
	return projections.Spec{Name: l.name, Version: 1, Schema: "create table came (place bigserial, position bigint, event uuid, stream text, revision bigint)"}
}

func (l listing) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	rows := make([][]any, len(events))
	for i, e := range events {
		rows[i] = []any{e.Pos(), e.ID, e.Stream, int64(e.Revision)}
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"came"}, []string{"position", "event", "stream", "revision"}, pgx.CopyFromRows(rows))
	return err
}

// came are the events as a listing has them.
func came(t *testing.T, pool *pgxpool.Pool, name string) (events []uuid.UUID) {
	t.Helper()
	rows, err := pool.Query(t.Context(), "select event from rm_"+name+"_v1.came order by place")
	require.NoError(t, err)
	events, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	require.NoError(t, err)
	return events
}

// findings are what a listing has wrong about a log: none, if all is well.
type findings struct{ Lost, Doubled, Unknown, Swapped int }

// judge holds a listing against the log.
func judge(log, listed []uuid.UUID) (f findings) {
	times := map[uuid.UUID]int{}
	for _, id := range listed {
		if times[id]++; times[id] > 1 {
			f.Doubled++
		}
	}
	place := make(map[uuid.UUID]int, len(log))
	for i, id := range log {
		place[id] = i
		if times[id] == 0 {
			f.Lost++
		}
	}
	last := -1
	for _, id := range listed {
		at, known := place[id]
		switch {
		case !known:
			f.Unknown++
		case at < last:
			f.Swapped++
		}
		last = max(last, at)
	}
	return f
}

func TestTheJudgeOfListingsFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	log := []uuid.UUID{uuid.New(), uuid.New(), uuid.New(), uuid.New()}
	require.Zero(t, judge(log, log))
	require.Equal(t, findings{Lost: 1}, judge(log, slices.Delete(slices.Clone(log), 1, 2)))
	require.Equal(t, findings{Doubled: 1}, judge(log, slices.Insert(slices.Clone(log), 1, log[0])))
	require.Equal(t, findings{Unknown: 1}, judge(log, append(slices.Clone(log), uuid.New())))
	require.Equal(t, findings{Swapped: 1}, judge(log, []uuid.UUID{log[0], log[2], log[1], log[3]}))
}
