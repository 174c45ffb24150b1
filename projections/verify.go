package projections

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"daybook.example/eventstore"
)

const (
	verifyPatience = 10 * time.Second // for the active version to come as far
	verifyEvery    = 100 * time.Millisecond
	verifyPage     = 512
)

// A Verification compares a new version with the active one when both have
// applied exactly the same events.
type Verification struct {
	Version  int       `json:"version"`           // the one it was compared with
	Position Position  `json:"position"`          // of both
	Tables   []Compare `json:"tables,omitempty"`  // in the order of their names
	Omitted  string    `json:"omitted,omitempty"` // why nothing could be compared
	Summary  string    `json:"summary"`           // in words
	// NewCode says that the two were made by code of different versions, so that
	// rows may differ.
	NewCode bool `json:"new_code,omitempty"`
}

// Compare is a table that both versions have, by the columns that both have.
type Compare struct {
	Table  string `json:"table"`
	Rows   int64  `json:"rows"`
	Before int64  `json:"before"` // rows of the active version
	Same   bool   `json:"same"`   // all rows are
}

// Same reports whether all tables are there and have the same rows.
func (v *Verification) Same() bool {
	return v.Omitted == "" && !slices.ContainsFunc(v.Tables, func(c Compare) bool { return !c.Same })
}

func (v *Verification) String() string {
	if v.Omitted != "" {
		return v.Omitted
	}
	var differ []string
	for _, c := range v.Tables {
		if !c.Same {
			differ = append(differ, fmt.Sprintf("%s (%d rows, before %d)", c.Table, c.Rows, c.Before))
		}
	}
	if len(differ) == 0 {
		return fmt.Sprintf("the same rows as version %d at %s", v.Version, v.Position)
	}
	return fmt.Sprintf("other rows than version %d at %s in %s", v.Version, v.Position, strings.Join(differ, ", "))
}

// verify compares the writer's version with the active one. The active one goes on
// meanwhile: it is read in a snapshot, and the writer is brought to the same place.
func verify(ctx context.Context, pool *pgxpool.Pool, store eventstore.Reader, w *Writer, code int) (*Verification, error) {
	for end := time.Now().Add(verifyPatience); ; sleep(ctx, verifyEvery) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, behind, err := verifyNow(ctx, pool, store, w, code)
		if err != nil || !behind || time.Now().After(end) {
			return found, err
		}
	}
}

// verifyNow looks once, and says whether the active version is behind.
func verifyNow(ctx context.Context, pool *pgxpool.Pool, store eventstore.Reader, w *Writer, code int) (v *Verification, behind bool, err error) {
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, pool, snapshot, func(before pgx.Tx) error {
		versions, err := Versions(ctx, before, w.spec.Name)
		if err != nil {
			return err
		}
		active := activeOf(versions)
		v = &Verification{Version: active.Version, Position: active.Checkpoint, NewCode: active.Code != code}
		if active.Checkpoint.Less(w.at.Position) {
			behind = true
			v.Omitted = fmt.Sprintf("version %d is %s at %s, behind this one, and cannot be compared", active.Version, active.State, active.Checkpoint)
			return nil
		}
		if err := w.advance(ctx, store, active.Checkpoint); err != nil {
			return err
		}
		return pgx.BeginTxFunc(ctx, pool, snapshot, func(after pgx.Tx) error {
			return v.compare(ctx, before, after, active.Version, w.spec)
		})
	})
	return v, behind, err
}

// advance applies what the log holds up to and with a position.
func (w *Writer) advance(ctx context.Context, store eventstore.Reader, to Position) error {
	for from := w.at.Position; from.Less(to); {
		page, err := store.ReadAll(ctx, from, eventstore.Forwards, verifyPage)
		if err != nil {
			return err
		}
		var events []Event
		for _, e := range page {
			if from.Less(e.Position) && !to.Less(e.Position) && !e.System() {
				events = append(events, Decode(e))
			}
		}
		next := to
		if n := len(page); n > 0 && from.Less(page[n-1].Position) && page[n-1].Position.Less(to) {
			next = page[n-1].Position
		}
		if err := w.Apply(ctx, events, next); err != nil {
			return err
		}
		from = next
	}
	return nil
}

// compare fills in the tables. One that cannot be read, since it is gone, is what
// a rebuild is to mend: it differs.
func (v *Verification) compare(ctx context.Context, before, after pgx.Tx, active int, spec Spec) error {
	former := Spec{Name: spec.Name, Version: active}
	was, err := columnsOf(ctx, before, former)
	if err != nil {
		return err
	}
	is, err := columnsOf(ctx, after, spec)
	if err != nil {
		return err
	}
	for _, table := range slices.Sorted(maps.Keys(is)) {
		shared := slices.DeleteFunc(slices.Clone(is[table]), func(column string) bool { return !slices.Contains(was[table], column) })
		if len(shared) == 0 {
			v.Tables = append(v.Tables, Compare{Table: table, Same: v.NewCode})
			continue
		}
		old, err := digest(ctx, before, former, table, shared)
		if err != nil {
			return err
		}
		now, err := digest(ctx, after, spec, table, shared)
		if err != nil {
			return err
		}
		v.Tables = append(v.Tables, Compare{Table: table, Rows: now.rows, Before: old.rows, Same: now == old})
	}
	return nil
}

// A sum of rows depends on no order of them.
type sum struct {
	rows int64
	hash string
}

func digest(ctx context.Context, tx pgx.Tx, spec Spec, table string, columns []string) (s sum, err error) {
	names := make([]string, len(columns))
	for i, column := range columns {
		names[i] = pgx.Identifier{column}.Sanitize()
	}
	if _, err := tx.Exec(ctx, "set local timezone = 'UTC'"); err != nil {
		return s, err
	}
	err = tx.QueryRow(ctx, "select count(*), coalesce(sum(hashtextextended(r::text, 0)::numeric), 0)::text || ' ' || coalesce(sum(hashtextextended(r::text, 1)::numeric), 0)::text from (select "+
		strings.Join(names, ", ")+" from "+pgx.Identifier{spec.SchemaName(), table}.Sanitize()+") r").Scan(&s.rows, &s.hash)
	return s, err
}

// columnsOf are the columns of each table of a version, sorted.
func columnsOf(ctx context.Context, tx pgx.Tx, spec Spec) (map[string][]string, error) {
	rows, err := tx.Query(ctx, `select c.relname, a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
		where n.nspname = $1 and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped order by 1, 2`, spec.SchemaName())
	if err != nil {
		return nil, err
	}
	tables := map[string][]string{}
	var table, column string
	_, err = pgx.ForEachRow(rows, []any{&table, &column}, func() error {
		tables[table] = append(tables[table], column)
		return nil
	})
	return tables, err
}
