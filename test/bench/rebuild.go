package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/domain/book"
	"daybook.example/domain/journal"
	"daybook.example/eventstore"
	"daybook.example/eventstore/subscription"
	"daybook.example/projections"
)

const peerRebuilds = 10_000 // events that the peer is given, at some thousands a second

// rebuilds measures making all read models from an existing log, over the node and
// one feed, of a tenth of the events and of all, and one small
// projection beside JetStream's (P12).
func (b *bench) rebuilds(ctx context.Context) error {
	return b.withHistory(ctx, b.events/10, false, func(s *store, h *history, d *database) error {
		if err := nameLog(ctx, s.client); err != nil {
			return err
		}
		r := rebuild{d, s.client}
		few, err := b.rebuildAll(ctx, r, h)
		if err != nil {
			return err
		}
		if err := h.grow(ctx, b.events); err != nil {
			return err
		}
		many, err := b.rebuildAll(ctx, r, h)
		if err != nil {
			return err
		}
		b.atMost("time an event: ten times as many / few (P12)", []float64{few.perSecond / many.perSecond}, "%.2f", 1.1)
		b.row("the same of CPU", fmt.Sprintf("%.2f", many.cpu/few.cpu), "")
		return b.besidePeer(ctx, r)
	})
}

// A rebuild projects a whole log into tables that are not there yet.
type rebuild struct {
	*database
	client *eventstore.Client
}

type rebuilt struct{ perSecond, cpu float64 }

// rebuildAll makes all read models.
func (b *bench) rebuildAll(ctx context.Context, r rebuild, h *history) (rebuilt, error) {
	before, began := ownCPU(), time.Now()
	server, err := r.run(ctx, models(h.keys)...)
	if err != nil {
		return rebuilt{}, err
	}
	rows := time.Since(began)
	if err := r.index(ctx, models(h.keys)...); err != nil {
		return rebuilt{}, err
	}
	all := time.Since(began)
	own := perEvent(ownCPU()-before, h.events)
	done := rebuilt{float64(h.events) / all.Seconds(), own + perEvent(server, h.events)}
	b.row(fmt.Sprintf("%d events into all read models", h.events), fmt.Sprintf("%.0f events/s, %s and %s of it the indexes", done.perSecond, short(all), short(all-rows)), "")
	b.row("CPU us an event: node, feed and folds; Postgres", fmt.Sprintf("%.1f; %.1f", own, perEvent(server, h.events)), "")
	return done, b.table.Flush()
}

// run projects to the head, side by side, and returns the CPU of Postgres.
func (r rebuild) run(ctx context.Context, all ...projections.Projection) (time.Duration, error) {
	id, err := r.client.LogID(ctx)
	if err != nil {
		return 0, err
	}
	head, err := r.client.Head(ctx)
	if err != nil {
		return 0, err
	}
	bare, err := r.prepare(ctx, id, all)
	if err != nil {
		return 0, err
	}
	before, err := r.cpu(ctx)
	if err != nil {
		return 0, err
	}
	feed, err := projections.NewFeed(subscription.FeedConfig{Client: r.client})
	if err != nil {
		return 0, err
	}
	runners, stop := run(ctx, projections.Options{Pool: r.pool, Store: r.client, Feed: feed}, bare)
	defer stop()
	for _, runner := range runners {
		if err := runner.WaitFor(ctx, head); err != nil {
			return 0, err
		}
	}
	after, err := r.cpu(ctx)
	return after - before, err
}

// prepare makes the tables anew, without their secondary indexes.
func (r rebuild) prepare(ctx context.Context, log uuid.UUID, all []projections.Projection) (bare []projections.Projection, err error) {
	drop := "drop schema if exists daybook, read, api"
	for _, model := range all {
		drop += ", " + pgx.Identifier{model.Spec().SchemaName()}.Sanitize()
		bare = append(bare, unindexed{model})
	}
	if _, err := r.pool.Exec(ctx, drop+" cascade"); err != nil {
		return nil, err
	}
	return bare, projections.Prepare(ctx, r.pool, log, bare...)
}

// index makes the secondary indexes, and the statistics.
func (r rebuild) index(ctx context.Context, all ...projections.Projection) error {
	for _, model := range all {
		err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "set local search_path = "+pgx.Identifier{model.Spec().SchemaName()}.Sanitize()); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, model.Spec().Index)
			return err
		})
		if err != nil {
			return err
		}
	}
	_, err := r.pool.Exec(ctx, "analyze")
	return err
}

