package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"daybook.example/commands/process"
	"daybook.example/projections"
)

// processInputs hands the log to the process managers. It fills no tables; the
// projections' runner gives it the order, one owner at a time, and a checkpoint.
type processInputs struct{ runtime *process.Runtime }

// Spec takes every event of ours, so that the processes know how far they are.
func (p processInputs) Spec() projections.Spec {
	spec := projections.Spec{Name: "processes", Version: 1, Outside: true}
	if p.runtime != nil {
		spec.Begin = p.runtime.Begin
	}
	return spec
}

// Apply leaves the transaction alone.
func (p processInputs) Apply(ctx context.Context, _ pgx.Tx, events []projections.Event) error {
	handed := make([]process.Event, len(events))
	for i, e := range events {
		handed[i] = process.Event{Recorded: e.Recorded, Meta: e.Meta, Decoded: e.Decoded, Err: e.Err}
	}
	return p.runtime.Apply(ctx, handed)
}

// prepared are all projections that have something in the database.
func (h *house) prepared() []projections.Projection {
	models := readModels(h.keys)
	if h.roles.processes {
		models = append(models, processInputs{})
	}
	return models
}

// runProcesses runs the process managers. Where another process does so already
// it stands by.
func (h *house) runProcesses(ctx context.Context) {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.processes = process.New(process.Options{
		Handlers: h.handlers, Store: h.store.Reader, Clock: h.clock.now, Logger: h.logger, Registry: h.registry,
	})
	runner := projections.NewRunner(projections.Options{Pool: h.pool, Store: h.store, Feed: h.feed, Logger: h.logger, Metrics: h.observed}, processInputs{h.processes})
	var running sync.WaitGroup
	running.Go(func() {
		if err := runner.Run(life); err != nil {
			h.fail(outlived(fmt.Errorf("processes: %w", err)))
		}
		h.processes.Wait()
	})
	h.onClose(func(ctx context.Context) error {
		stop()
		if err := waitFor(ctx, &running); err != nil {
			return fmt.Errorf("the process managers did not stop in time: %w", err)
		}
		return nil
	})
}
