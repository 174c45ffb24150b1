package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	standbyEvery = time.Second
	lookOutEvery = 2 * time.Second
	// yieldFor is longer than standbyEvery: whoever stands by comes first.
	yieldFor = 3 * standbyEvery
)

// errDisplaced says that an operator has taken the projection from this runner.
var errDisplaced = errors.New("an operator wants another process to own the projection")

// row is what a runner looks at without owning it.
type row struct {
	epoch    int64
	state    string
	position Position
	holder   string // the process that owns it, if one does
}

func (r *Runner) row(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (at row, err error) {
	err = db.QueryRow(ctx, `select epoch, state, commit_pos, prepare_pos,
			coalesce((select process from daybook.projection_session s where s.name = c.name and s.version = c.version and s.owner limit 1), '')
		from daybook.projection_checkpoint c where name = $1 and version = $2`, r.spec.Name, r.spec.Version).
		Scan(&at.epoch, &at.state, &at.position.Commit, &at.position.Prepare, &at.holder)
	return at, err
}

// free reports whether the runner may claim the projection. The epoch of its last
// turn was raised by somebody else if an operator has displaced it: then others
// come first, once.
func (r *Runner) free(ctx context.Context) error {
	at, err := r.row(ctx, r.options.Pool)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil // the claim says what is wrong
	case err != nil:
		return fmt.Errorf("look at the checkpoint: %w", err)
	case at.state == string(Paused):
		return ErrPaused
	case r.epoch != 0 && r.epoch != at.epoch:
		return errDisplaced
	}
	return nil
}

// lookOut ends a turn whose epoch is over: an owner without events would not notice.
func (r *Runner) lookOut(ctx context.Context, epoch int64, displaced context.CancelCauseFunc) {
	for sleep(ctx, lookOutEvery); ctx.Err() == nil; sleep(ctx, lookOutEvery) {
		if at, err := r.row(ctx, r.options.Pool); err == nil && at.epoch != epoch {
			displaced(ErrFenced)
		}
	}
}

// standBy waits until nobody owns the projection. Its connection says to all who
// look that it does; the lock is tried when the owner's is gone.
func (r *Runner) standBy(ctx context.Context) error {
	r.epoch = 0
	pooled, err := r.options.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("reach the database: %w", err)
	}
	conn := pooled.Hijack()
	defer func() {
		closing, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = conn.Close(closing)
		r.status.change(func(s *Status) { s.Holder = "" })
		r.options.Metrics.stoodBy(r.spec, "", 0)
	}()
	// Where the right to it is lacking, nobody sees that it stands by.
	_, _ = conn.Exec(ctx, "select set_config('application_name', $1, false), pg_try_advisory_lock_shared(hashtextextended($2, 0))",
		r.options.Owner, "standby "+r.spec.SchemaName())
	for since := time.Now(); ; sleep(ctx, standbyEvery) {
		at, err := r.row(ctx, conn)
		if err != nil || at.holder == "" {
			return err
		}
		r.stoodBy(at, time.Since(since))
	}
}

func (r *Runner) stoodBy(at row, d time.Duration) {
	if now := r.Status(); now.State != Standby || now.Holder != at.holder {
		r.options.Logger.Info("standing by: another process owns the projection", "owner", at.holder)
	}
	r.status.change(func(s *Status) { s.State, s.Holder, s.Position = Standby, at.holder, at.position })
	r.options.Metrics.stoodBy(r.spec, at.holder, d)
}

// yield lets others come first.
func (r *Runner) yield(ctx context.Context) {
	r.epoch = 0
	r.options.Logger.Warn("standing by: an operator wants another process to own the projection")
	r.status.change(func(s *Status) { s.State = Standby })
	sleep(ctx, yieldFor)
}

// rest waits until an operator lets the projection go on.
func (r *Runner) rest(ctx context.Context) {
	r.epoch = 0
	r.options.Logger.Warn("an operator has paused the projection")
	for ctx.Err() == nil {
		at, err := r.row(ctx, r.options.Pool)
		if err == nil && at.state != string(Paused) {
			return
		}
		if err == nil {
			r.status.change(func(s *Status) { s.State, s.Position = Paused, at.position })
		}
		sleep(ctx, standbyEvery)
	}
}
