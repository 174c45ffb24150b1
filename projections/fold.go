package projections

import (
	"context"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"
)

// A Fold is a projection's Apply over rows with a key: those that a batch
// touches are loaded once, folded in memory, and stored once.
type Fold[K comparable, R any] struct {
	Key   func(Event) (K, bool)                                // the row an event touches, if any
	Load  func(context.Context, pgx.Tx, []K) (map[K]R, error)  // = any($1); rows that do not exist are left out
	Apply func(R, Event) (R, error)                            // from the zero R for a new row
	Store func(context.Context, pgx.Tx, iter.Seq2[K, R]) error // unnest upsert, or COPY; in order of first touch
}

// Run folds a batch.
func (f Fold[K, R]) Run(ctx context.Context, tx pgx.Tx, events []Event) error {
	keys := f.keys(events)
	if len(keys) == 0 {
		return nil
	}
	rows, err := f.Load(ctx, tx, keys)
	if err != nil {
		return fmt.Errorf("load rows: %w", err)
	}
	for _, event := range events {
		key, touched := f.Key(event)
		if !touched {
			continue
		}
		if rows[key], err = f.Apply(rows[key], event); err != nil {
			return err
		}
	}
	err = f.Store(ctx, tx, func(yield func(K, R) bool) {
		for _, key := range keys {
			if !yield(key, rows[key]) {
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("store rows: %w", err)
	}
	return nil
}

// keys are the rows that a batch touches, in order of first touch, so that the
// same events always write in the same order.
func (f Fold[K, R]) keys(events []Event) []K {
	var keys []K
	seen := make(map[K]bool, len(events))
	for _, event := range events {
		if key, touched := f.Key(event); touched && !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys
}
