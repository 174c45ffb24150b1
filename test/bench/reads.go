package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"daybook.example/eventstore"
	"daybook.example/eventstore/seal"
	"daybook.example/projections"
	"daybook.example/test/program"
)

const (
	toRead  = 200_000         // events in the log that is read
	peerFor = 3 * time.Second // what the peer writes for the same, at some thousands a second

	toProject = 6_000 // changes of pay
	raisers   = 16    // clients who send them
)

// reads measures reading a stream of 100 events, and all events, beside the peers
// (of the CPU, P7).
func (b *bench) reads(ctx context.Context) error {
	return b.withStore(ctx, func(s *store, raw *database, peer *peer) error {
		if err := fill(ctx, s, toRead); err != nil {
			return err
		}
		if err := raw.insertMany(ctx, 0); err != nil {
			return err
		}
		stream := s.writers[0].stream
		inPostgres, err := raw.anyStream(ctx)
		if err != nil {
			return err
		}
		ours := &side{name: "stream of 100 events: official client", clients: 1, events: perStream, one: func(ctx context.Context, _ int) error {
			return expect(perStream)(countStream(ctx, s.client, stream))
		}}
		rows := &side{name: "stream of 100 events: pgx SELECT", clients: 1, events: perStream, one: func(ctx context.Context, _ int) error {
			return expect(perStream)(raw.load(ctx, inPostgres))
		}}
		all := &side{name: fmt.Sprintf("all events (%d): official client, catching up", toRead), clients: 1, events: toRead, one: func(ctx context.Context, _ int) error {
			return expect(toRead)(catchUp(ctx, s.client, toRead))
		}}
		sides := []*side{ours, rows, all}
		loads, everything, err := peer.reads()
		if err != nil {
			return err
		}
		if err := b.turns(ctx, append(append(sides, loads...), everything...)...); err != nil {
			return err
		}
		for _, n := range loads {
			b.atLeast("stream of 100 events: client / JetStream, events/s", over(ours.rates(), n.rates()), 1)
		}
		for _, n := range everything {
			b.atLeast("all events: client / JetStream, events/s", over(all.rates(), n.rates()), 1)
		}
		b.atMost("CPU us an event read: catching up, with the node (P7)", all.cpus(), "%.1f", 8)
		return nil
	})
}

// fill appends so many events in streams of 100.
func fill(ctx context.Context, s *store, events int) error {
	for range events / perStream {
		if err := s.engine(perStream)(ctx, 0); err != nil {
			return err
		}
	}
	return nil
}

func expect(count int) func(int, error) error {
	return func(n int, err error) error {
		if err == nil && n != count {
			err = fmt.Errorf("%d events were read and not %d", n, count)
		}
		return err
	}
}

func countStream(ctx context.Context, c *eventstore.Client, stream string) (n int, err error) {
	for _, err := range c.Stream(ctx, stream, 0) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// catchUp subscribes from the start until so many events have come.
func catchUp(ctx context.Context, c *eventstore.Client, count int) (n int, err error) {
	subscription, err := c.SubscribeAll(ctx, eventstore.Position{})
	if err != nil {
		return 0, err
	}
	defer subscription.Close()
	for n < count {
		message, err := subscription.Recv(ctx)
		if err != nil {
			return n, err
		}
		if message.Event != nil && !message.Event.System() {
			n++
		}
	}
	return n, nil
}

// catchingUp measures reading a company's log beside projecting it into all read
// models, each time in a new database (P6).
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
	project := &side{name: "the same: projected into all read models", events: count, run: func(ctx context.Context) (round, error) {
		return projected(ctx, s.client, keys)
	}}
	if err := b.turns(ctx, read, project); err != nil {
		return err
	}
	b.atLeast("catching up / projecting (P6)", over(read.rates(), project.rates()), 2)
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

// projected projects the whole log into a new database, whose making is not
// measured. The CPU is without that of Postgres.
func projected(ctx context.Context, c *eventstore.Client, keys *seal.Keyring) (r round, err error) {
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
	all := models(keys)
	if err := projections.Prepare(ctx, d.pool, id, all...); err != nil {
		return r, err
	}
	life, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	before, began := ownCPU(), time.Now()
	var runners []*projections.Runner
	for _, model := range all {
		runner := projections.NewRunner(projections.Options{Pool: d.pool, Store: c}, model)
		runners = append(runners, runner)
		running.Go(func() { _ = runner.Run(life) }) // WaitFor tells
	}
	for _, runner := range runners {
		if err := runner.WaitFor(ctx, head); err != nil {
			return r, err
		}
	}
	wall := time.Since(began)
	return round{each: times{wall}, wall: wall, cpu: ownCPU() - before}, nil
}