// cpu is what the server's present connections have used.
func (r rebuild) cpu(ctx context.Context) (total time.Duration, err error) {
	rows, err := r.pool.Query(ctx, "select pid from pg_stat_activity where backend_type = 'client backend'")
	if err != nil {
		return 0, err
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	for _, pid := range pids {
		total += cpuOf(pid)
	}
	return total, err
}

// An unindexed projection leaves its secondary indexes for later.
type unindexed struct{ projections.Projection }

func (u unindexed) Spec() projections.Spec {
	spec := u.Projection.Spec()
	spec.Index = ""
	return spec
}

// besidePeer lets JetStream and us make the same small projection.
func (b *bench) besidePeer(ctx context.Context, r rebuild) (err error) {
	if b.peers == "" {
		b.row("NATS JetStream: skipped", "its program was not given with -peers", "")
		return nil
	}
	p, err := openPeer(ctx, b.peers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	file := filepath.Join(r.folder, "events")
	count, err := r.export(ctx, file)
	if err != nil {
		return err
	}
	if _, err := p.ask("publish %d %s", peerRebuilds, file); err != nil {
		return err
	}
	ours := &side{name: "count and sum of each stream: ours", events: count, run: func(ctx context.Context) (round, error) {
		before, began := ownCPU(), time.Now()
		_, err := r.run(ctx, tallies{})
		wall := time.Since(began)
		return round{each: times{wall}, wall: wall, cpu: ownCPU() - before}, err
	}}
	theirs := func(name string, size int) *side {
		return &side{name: name, events: peerRebuilds, run: func(context.Context) (round, error) {
			m, err := p.ask("rebuild %d %s", size, r.pool.Config().ConnString())
			return round{each: times{m.Wall}, wall: m.Wall, cpu: m.CPU}, err
		}}
	}
	each := theirs("the same: NATS JetStream, a transaction for each message", 1)
	batched := theirs("the same: NATS JetStream, a transaction for 4096 messages", batchSize)
	if err := b.turns(ctx, ours, each, batched); err != nil {
		return err
	}
	b.row("CPU us an event, but for Postgres: ours, with the node; JetStream; the same for 4096",
		fmt.Sprintf("%s; %s; %s", spread(ours.cpus(), "%.1f"), spread(each.cpus(), "%.1f"), spread(batched.cpus(), "%.1f")), "")
	b.atLeast("ours / JetStream, a transaction for each message (P12)", over(ours.rates(), each.rates()), 10)
	b.row("ours / JetStream, a transaction for 4096 messages", spread(over(ours.rates(), batched.rates()), "%.2f"), "")
	return b.table.Flush()
}

// An exported event is a line of the file that the peer publishes.
type exported struct {
	Stream string          `json:"stream"`
	Data   json.RawMessage `json:"data"`
}

// export writes what the peer is to publish, and counts all events.
func (r rebuild) export(ctx context.Context, file string) (count int, err error) {
	f, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := json.NewEncoder(f)
	for event, err := range r.client.All(ctx, eventstore.Position{}) {
		if err != nil {
			return count, err
		}
		if event.System() {
			continue
		}
		if count++; count <= peerRebuilds {
			if err := lines.Encode(exported{event.Stream, event.Data}); err != nil {
				return count, err
			}
		}
	}
	return count, nil
}

// tallies counts the events of each stream, and sums what they debit, in cents.
type tallies struct{}

type sums struct{ count, cents int64 }

func (tallies) Spec() projections.Spec {
	return projections.Spec{Name: "sums", Version: 1, Schema: "create table sums (stream text primary key, count bigint not null, cents bigint not null)"}
}

func (tallies) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	return projections.Fold[string, sums]{
		Key:  func(e projections.Event) (string, bool) { return e.Stream, true },
		Load: loadTallies,
		Apply: func(row sums, e projections.Event) (sums, error) {
			return sums{row.count + 1, row.cents + debited(e)}, nil
		},
		Store: storeTallies,
	}.Run(ctx, tx, events)
}

func loadTallies(ctx context.Context, tx pgx.Tx, streams []string) (map[string]sums, error) {
	rows, err := tx.Query(ctx, "select stream, count, cents from sums where stream = any($1)", streams)
	if err != nil {
		return nil, err
	}
	found := map[string]sums{}
	var stream string
	var row sums
	_, err = pgx.ForEachRow(rows, []any{&stream, &row.count, &row.cents}, func() error {
		found[stream] = row
		return nil
	})
	return found, err
}

func storeTallies(ctx context.Context, tx pgx.Tx, rows iter.Seq2[string, sums]) error {
	var streams []string
	var counts, cents []int64
	for stream, row := range rows {
		streams, counts, cents = append(streams, stream), append(counts, row.count), append(cents, row.cents)
	}
	_, err := tx.Exec(ctx, `insert into sums select * from unnest($1::text[], $2::bigint[], $3::bigint[])
		on conflict (stream) do update set count = excluded.count, cents = excluded.cents`, streams, counts, cents)
	return err
}

func debited(e projections.Event) (cents int64) {
	var lines []journal.Line
	switch event := e.Decoded.(type) {
	case journal.EntryPosted:
		lines = event.Lines
	case journal.EntryReversed:
		lines = event.Lines
	}
	for _, line := range lines {
		if line.Side == book.Debit {
			amount, _ := strconv.ParseInt(strings.Replace(line.FunctionalAmount.Amount.String(), ".", "", 1), 10, 64) // of scale 2
			cents += amount
		}
	}
	return cents
}
