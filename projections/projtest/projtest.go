// Package projtest tests projections on a real Postgres: one call of Conformance
// covers what every projection must keep, Given tells a single story.
package projtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"daybook.example/projections"
	"daybook.example/projections/postgres/postgrestest"
)

// LogID names the log that all test events are from.
var LogID = uuid.MustParse("0b3c5a2e-6f0e-4b57-9d0a-1d6c7c0a1f11")

// A Model is a projection's tables in a database of the test's own.
type Model struct {
	Pool *pgxpool.Pool

	t          testing.TB
	projection projections.Projection
}

// Empty makes a projection's tables.
func Empty(t testing.TB, p projections.Projection) *Model {
	t.Helper()
	m := &Model{postgrestest.New(t), t, p}
	require.NoError(t, projections.Prepare(t.Context(), m.Pool, LogID, p))
	return m
}

// again is the model with nothing in it, for another test to use: that takes a
// tenth of the time of another database.
func (m *Model) again(t testing.TB) *Model {
	t.Helper()
	_, err := m.Pool.Exec(t.Context(), "drop schema daybook, read, api, "+pgx.Identifier{m.projection.Spec().SchemaName()}.Sanitize()+" cascade")
	require.NoError(t, err)
	require.NoError(t, projections.Prepare(t.Context(), m.Pool, LogID, m.projection))
	return &Model{m.Pool, t, m.projection}
}

// Apply applies events as one batch.
func (m *Model) Apply(events ...projections.Event) *Model {
	m.t.Helper()
	writer := m.claim(m.projection)
	defer writer.Close()
	require.NoError(m.t, writer.Apply(m.t.Context(), events, end(events)))
	return m
}

// Expect compares the answer of a query, one slice a row. The search path is that
// of the projection, so its tables are unqualified.
func (m *Model) Expect(query string, rows ...[]any) *Model {
	m.t.Helper()
	var got [][]any
	m.within(func(tx pgx.Tx) error {
		answer, err := tx.Query(m.t.Context(), query)
		if err != nil {
			return err
		}
		got, err = pgx.CollectRows(answer, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
		return err
	})
	require.Len(m.t, got, len(rows), query)
	for i := range rows {
		for j := range rows[i] {
			require.EqualValues(m.t, rows[i][j], utc(got[i][j]), "%s\nrow %d, column %d", query, i, j)
		}
	}
	return m
}

// utc frees a time from the zone of the machine.
func utc(value any) any {
	if at, ok := value.(time.Time); ok {
		return at.UTC()
	}
	return value
}

// Rows is all that is in the tables: for each one its rows as JSON, in an order
// that depends on nothing but them.
func (m *Model) Rows() map[string][]string {
	m.t.Helper()
	tables := map[string][]string{}
	m.within(func(tx pgx.Tx) error {
		ctx := m.t.Context()
		answer, err := tx.Query(ctx, "select tablename::text from pg_tables where schemaname = $1", m.projection.Spec().SchemaName())
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(answer, pgx.RowTo[string])
		for _, name := range names {
			answer, queryErr := tx.Query(ctx, "select to_jsonb(t)::text from "+pgx.Identifier{name}.Sanitize()+` t order by to_jsonb(t)::text collate "C"`)
			if queryErr != nil {
				return queryErr
			}
			if tables[name], err = pgx.CollectRows(answer, pgx.RowTo[string]); err != nil {
				return err
			}
		}
		return err
	})
	return tables
}

func (m *Model) within(work func(pgx.Tx) error) {
	m.t.Helper()
	options := pgx.TxOptions{AccessMode: pgx.ReadOnly}
	require.NoError(m.t, pgx.BeginTxFunc(m.t.Context(), m.Pool, options, func(tx pgx.Tx) error {
		if _, err := tx.Exec(m.t.Context(), "set local search_path = "+pgx.Identifier{m.projection.Spec().SchemaName()}.Sanitize()); err != nil {
			return err
		}
		return work(tx)
	}))
}

// claim makes an owner; p may be a projection that goes wrong on purpose.
func (m *Model) claim(p projections.Projection) *projections.Writer {
	m.t.Helper()
	return m.claimBy(p, projections.Ownership{Owner: "test"})
}

// claimBy makes an owner who may be one of several. The lock of one that was
// killed goes when its server has noticed.
func (m *Model) claimBy(p projections.Projection, o projections.Ownership) *projections.Writer {
	m.t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		writer, err := projections.Claim(m.t.Context(), m.Pool, p, o)
		if errors.Is(err, projections.ErrHeld) && time.Since(began) < patience {
			continue
		}
		require.NoError(m.t, err)
		return writer
	}
}

const patience = 30 * time.Second

func end(events []projections.Event) projections.Position {
	if len(events) == 0 {
		return projections.Position{}
	}
	return events[len(events)-1].Position
}

// A Story is what happened before a projection is asked.
type Story struct {
	t      testing.TB
	events []projections.Event
}

// Given begins a story: Given(t, events...).Apply(p).Expect("select ...", rows...).
func Given(t testing.TB, events ...projections.Event) Story { return Story{t, events} }

// Apply lets a projection hear the story.
func (s Story) Apply(p projections.Projection) *Model {
	s.t.Helper()
	return Empty(s.t, p).Apply(s.events...)
}

// A sabotaged projection does something else before or after its work.
type sabotaged struct {
	projections.Projection
	before func([]projections.Event) error
	after  func(context.Context, pgx.Tx) error
}

func (s sabotaged) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	if s.before != nil {
		if err := s.before(events); err != nil {
			return err
		}
	}
	if err := s.Projection.Apply(ctx, tx, events); err != nil {
		return err
	}
	if s.after != nil {
		return s.after(ctx, tx)
	}
	return nil
}
