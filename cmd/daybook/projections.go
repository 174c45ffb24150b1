package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	"daybook.example/eventstore/subscription"
	"daybook.example/projections"
)

func (m *Main) projections() *cobra.Command {
	return group("projections", "Operate the read models", m.projectionsList(), m.projectionsRebuild(), m.projectionsPromote(), m.projectionsRollback(), m.projectionsDrop(),
		m.projectionsPause(), m.projectionsResume(),
		m.projectionsTakeover(), m.projectionsWaive(), m.projectionsWaivers())
}

func (m *Main) projectionsList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the read models and the process managers: state, who runs them and who stands by, position and lag", Args: none,
		Example: "  daybook projections list --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
				return m.list(ctx, api, "/v1/projections", nil, -1,
					[]string{"name", "version", "phase", "state", "owner", "standby", "position", "lag_bytes", "events", "failure"})
			})
		},
	}
}

// share makes one reading of the log for all that runs in this process.
func (h *house) share() (err error) {
	if !h.roles.projections && !h.roles.processes {
		return nil
	}
	if h.feed, err = projections.NewFeed(subscription.FeedConfig{Client: h.store, Logger: h.logger}); err == nil {
		h.observed.Feed(h.feed)
	}
	return err
}

// run starts the projectors of the read models.
func (h *house) run(ctx context.Context, models []projections.Projection) {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	options := projections.Options{
		Pool: h.pool, Store: h.store, Feed: h.feed, Logger: h.logger, Metrics: h.observed, Changed: h.commits.ring,
	}
	h.projectors = projections.NewSupervisor(options, models...)
	var running sync.WaitGroup
	running.Go(func() {
		if err := h.projectors.Run(life); err != nil {
			h.fail(outlived(err))
		}
	})
	h.onClose(func(ctx context.Context) error {
		stop()
		if err := waitFor(ctx, &running); err != nil {
			return fmt.Errorf("the projectors did not stop in time: %w", err)
		}
		return nil
	})
}

// outlived adds the way out where read models know more than the log: a backup
// of it was restored that is older than they are.
func outlived(err error) error {
	if !errors.Is(err, projections.ErrOtherLog) {
		return err
	}
	return hint(err, "restore a newer backup of the log; if there is none, daybook node restore --accept-loss makes another log of this one, and read models are built anew (with --database, in a new one)")
}

func waitFor(ctx context.Context, group *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A bell wakes all who wait, for whatever projector comes further.
type bell struct {
	mu   sync.Mutex
	next chan struct{}
}

func newBell() *bell { return &bell{next: make(chan struct{})} }

// Next is closed when the bell rings next.
func (b *bell) Next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.next)
	b.next = make(chan struct{})
}
