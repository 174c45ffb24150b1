package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"daybook.example/eventstore"
	"daybook.example/eventstore/seal"
	"daybook.example/projections"
	"daybook.example/projections/audit"
	"daybook.example/projections/employee"
	"daybook.example/projections/journal"
	"daybook.example/test/program"
)

const (
	toProject = 6_000 // changes of pay
	raisers   = 16    // clients who send them
	byHand    = 4096  // events of a batch without Watermill; with it, catching up, as many
)

// catchingUp measures reading a company's log beside projecting it into all read
// models, each time in a new database (P6), with one reading of the log for all
// and without; and one read model through Watermill and without (P9).
func (b *bench) catchingUp(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "daybook-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := b.work(ctx, dir); err != nil {
		return err
	}
	s, err := openStoreIn(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	keys, err := seal.Open(filepath.Join(dir, "keys"))
	if err != nil {
		return err
	}
	count, err := countAll(ctx, s.client)
	if err != nil {
		return err
	}
	read := &side{name: fmt.Sprintf("%d events: official client, catching up", count), clients: 1, events: count, one: func(ctx context.Context, _ int) error {
		return expect(count)(catchUp(ctx, s.client, count))
	}}
	everything := []projections.Projection{audit.New(), employee.New(keys), journal.New()}
	shared := projecting("the same: projected into all read models, one reading for all", count, s.client, throughWatermill(true), everything...)
	apart := projecting("the same: each reads by itself", count, s.client, throughWatermill(false), everything...)
	watermill := projecting("the same: projected into the audit log", count, s.client, throughWatermill(false), audit.New())
	plain := projecting("the same: without Watermill", count, s.client, withoutWatermill, audit.New())
	if err := b.turns(ctx, read, shared, apart, watermill, plain); err != nil {
		return err
	}
	b.atLeast("catching up / projecting (P6)", over(read.rates(), shared.rates()), 2)
	b.row("one reading for all / one each", spread(over(shared.rates(), apart.rates()), "%.2f"), "")
	b.row("the same, CPU but for Postgres", spread(over(shared.cpus(), apart.cpus()), "%.2f"), "")
	b.atLeast("through Watermill / without (P9)", over(watermill.rates(), plain.rates()), 0.95)
	return nil
}

// work lets a company change people's pay so many times, in a folder. There are
// few enough commands for the limit of what one principal may send.
func (b *bench) work(ctx context.Context, dir string) error {
	p, err := program.Start(ctx, program.Options{Binary: b.binary, Dir: dir, Args: []string{"--roles", "node,api"}, Live: true})
	if err != nil {
		return err
	}
	people, err := employ(ctx, p)
	if err == nil {
		clients, ctx := errgroup.WithContext(ctx)
		for client := range raisers {
			clients.Go(func() (err error) {
				for n := 0; n < toProject/raisers && err == nil; n++ {
					err = people.raise(ctx, client)
				}
				return err
			})
		}
		err = clients.Wait()
	}
	_, stopped := p.Stop(20 * time.Second)
	return errors.Join(err, stopped, p.DropCluster())
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

// projecting is a side that projects the whole log into a new database, whose
// making is not measured. The CPU is without that of Postgres.
func projecting(name string, count int, c *eventstore.Client, project projector, models ...projections.Projection) *side {
	return &side{name: name, events: count, run: func(ctx context.Context) (r round, err error) {
		d, err := openDatabase(ctx)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, d.close()) }()
		id, err := c.LogID(ctx)
		if err != nil {
			return r, err
		}
		head, err := c.Head(ctx)
		if err != nil {
			return r, err
		}
		if err := projections.Prepare(ctx, d.pool, id, models...); err != nil {
			return r, err
		}
		before, began := ownCPU(), time.Now()
		err = project(ctx, c, d, head, models)
		wall := time.Since(began)
		return round{each: times{wall}, wall: wall, cpu: ownCPU() - before}, err
	}}
}

// throughWatermill is what the program does, with one reading of the log or one
// for each model.
func throughWatermill(shared bool) projector {
	return func(ctx context.Context, c *eventstore.Client, d *database, to eventstore.Position, models []projections.Projection) error {
		options := projections.Options{Pool: d.pool, Store: c}
		if shared {
			feed, err := projections.NewFeed(c, nil)
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
	subscription, err := c.SubscribeAll(ctx, eventstore.Position{})
	if err != nil {
		return err
	}
	defer subscription.Close()
	var batch []projections.Event
	for at := (eventstore.Position{}); at.Less(to); {
		message, err := subscription.Recv(ctx)
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
		if len(batch) == byHand || len(batch) > 0 && !at.Less(to) {
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
