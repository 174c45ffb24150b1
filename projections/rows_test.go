package projections_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
	"daybook.example/projections"
	"daybook.example/projections/postgres/postgrestest"
	"daybook.example/projections/projtest"
)

const everyType = "a int, b bigint, c bigint, d boolean, e uuid, f timestamptz, g date, h numeric, i int8range, j daterange, k text, l jsonb, m json, n bytea"

// Few rows go as statements, whose values are text that Postgres reads; many as a
// COPY of binary values. Each is the other's oracle.
func TestFewRowsAndManyAreStoredAlike(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	run(t, pool, "create table few ("+everyType+"); create table many (like few)")
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(drawRow), 64, 64).Draw(t, "rows")
		require.NoError(t, pgx.BeginFunc(context.Background(), pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(context.Background(), "truncate few, many"); err != nil {
				return err
			}
			var few, many projections.Writes
			for i := range rows {
				few.Insert("few", "a, b, c, d, e, f, g, h, i, j, k, l, m, n", 1, func(int) []any { return append([]any{}, rows[i]...) })
			}
			many.Insert("many", "a, b, c, d, e, f, g, h, i, j, k, l, m, n", len(rows), func(i int) []any { return rows[i] })
			return errors.Join(few.Send(context.Background(), tx), many.Send(context.Background(), tx))
		}))
		var differing int
		require.NoError(t, pool.QueryRow(context.Background(), `select count(*) from (
			(select few::text from few except all select many::text from many) union all (select many::text from many except all select few::text from few)) d`).Scan(&differing))
		require.Zero(t, differing)
	})
}

