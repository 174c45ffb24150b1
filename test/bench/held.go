package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/eventstore"
	"daybook.example/eventstore/subscription"
	"daybook.example/projections"
)

const (
	heldRate = 200    // appends a second
	passing  = 20_000 // events that go by first: who is held back falls out of the feed's window
)

// A gated read model counts the events of each stream, unless it is held back.
type gated struct {
	name string
	gate *gate
}

// A gate can be shut: who comes then waits until it is opened.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while it is open
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) unlock() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
}

func (g *gate) pass(ctx context.Context) error {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Spec is that of a projection that takes all events.
func (g gated) Spec() projections.Spec {
	return projections.Spec{Name: g.name, Version: 1, Schema: "create table tally (stream text primary key, n bigint not null)"}
}

// Apply adds a batch up.
func (g gated) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	if err := g.gate.pass(ctx); err != nil {
		return err
	}
	counts := map[string]int64{}
	for _, event := range events {
		counts[event.Stream]++
	}
	var streams []string
	var numbers []int64
	for stream, n := range counts {
		streams, numbers = append(streams, stream), append(numbers, n)
	}
	var writes projections.Writes
	writes.Queue(`insert into tally select * from unnest($1::text[], $2::bigint[])
		on conflict (stream) do update set n = tally.n + excluded.n`, streams, numbers)
	return writes.Send(ctx, tx)
}

// held measures how long after an append's answer its event is in two read models,
// while a third is held back and while it is not.
func (b *bench) held(ctx context.Context) error {
	return b.withStore(ctx, func(s *store, d *database, _ *peer) error {
		door, free := newGate(), newGate()
		models := []projections.Projection{gated{"held", door}, gated{"one", free}, gated{"other", free}}
		return projectingAll(ctx, s, d, models, func(feed *subscription.Feed, runners []*projections.Runner) error {
			return b.compareHeld(ctx, s, feed, door, runners)
		})
	})
}

// projectingAll runs work while new read models are projected, with one reading
// of the log for all.
func projectingAll(ctx context.Context, s *store, d *database, models []projections.Projection, work func(*subscription.Feed, []*projections.Runner) error) error {
	if err := nameLog(ctx, s.client); err != nil {
		return err
	}
	id, err := s.client.LogID(ctx)
	if err != nil {
		return err
	}
	feed, err := projections.NewFeed(subscription.FeedConfig{Client: s.client})
	if err != nil {
		return err
	}
	if err := projections.Prepare(ctx, d.pool, id, models...); err != nil {
		return err
	}
	runners, stop := run(ctx, projections.Options{Pool: d.pool, Store: s.client, Feed: feed}, models)
	defer stop()
	return work(feed, runners)
}

// run starts the runners of prepared models.
func run(ctx context.Context, options projections.Options, models []projections.Projection) (runners []*projections.Runner, stop func()) {
	life, end := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, model := range models {
		runner := projections.NewRunner(options, model)
		runners = append(runners, runner)
		running.Go(func() { _ = runner.Run(life) }) // WaitFor tells
	}
	return runners, func() { end(); running.Wait() }
}

// compareHeld takes turns: all free, then one of them held back. The first turn
// warms up and does not count.
func (b *bench) compareHeld(ctx context.Context, s *store, feed *subscription.Feed, door *gate, runners []*projections.Runner) error {
	var free, behind []float64
	var all [2]times
	for turn := range 2*b.pairs + 1 {
		holding := turn > 0 && turn%2 == 0
		if holding {
			door.shut()
		}
		err := passBy(ctx, s, runners[1:])
		if err != nil {
			return err
		}
		seen, last, err := stream(ctx, s, runners[1:], b.holdFor)
		if holding {
			door.unlock()
		}
		if err == nil {
			err = runners[0].WaitFor(ctx, last)
		}
		if err != nil {
			return err
		}
		switch p99 := float64(seen.percentile(0.99)); {
		case holding:
			behind, all[1] = append(behind, p99), append(all[1], seen...)
		case turn > 0:
			free, all[0] = append(free, p99), append(all[0], seen...)
		}
	}
	b.row(fmt.Sprintf("%d/s, none held back: from append to two read models", heldRate), all[0].String(), "")
	b.row(fmt.Sprintf("the same, a third one held back for %s", b.holdFor), all[1].String(), "")
	b.row("times that it was left behind and read alone", fmt.Sprint(feed.Stats().Detours), "")
	b.atMost("held back / not, p99", over(behind, free), "%.2f", 1.2)
	return nil
}

// passBy appends many events and waits until some read models have them.
func passBy(ctx context.Context, s *store, runners []*projections.Runner) error {
	if err := fill(ctx, s, passing); err != nil {
		return err
	}
	head, err := s.client.Head(ctx)
	for _, runner := range runners {
		if err == nil {
			err = runner.WaitFor(ctx, head)
		}
	}
	return err
}

// stream appends at a steady rate and measures from each answer until all of some
// read models have the event.
func stream(ctx context.Context, s *store, runners []*projections.Runner, during time.Duration) (seen times, last eventstore.Position, err error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	began := time.Now()
	for n := 0; time.Since(began) < during && err == nil; n++ {
		err = sleep(ctx, time.Until(began.Add(time.Duration(n)*time.Second/heldRate)))
		all.Go(func() {
			position, took, failed := visibleIn(ctx, s, fmt.Sprint("claim-held-", n%writersMost), runners)
			mu.Lock()
			defer mu.Unlock()
			seen, err = append(seen, took), errors.Join(err, failed)
			if last.Less(position) {
				last = position
			}
		})
	}
	all.Wait()
	return seen, last, err
}

// visibleIn appends an event and waits until it is in all the read models.
func visibleIn(ctx context.Context, s *store, stream string, runners []*projections.Runner) (eventstore.Position, time.Duration, error) {
	written, err := s.client.Append(ctx, stream, eventstore.Any, []eventstore.Proposed{{ID: uuid.New(), Type: eventType, Data: eventData, Metadata: eventMetadata}})
	answered := time.Now()
	for _, runner := range runners {
		if err == nil {
			err = runner.WaitFor(ctx, written.Position)
		}
	}
	return written.Position, time.Since(answered), err
}
