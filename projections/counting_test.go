package projections_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/claim"
	"daybook.example/projections"
	"daybook.example/projections/projtest"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// counting counts the claims of each stream, and keeps when the last one was.
type counting struct {
	name string
	fail func(projections.Event) error // nil: never
	api  string
}

func (c counting) Spec() projections.Spec {
	return projections.Spec{
		Name: c.name, Version: 1, Events: []string{taken().EventType()},
		Schema: "create table tally (stream text primary key, n int not null, label timestamptz not null, constraint few check (n < 1000))",
		Index:  "create index on tally (n)",
		Read:   "create view read." + c.name + " as select * from tally",
		API:    c.api,
	}
}

type tally struct {
	n     int
	label time.Time
}

func (c counting) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	return projections.Fold[string, tally]{
		Key: func(e projections.Event) (string, bool) { return e.Stream, true },
		Load: func(ctx context.Context, tx pgx.Tx, streams []string) (map[string]tally, error) {
			rows, err := tx.Query(ctx, "select stream, n, label from tally where stream = any($1)", streams)
			if err != nil {
				return nil, err
			}
			found := map[string]tally{}
			var stream string
			var row tally
			_, err = pgx.ForEachRow(rows, []any{&stream, &row.n, &row.label}, func() error {
				found[stream] = row
				return nil
			})
			return found, err
		},
		Apply: func(row tally, e projections.Event) (tally, error) {
			if c.fail != nil {
				if err := c.fail(e); err != nil {
					return row, err
				}
			}
			return tally{row.n + 1, e.Label}, nil
		},
		Store: func(ctx context.Context, tx pgx.Tx, rows iter.Seq2[string, tally]) error {
			for stream, row := range rows {
				if _, err := tx.Exec(ctx, "insert into tally values ($1, $2, $3) on conflict (stream) do update set n = $2, label = $3", stream, row.n, row.label); err != nil {
					return err
				}
			}
			return nil
		},
	}.Run(ctx, tx, events)
}

func taken() domain.Named {
	return claim.Taken{Owner: "somebody", CommandID: projtest.LogID, Expires: noon}
}

// history is 12 events in three streams, each third of a type that counting does
// not list. The clock jumps back once.
func history(t *testing.T) []projections.Event {
	log := projtest.NewLog(t)
	for i := range 12 {
		at := noon.Add(time.Duration(i) * time.Second)
		if i == 5 {
			at = noon
		}
		event := taken()
		if i%3 == 2 {
			event = claim.Confirmed{Owner: "somebody"}
		}
		log.Append(at, fmt.Sprintf("claim-test-%d", i%2), event)
	}
	return log.Events()
}

func TestTheRuntimeKeepsItsPromises(t *testing.T) {
	t.Parallel()
	projtest.Conformance(t, counting{name: "counting"}, history(t))
}

func TestAFoldTellsEachEventToItsRowOnce(t *testing.T) {
	t.Parallel()
	projtest.Given(t, history(t)...).Apply(counting{name: "counting"}).
		Expect("select stream, n from tally order by stream", []any{"claim-test-0", 4}, []any{"claim-test-1", 4})
}

func TestLabelsNeverGoBackAndCoverEventsOfEveryType(t *testing.T) {
	t.Parallel()
	events := history(t)
	m := projtest.Given(t, events[:6]...).Apply(counting{name: "counting"})
	// The sixth was recorded at noon by a clock set back: its label is the fifth's.
	m.Expect("select label, position from label_position order by label desc limit 2",
		[]any{noon.Add(4 * time.Second), events[5].Pos()}, []any{noon.Add(3 * time.Second), events[3].Pos()})
	m.Apply(events[6:]...).Expect("select count(*) from label_position", []any{11})
}

func TestABrokenConstraintNamesTheEventAndTheConstraint(t *testing.T) {
	t.Parallel()
	events := history(t)
	m := projtest.Empty(t, counting{name: "counting"})
	_, err := m.Pool.Exec(t.Context(), "alter table rm_counting_v1.tally drop constraint few, add constraint few check (n < 3)")
	require.NoError(t, err)
	failure := isolated(t, m, counting{name: "counting"}, events, func(uuid.UUID) bool { return false })
	require.Equal(t, events[6].ID, failure.EventID)
	require.Equal(t, "23514", failure.Code)
	require.Equal(t, "few", failure.Field)
}

func TestAnEventThatCannotBeDecodedIsNeverGuessedAt(t *testing.T) {
	t.Parallel()
	events := history(t)
	bad := events[3].Recorded
	bad.Data = []byte(`{"owner":7}`)
	events[3] = projections.Decode(bad)
	failure := isolated(t, projtest.Empty(t, counting{name: "counting"}), counting{name: "counting"}, events, func(uuid.UUID) bool { return false })
	require.Equal(t, events[3].ID, failure.EventID)
	require.Equal(t, "decode", failure.Code)
}

