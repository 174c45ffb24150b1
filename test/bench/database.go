package main

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"daybook.example/projections/postgres"
)

// The least that an event store in Postgres needs: no place in the order of all
// events, no index of event IDs. All commits are synced.
const eventTable = `create table events (
	stream text, revision bigint, id uuid, type text, data bytea, metadata bytea, primary key (stream, revision))`

// A database is a private Postgres with nothing but that table.
type database struct {
	folder string
	server *postgres.Server
	pool   *pgxpool.Pool
	stored atomic.Int64 // events
	own    [writersMost]writer
}

func openDatabase(ctx context.Context) (*database, error) {
	d := &database{}
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *database) open(ctx context.Context) (err error) {
	if d.folder, err = os.MkdirTemp("", "daybook-raw-"); err != nil {
		return err
	}
	if d.server, err = postgres.Start(ctx, postgres.Options{Dir: d.folder}); err != nil {
		return err
	}
	url, err := postgres.Attach(d.folder)
	if err != nil {
		return err
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return err
	}
	config.MaxConns, config.MinConns = 64, 64
	if d.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	_, err = d.pool.Exec(ctx, eventTable)
	return err
}

// close stops and removes what has been opened.
func (d *database) close() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if d.pool != nil {
		d.pool.Close()
	}
	if d.server != nil {
		err = errors.Join(d.server.Stop(ctx), d.server.Remove())
	}
	return errors.Join(err, os.RemoveAll(d.folder))
}

// next is where a client's next event goes; streams are as long as the log's.
func (d *database) next(client int) (stream string, revision int64) {
	w := &d.own[client]
	if w.stream == "" || w.count == perStream {
		*w = writer{stream: uuid.NewString()}
	}
	w.count++
	return w.stream, w.count - 1
}

// insert stores one event in a transaction of its own.
func (d *database) insert(ctx context.Context, client int) error {
	stream, revision := d.next(client)
	_, err := d.pool.Exec(ctx, "insert into events values ($1, $2, $3, $4, $5, $6)", stream, revision, uuid.New(), eventType, eventData, eventMetadata)
	d.stored.Add(1)
	return err
}

// insertMany stores as many events as a stream has at once.
func (d *database) insertMany(ctx context.Context, _ int) error {
	var revisions []int64
	var ids []uuid.UUID
	var data, metadata [][]byte
	for i := range perStream {
		revisions, ids = append(revisions, int64(i)), append(ids, uuid.New())
		data, metadata = append(data, eventData), append(metadata, eventMetadata)
	}
	_, err := d.pool.Exec(ctx, `insert into events select $1, revision, id, $2, data, metadata
		from unnest($3::bigint[], $4::uuid[], $5::bytea[], $6::bytea[]) as e (revision, id, data, metadata)`,
		uuid.NewString(), eventType, revisions, ids, data, metadata)
	d.stored.Add(perStream)
	return err
}

func (d *database) anyStream(ctx context.Context) (stream string, err error) {
	return stream, d.pool.QueryRow(ctx, "select stream from events limit 1").Scan(&stream)
}

// load reads a stream.
func (d *database) load(ctx context.Context, of string) (n int, err error) {
	rows, err := d.pool.Query(ctx, "select stream, revision, id, type, data, metadata from events where stream = $1 order by revision", of)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var stream, kind string
	var revision int64
	var id uuid.UUID
	var data, metadata []byte
	for ; rows.Next(); n++ {
		if err := rows.Scan(&stream, &revision, &id, &kind, &data, &metadata); err != nil {
			return n, err
		}
	}
	return n, rows.Err()
}

// bytes is what the table and its index take on the disk.
func (d *database) bytes(ctx context.Context) (bytes int64, err error) {
	return bytes, d.pool.QueryRow(ctx, "select pg_total_relation_size('events')").Scan(&bytes)
}
