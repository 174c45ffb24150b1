package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"daybook.example/eventstore"
	"daybook.example/eventstore/subscription"
	"daybook.example/projections"
)

// commits measures, at a steady rate of appends, when an event is acknowledged and
// when a read model has committed it, both from the moment on when it was due (P10).
func (b *bench) commits(ctx context.Context) error {
	return b.withStore(ctx, func(s *store, d *database, _ *peer) error {
		return projectingAll(ctx, s, d, []projections.Projection{gated{"tally", newGate()}}, func(_ *subscription.Feed, runners []*projections.Runner) error {
			if _, err := appended(ctx, s, runners[0], 1000); err != nil { // warms up
				return err
			}
			for _, rate := range []int{100, 1000, 5000} {
				if b.rate != 0 && b.rate != rate {
					continue
				}
				if err := b.commitsAt(ctx, s, runners[0], rate); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func (b *bench) commitsAt(ctx context.Context, s *store, model *projections.Runner, rate int) error {
	var p50, p99 []float64
	var all waits
	for range b.pairs {
		w, err := appended(ctx, s, model, rate)
		if err != nil {
			return err
		}
		p50 = append(p50, w.ratio(0.50))
		p99 = append(p99, w.ratio(0.99))
		all.acknowledged, all.committed = append(all.acknowledged, w.acknowledged...), append(all.committed, w.committed...)
	}
	at := fmt.Sprintf("%d/s: ", rate)
	b.row(at+"append acknowledged", all.acknowledged.String(), "")
	b.row(at+"committed in the read model", all.committed.String(), "")
	b.atMost(at+"committed / acknowledged, p50 (P10)", p50, "%.2f", 1.4)
	b.atMost(at+"the same, p99 (P10)", p99, "%.2f", 1.3)
	return nil
}

// waits are what events waited for, from when they were due.
type waits struct {
	mu                      sync.Mutex
	acknowledged, committed times
	failed                  error
}

func (w *waits) ratio(p float64) float64 {
	return float64(w.committed.percentile(p)) / float64(w.acknowledged.percentile(p))
}

// appended appends events at a rate; so many a second at most are looked for in
// the read model.
func appended(ctx context.Context, s *store, model *projections.Runner, rate int) (*waits, error) {
	w := &waits{}
	err := steadily(ctx, rate, visibleFor, func(due time.Time, n int) {
		written, err := s.client.Append(ctx, fmt.Sprint("claim-committed-", n%writersMost), eventstore.Any,
			[]eventstore.Proposed{{ID: uuid.New(), Type: eventType, Data: eventData, Metadata: eventMetadata}})
		acknowledged := time.Since(due)
		looked := n%max(rate/asking, 1) == 0
		if err == nil && looked {
			err = model.WaitFor(ctx, written.Position)
		}
		committed := time.Since(due)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.failed = errors.Join(w.failed, err); looked {
			w.acknowledged, w.committed = append(w.acknowledged, acknowledged), append(w.committed, committed)
		}
	})
	return w, errors.Join(err, w.failed)
}