func TestAVersionThatNeverWasIsPoisonAndNoGuess(t *testing.T) {
	t.Parallel()
	for _, version := range []int{0, 2, 99} {
		events := history(t)
		later := events[3].Recorded
		later.Metadata = bytes.Replace(later.Metadata, []byte(`"schema_version":1`), fmt.Appendf(nil, `"schema_version":%d`, version), 1)
		events[3] = projections.Decode(later)
		require.Nil(t, events[3].Decoded)
		m := projtest.Empty(t, counting{name: "counting"})
		failure := isolated(t, m, counting{name: "counting"}, events, func(uuid.UUID) bool { return false })
		require.Equal(t, events[3].ID, failure.EventID, "version %d", version)
		require.Equal(t, "decode", failure.Code)
		m.Expect("select sum(n) from tally", []any{2})
	}
}

func TestAWaivedEventIsPassedAndNoOther(t *testing.T) {
	t.Parallel()
	events := history(t)
	failing := counting{name: "counting", fail: func(e projections.Event) error {
		if e.ID == events[3].ID || e.ID == events[9].ID {
			return errors.New("planted")
		}
		return nil
	}}
	m := projtest.Empty(t, failing)
	failure := isolated(t, m, failing, events, func(id uuid.UUID) bool { return id == events[3].ID })
	require.Equal(t, events[9].ID, failure.EventID)
	m.Expect("select sum(n) from tally", []any{5})
	isolated(t, m, failing, events, func(uuid.UUID) bool { return true })
	m.Expect("select sum(n) from tally", []any{6})
}

func TestACheckpointThatSomebodyMovedIsNotOverwritten(t *testing.T) {
	t.Parallel()
	events := history(t)
	m := projtest.Empty(t, counting{name: "counting"})
	writer, err := projections.Claim(t.Context(), m.Pool, counting{name: "counting"}, projections.Ownership{Owner: "test"})
	require.NoError(t, err)
	defer writer.Close()
	run(t, m.Pool, "update daybook.projection_checkpoint set commit_pos = 1")
	require.ErrorIs(t, writer.Apply(t.Context(), events, events[11].Position), projections.ErrFenced)
	m.Expect("select * from tally")
}

// given events of which nobody said when they were recorded, when a projection that had them is claimed anew, then it goes on after them
func TestEventsWithoutATimeAreGoneOnFrom(t *testing.T) {
	t.Parallel()
	events, p := history(t)[:3], counting{name: "counting"}
	for i := range events {
		events[i].Meta.RecordedAt = time.Time{}
	}
	m := projtest.Empty(t, p)
	for i, event := range events {
		writer, err := projections.Claim(t.Context(), m.Pool, p, projections.Ownership{Owner: "test"})
		require.NoError(t, err)
		require.NoError(t, writer.Apply(t.Context(), events[:i+1], event.Position))
		writer.Close()
		require.Equal(t, event.ID, writer.Checkpoint().LastEvent)
	}
	m.Expect("select sum(n) from tally", []any{2})
}

// An outsider does its work outside of the database.
type outsider struct{ done *int }

func (outsider) Spec() projections.Spec {
	return projections.Spec{Name: "outsider", Version: 1, Outside: true}
}

func (o outsider) Apply(_ context.Context, _ pgx.Tx, events []projections.Event) error {
	*o.done += len(events)
	return nil
}

func TestAnOwnerThatWasDisplacedDoesNothingOutside(t *testing.T) {
	t.Parallel()
	for _, unlocked := range []bool{false, true} {
		events, done := history(t), 0
		m := projtest.Empty(t, outsider{&done})
		writer, err := projections.Claim(t.Context(), m.Pool, outsider{&done}, projections.Ownership{Owner: "displaced", Unlocked: unlocked})
		require.NoError(t, err)
		defer writer.Close()
		require.NoError(t, writer.Apply(t.Context(), events[:1], events[0].Position))
		require.Equal(t, 1, done)
		run(t, m.Pool, "update daybook.projection_checkpoint set epoch = epoch + 1")
		require.ErrorIs(t, writer.Apply(t.Context(), events, events[11].Position), projections.ErrFenced)
		require.Equal(t, 1, done)
	}
}

func TestThePlannerKnowsOfABulkOfEventsAtOnce(t *testing.T) {
	t.Parallel()
	log := projtest.NewLog(t)
	for i := range 1200 {
		log.Append(noon.Add(time.Duration(i)*time.Second), fmt.Sprintf("claim-test-%d", i%2), taken())
	}
	projtest.Given(t, log.Events()...).Apply(counting{name: "counting"}).
		Expect("select reltuples::bigint from pg_class where oid = 'label_position'::regclass", []any{1200})
}

// isolated is the failure that Isolate answers, if any.
func isolated(t *testing.T, m *projtest.Model, p projections.Projection, events []projections.Event, waived func(uuid.UUID) bool) *projections.EventError {
	t.Helper()
	writer, err := projections.Claim(t.Context(), m.Pool, p, projections.Ownership{Owner: "test"})
	require.NoError(t, err)
	defer writer.Close()
	var failure *projections.EventError
	err = writer.Isolate(t.Context(), events, events[len(events)-1].Position, waived)
	if err != nil && !errors.As(err, &failure) {
		t.Fatal(err)
	}
	return failure
}
