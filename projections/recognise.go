package projections

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"daybook.example/eventstore"
)

// Recognise holds the checkpoints in the database against the log, before
// anything is appended to it: each runner does so again when it starts. It
// returns ErrOtherLog for a log that is older than what was projected, as one
// from an older backup is.
func Recognise(ctx context.Context, pool *pgxpool.Pool, store eventstore.Reader, all ...Projection) error {
	versions, err := Versions(ctx, pool, "")
	if err != nil {
		return err
	}
	for _, v := range versions {
		if !slices.ContainsFunc(all, func(p Projection) bool { return p.Spec().Name == v.Name }) {
			continue
		}
		c, err := readCheckpoint(ctx, pool, Spec{Name: v.Name, Version: v.Version})
		if err == nil {
			err = c.verify(ctx, store)
		}
		if err != nil {
			return fmt.Errorf("projection %s: %w", v.Name, err)
		}
	}
	return nil
}

// readCheckpoint reads what verify needs, and takes nothing.
func readCheckpoint(ctx context.Context, pool *pgxpool.Pool, spec Spec) (c Checkpoint, err error) {
	var last *[16]byte
	err = pool.QueryRow(ctx, "select commit_pos, prepare_pos, last_event from daybook.projection_checkpoint where name = $1 and version = $2",
		spec.Name, spec.Version).Scan(&c.Position.Commit, &c.Position.Prepare, &last)
	if err != nil {
		return c, fmt.Errorf("read the checkpoint: %w", safe(err))
	}
	if last != nil {
		c.LastEvent = *last
	}
	return c, nil
}
