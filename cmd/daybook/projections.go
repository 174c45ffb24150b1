package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"daybook.example/projections"
)

func (m *Main) projections() *cobra.Command {
	return group("projections", "Operate the read models", &cobra.Command{
		Use: "list", Short: "List the read models with state, position and lag", Args: cobra.NoArgs,
		Example: "  daybook projections list --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
				return m.list(ctx, api, "/v1/projections", nil, -1, []string{"name", "version", "state", "position", "lag_bytes", "events", "failure"})
			})
		},
	})
}

// run starts a runner for each read model.
func (h *house) run(ctx context.Context, models []projections.Projection) error {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{}, len(models))
	options := projections.Options{
		Pool: h.pool, Store: h.store, Logger: h.logger, Metrics: projections.NewMetrics(h.registry),
	}
	for _, model := range models {
		runner := projections.NewRunner(options, model)
		h.runners = append(h.runners, runner)
		go func() {
			defer func() { ended <- struct{}{} }()
			if err := runner.Run(life); err != nil {
				h.failed <- fmt.Errorf("projection %s: %w", runner.Status().Name, err)
			}
		}()
	}
	go options.Metrics.Watch(life, h.store.Reader, h.runners)
	h.onClose(func(ctx context.Context) error {
		stop()
		for range models {
			select {
			case <-ended:
			case <-ctx.Done():
				return fmt.Errorf("the projectors did not stop in time: %w", ctx.Err())
			}
		}
		return nil
	})
	return nil
}

// changed is closed at the next commit of any projector, or soon anyway.
func (h *house) changed() <-chan struct{} {
	if len(h.runners) == 0 {
		return nil
	}
	any, stop := make(chan struct{}), time.NewTimer(time.Second)
	waiting := make([]<-chan struct{}, len(h.runners))
	for i, r := range h.runners {
		waiting[i] = r.Changed()
	}
	go func() {
		defer close(any)
		defer stop.Stop()
		first := make(chan struct{}, len(waiting))
		done := make(chan struct{})
		defer close(done)
		for _, w := range waiting {
			go func() {
				select {
				case <-w:
					first <- struct{}{}
				case <-done:
				}
			}()
		}
		select {
		case <-first:
		case <-stop.C:
		}
	}()
	return any
}
