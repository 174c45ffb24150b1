package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/eventstore"
	"daybook.example/eventstore/seal"
	"daybook.example/projections"
	"daybook.example/projections/audit"
	"daybook.example/projections/employee"
	"daybook.example/projections/journal"
)

const (
	applied   = 20_480 // events of a made-up company
	batchSize = 4096   // as when catching up
)

// models are the read models there are.
func models(keys *seal.Keyring) []projections.Projection {
	return []projections.Projection{audit.New(), employee.New(keys), journal.New()}
}

// withHistory runs work with a store that holds a made-up company's events.
func (b *bench) withHistory(ctx context.Context, events int, staff bool, work func(*store, *history, *database) error) (err error) {
	s, err := openStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	d, err := openDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	keys, err := seal.Create(filepath.Join(s.folder, "keys"))
	if err != nil {
		return err
	}
	h := newHistory(s.log, keys, staff)
	if err := h.grow(ctx, events); err != nil {
		return err
	}
	return work(s, h, d)
}

// projects measures, for each read model, the commits of batches of decoded
// events beside raw COPY of the rows that they leave, in turns (P8). Each is given
// the events that it takes.
func (b *bench) projects(ctx context.Context) error {
	for i, model := range models(nil) {
		name := model.Spec().Name
		err := b.withHistory(ctx, applied, name == employee.Name, func(s *store, h *history, d *database) error {
			model := models(h.keys)[i]
			events, err := decoded(ctx, s.client, model.Spec())
			if err != nil {
				return err
			}
			return b.project(ctx, d, model, events)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// decoded are all events that a projection takes.
func decoded(ctx context.Context, c *eventstore.Client, spec projections.Spec) (events []projections.Event, err error) {
	for recorded, err := range c.All(ctx, eventstore.Position{}) {
		if err != nil {
			return nil, err
		}
		if !recorded.System() && spec.Takes(recorded.Type) {
			events = append(events, projections.Decode(recorded))
		}
	}
	return events, nil
}

func (b *bench) project(ctx context.Context, d *database, model projections.Projection, events []projections.Event) error {
	t := &target{database: d, log: uuid.New(), model: model} // any log: no runner looks
	name := model.Spec().Name
	project := &side{name: name + ": projected in batches of 4096", events: len(events), run: func(ctx context.Context) (round, error) { return t.project(ctx, events) }}
	var rows []rows
	raw := &side{name: name + ": raw COPY of the same rows", events: len(events), run: func(ctx context.Context) (r round, err error) {
		if rows == nil {
			if rows, err = t.dump(ctx); err != nil {
				return r, err
			}
		}
		return t.copy(ctx, rows, len(events))
	}}
	if err := b.turns(ctx, project, raw); err != nil {
		return err
	}
	for _, r := range rows {
		b.row(fmt.Sprintf("%s: rows of %s an event", name, r.table), fmt.Sprintf("%.2f", float64(r.count)/float64(len(events))), "")
	}
	b.row(name+": projected, CPU us an event of this process", spread(project.cpus(), "%.1f"), "")
	b.row(name+": the same of Postgres", spread(t.server, "%.1f"), "")
	b.row(name+": raw COPY, CPU us an event of Postgres", spread(t.raw, "%.1f"), "")
	b.atLeast(name+": projected / COPY (P8)", over(project.rates(), raw.rates()), 0.75)
	return b.table.Flush()
}

// A target is a read model's tables, made anew for each turn.
type target struct {
	*database
	log         uuid.UUID
	model       projections.Projection
	server, raw []float64 // CPU microseconds an event, of Postgres: projecting, copying
}

// rows are the content of a table in COPY's binary form.
type rows struct {
	table   string
	count   int64
	content []byte
}

func (t *target) schema() string { return pgx.Identifier{t.model.Spec().SchemaName()}.Sanitize() }

// empty makes the tables anew, with all their indexes.
func (t *target) empty(ctx context.Context) error {
	if _, err := t.pool.Exec(ctx, "drop schema if exists daybook, read, api, "+t.schema()+" cascade"); err != nil {
		return err
	}
	return projections.Prepare(ctx, t.pool, t.log, t.model)
}

func (t *target) project(ctx context.Context, events []projections.Event) (r round, err error) {
	if err := t.empty(ctx); err != nil {
		return r, err
	}
	writer, err := projections.Claim(ctx, t.pool, t.model, projections.Ownership{Owner: "bench"})
	if err != nil {
		return r, err
	}
	defer writer.Close()
	var pid int
	if err := t.pool.QueryRow(ctx, "select pid from pg_locks where locktype = 'advisory'").Scan(&pid); err != nil {
		return r, err
	}
	before, server, began := ownCPU(), cpuOf(pid), time.Now()
	for batch := range slices.Chunk(events, batchSize) {
		if err := writer.Apply(ctx, batch, batch[len(batch)-1].Position); err != nil {
			return r, err
		}
	}
	wall := time.Since(began)
	t.server = append(t.server, perEvent(cpuOf(pid)-server, len(events)))
	return round{each: times{wall}, wall: wall, cpu: ownCPU() - before}, nil
}

func perEvent(d time.Duration, events int) float64 {
	return float64(d.Microseconds()) / float64(events)
}

// dump takes out what has been projected.
func (t *target) dump(ctx context.Context) (all []rows, err error) {
	conn, err := t.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	names, err := conn.Query(ctx, "select tablename::text from pg_tables where schemaname = $1 order by 1", t.model.Spec().SchemaName())
	if err != nil {
		return nil, err
	}
	tables, err := pgx.CollectRows(names, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	for _, table := range tables {
		var content bytes.Buffer
		tag, err := conn.Conn().PgConn().CopyTo(ctx, &content, "copy "+t.schema()+"."+table+" to stdout (format binary)")
		if err != nil {
			return nil, err
		}
		all = append(all, rows{table, tag.RowsAffected(), content.Bytes()})
	}
	return all, nil
}

// copy is the raw side: one COPY for each table, in one transaction.
func (t *target) copy(ctx context.Context, all []rows, events int) (r round, err error) {
	if err := t.empty(ctx); err != nil {
		return r, err
	}
	before, began := ownCPU(), time.Now()
	err = pgx.BeginFunc(ctx, t.pool, func(tx pgx.Tx) error {
		pid := int(tx.Conn().PgConn().PID())
		server := cpuOf(pid)
		defer func() { t.raw = append(t.raw, perEvent(cpuOf(pid)-server, events)) }()
		if _, err := tx.Exec(ctx, "set local synchronous_commit = off"); err != nil {
			return err
		}
		for _, rows := range all {
			_, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(rows.content), "copy "+t.schema()+"."+rows.table+" from stdin (format binary)")
			if err != nil {
				return err
			}
		}
		return nil
	})
	wall := time.Since(began)
	return round{each: times{wall}, wall: wall, cpu: ownCPU() - before}, err
}