func drawRow(t *rapid.T) []any {
	text := rapid.StringOf(rapid.RuneFrom([]rune("a\t\n\r\\\"'é☃{},0"))).Draw(t, "text")
	quoted, err := json.Marshal(text)
	require.NoError(t, err)
	day := rapid.Map(rapid.IntRange(-800_000, 2_000_000), func(n int) domain.Date { return domain.MustDate("2000-01-01").AddDays(n) })
	from := day.Filter(func(d domain.Date) bool {
		return !d.Before(domain.MustDate("0001-01-01")) && d.Before(domain.MustDate("9990-01-01"))
	})
	first := from.Draw(t, "from")
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,23})(\.[0-9]{1,12})?`).
		Filter(func(s string) bool { return s[0] != '-' || strings.ContainsAny(s, "123456789") }).Draw(t, "number")
	at := rapid.Int64Range(1, 1<<60).Draw(t, "position")
	row := []any{
		int(rapid.Int32().Draw(t, "int")), rapid.Int64().Draw(t, "bigint"), rapid.Uint64Range(0, math.MaxInt64).Draw(t, "revision"), rapid.Bool().Draw(t, "bool"),
		uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid")), time.UnixMicro(rapid.Int64Range(-1<<53, 1<<53).Draw(t, "micros")),
		from.Draw(t, "date"), domain.MustDecimal(number), projections.Positions{From: at}, projections.Days{From: first},
		text, json.RawMessage(quoted), string(quoted), []byte(text),
	}
	if rapid.Bool().Draw(t, "closed") {
		row[8], row[9] = projections.Positions{From: at, To: at + 1}, projections.Days{To: first}
	}
	for i := range row {
		if rapid.IntRange(0, 9).Draw(t, "null") == 0 {
			row[i] = nil
		}
	}
	return row
}

// The rows are made in a goroutine of the connection's, where a panic would end
// the program.
func TestAPanicInARowIsAnError(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	run(t, pool, "create table numbers (n bigint)")
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		var writes projections.Writes
		writes.Insert("numbers", "n", 100, func(i int) []any {
			if i == 90 {
				panic("canary")
			}
			return []any{int64(i)}
		})
		return writes.Send(t.Context(), tx)
	})
	require.EqualError(t, err, "panic")
}

func TestStatementsAndRowsAreWrittenInTheirOrder(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	run(t, pool, "create table numbers (n bigint unique)")
	row := func(i int) []any { return []any{int64(i)} }
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		var writes projections.Writes
		writes.Insert("numbers", "n", 3, row)
		writes.Queue("delete from numbers")
		writes.Insert("numbers", "n", 100, row)
		writes.Queue("delete from numbers where n > 1")
		writes.Queue("update numbers set n = n + 10")
		writes.Insert("numbers", "n", 2, row)
		return writes.Send(t.Context(), tx)
	}))
	var all []int64
	require.NoError(t, pool.QueryRow(t.Context(), "select array_agg(n order by n) from numbers").Scan(&all))
	require.Equal(t, []int64{0, 1, 10, 11}, all)
}

func TestWhatFollowsIsAskedForWhenAllRowsBeforeItAreMade(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	run(t, pool, "create table numbers (n bigint unique)")
	for _, count := range []int{0, 2, 100} {
		var sum int64
		require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			var writes projections.Writes
			writes.Queue("truncate numbers")
			writes.Insert("numbers", "n", count, func(i int) []any {
				sum++
				return []any{int64(i)}
			})
			writes.Then(func(more *projections.Writes) { more.Queue("insert into numbers values ($1)", 1000+sum) })
			writes.Queue("update numbers set n = -n")
			return writes.Send(t.Context(), tx)
		}))
		var last, rows int
		require.NoError(t, pool.QueryRow(t.Context(), "select min(n), count(*) from numbers").Scan(&last, &rows))
		require.Equal(t, []int{-1000 - count, count + 1}, []int{last, rows})
	}
}

// An adding projection adds a row and then says how many there are: it reads what
// it has just written, and writes again behind that.
type adding struct{ hits int }

func (adding) Spec() projections.Spec {
	return projections.Spec{Name: "adding", Version: 1, Schema: "create table numbers (n bigint); create table totals (n bigint)"}
}

var errAmiss = errors.New("the rows are not what they were")

func (a adding) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	var first, second projections.Writes
	first.Queue("insert into numbers values ($1)", len(events))
	if err := first.Send(ctx, tx); err != nil {
		return err
	}
	var total int64
	if err := tx.QueryRow(ctx, "select sum(n) from numbers").Scan(&total); err != nil {
		return err
	}
	second.Queue("insert into totals values ($1)", total)
	second.Hit(a.hits, errAmiss, "update numbers set n = n where n = $1", len(events))
	second.Queue("insert into totals values ($1)", -total)
	return second.Send(ctx, tx)
}

// What a projection writes last goes to the server together with the commit, whose
// statement is there before anybody has looked at the results.
func TestGivenAnUpdateThatMissesItsRowsWhenTheCommitIsSentBehindItThenNothingIsCommitted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hits int
		err  error
		want []int64
	}{
		"the control: it hits": {1, nil, []int64{-2, 2}},
		"it misses":            {2, errAmiss, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := adding{c.hits}
			m := projtest.Empty(t, p)
			writer, err := projections.Claim(t.Context(), m.Pool, p, projections.Ownership{Owner: "test"})
			require.NoError(t, err)
			t.Cleanup(writer.Close)
			events := projtest.NewLog(t).Append(noon, "claim-test-0", taken(), taken())

			before := writer.Checkpoint()
			require.ErrorIs(t, writer.Apply(t.Context(), events, events[1].Position), c.err)
			require.Equal(t, c.err == nil, before != writer.Checkpoint())
			var totals []int64
			require.NoError(t, m.Pool.QueryRow(t.Context(), "select array_agg(n order by n) from rm_adding_v1.totals").Scan(&totals))
			require.Equal(t, c.want, totals)
			var at int64
			require.NoError(t, m.Pool.QueryRow(t.Context(), "select commit_pos from daybook.projection_checkpoint where name = 'adding'").Scan(&at))
			require.Equal(t, int64(writer.Checkpoint().Position.Commit), at)
		})
	}
}
