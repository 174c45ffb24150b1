package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"daybook.example/eventstore"
	"daybook.example/eventstore/subscription"
	"daybook.example/projections"
	"daybook.example/projections/audit"
)

// catchingUp measures reading a made-up company's log beside projecting it into
// all read models, each time in new tables (P6), with one reading of the log for
// all and without; and one read model through Watermill and without (P9).
func (b *bench) catchingUp(ctx context.Context) error {
	return b.withHistory(ctx, applied, true, func(s *store, h *history, d *database) error {
		if err := nameLog(ctx, s.client); err != nil {
			return err
		}
		count, err := countAll(ctx, s.client)
		if err != nil {
			return err
		}
		return b.compareProjecting(ctx, s.client, d, count, models(h.keys))
	})
}

// nameLog gives a log its name, without which no runner starts.
func nameLog(ctx context.Context, c *eventstore.Client) error {
	_, err := c.NameLog(ctx, eventstore.Proposed{ID: uuid.New(), Type: "log-named", Data: fmt.Appendf(nil, `{"log_id":%q}`, uuid.New()), Metadata: []byte(`{}`)})
	return err
}

func (b *bench) compareProjecting(ctx context.Context, c *eventstore.Client, d *database, count int, everything []projections.Projection) error {
	read := &side{name: fmt.Sprintf("%d events: official client, catching up", count), clients: 1, events: count, one: func(ctx context.Context, _ int) error {
		return expect(count)(catchUp(ctx, c, count))
	}}
	shared := projecting("the same: projected into all read models, one reading for all", count, c, d, throughWatermill(true), everything...)
	apart := projecting("the same: each reads by itself", count, c, d, throughWatermill(false), everything...)
	watermill := projecting("the same: projected into the audit log", count, c, d, throughWatermill(false), audit.New())
	plain := projecting("the same: without Watermill", count, c, d, withoutWatermill, audit.New())
	if err := b.turns(ctx, read, shared, apart, watermill, plain); err != nil {
		return err
	}
	b.atLeast("catching up / projecting (P6)", over(read.rates(), shared.rates()), 2)
	b.row("one reading for all / one each", spread(over(shared.rates(), apart.rates()), "%.2f"), "")
	b.row("the same, CPU but for Postgres", spread(over(shared.cpus(), apart.cpus()), "%.2f"), "")
	b.atLeast("through Watermill / without (P9)", over(watermill.rates(), plain.rates()), 0.95)
	return nil
}

func countAll(ctx context.Context, c *eventstore.Client) (n int, err error) {
	for event, err := range c.All(ctx, eventstore.Position{}) {
		if err != nil {
			return n, err
		}
		if !event.System() {
			n++
		}
	}
	return n, nil
}

// A projector projects the log up to a position into prepared models.
type projector func(ctx context.Context, c *eventstore.Client, d *database, to eventstore.Position, models []projections.Projection) error

// projecting is a side that projects the whole log into new tables, whose making
// is not measured. The CPU is without that of Postgres.
func projecting(name string, count int, c *eventstore.Client, d *database, project projector, models ...projections.Projection) *side {
	return &side{name: name, events: count, run: func(ctx context.Context) (r round, err error) {
		id, err := c.LogID(ctx)
		if err != nil {
			return r, err
		}
		head, err := c.Head(ctx)
		if err != nil {
			return r, err
		}
		if err := renew(ctx, d, id, models); err != nil {
			return r, err
		}
		before, began := ownCPU(), time.Now()
		err = project(ctx, c, d, head, models)
		wall := time.Since(began)
		return round{each: times{wall}, wall: wall, cpu: ownCPU() - before}, err
	}}
}

// renew makes the models' tables anew.
func renew(ctx context.Context, d *database, log uuid.UUID, models []projections.Projection) error {
	schemas := []string{"daybook", "read", "api"}
	for _, model := range models {
		schemas = append(schemas, model.Spec().SchemaName())
	}
	for _, schema := range schemas {
		if _, err := d.pool.Exec(ctx, "drop schema if exists "+schema+" cascade"); err != nil {
			return err
		}
	}
	return projections.Prepare(ctx, d.pool, log, models...)
}

// throughWatermill is what the program does, with one reading of the log or one
// for each model.
func throughWatermill(shared bool) projector {
	return func(ctx context.Context, c *eventstore.Client, d *database, to eventstore.Position, models []projections.Projection) error {
		options := projections.Options{Pool: d.pool, Store: c}
		if shared {
			feed, err := projections.NewFeed(subscription.FeedConfig{Client: c})
			if err != nil {
				return err
			}
			options.Feed = feed
		}
		runners, stop := run(ctx, options, models)
		defer stop()
		for _, runner := range runners {
			if err := runner.WaitFor(ctx, to); err != nil {
				return err
			}
		}
		return nil
	}
}

// withoutWatermill reads and decodes ahead by two batches and commits, as the
// program would without messages.
func withoutWatermill(ctx context.Context, c *eventstore.Client, d *database, to eventstore.Position, models []projections.Projection) error {
	writer, err := projections.Claim(ctx, d.pool, models[0], projections.Ownership{Owner: "bench"})
	if err != nil {
		return err
	}
	defer writer.Close()
	batches := make(chan []projections.Event, 2)
	reading, ctx := errgroup.WithContext(ctx)
	reading.Go(func() error {
		defer close(batches)
		return readBatches(ctx, c, to, batches)
	})
	for batch := range batches {
		if err := writer.Apply(ctx, batch, batch[len(batch)-1].Position); err != nil {
			return err
		}
	}
	return reading.Wait()
}

func readBatches(ctx context.Context, c *eventstore.Client, to eventstore.Position, batches chan<- []projections.Event) error {
	all, err := c.SubscribeAll(ctx, eventstore.Position{})
	if err != nil {
		return err
	}
	defer all.Close()
	var batch []projections.Event
	for at := (eventstore.Position{}); at.Less(to); {
		message, err := all.Recv(ctx)
		if err != nil {
			return err
		}
		if message.Event == nil {
			continue
		}
		at = message.Event.Position
		if !message.Event.System() {
			batch = append(batch, projections.Decode(*message.Event))
		}
		if len(batch) == batchSize || len(batch) > 0 && !at.Less(to) {
			select {
			case batches <- batch:
			case <-ctx.Done():
				return ctx.Err()
			}
			batch = nil
		}
	}
	return nil
}
