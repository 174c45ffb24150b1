package projections

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/eventstore"
)

// Errors that end a runner's turn.
var (
	ErrFenced   = errors.New("another runner has taken over the projection")
	ErrOtherLog = errors.New("the log is not the one that was projected")
	ErrPaused   = errors.New("an operator has paused the projection")
)

// A Checkpoint says how far a read model is. It is committed with the rows.
type Checkpoint struct {
	Position  Position  // all up to here is in the tables
	LogID     uuid.UUID // of the log that positions belong to
	LastEvent uuid.UUID // the last event of ours up to Position; zero before the first
	Label     time.Time // running maximum of recorded_at
	Events    int64     // of ours, up to Position
	Epoch     int64     // the owner's fencing token
}

// after is the checkpoint once labelled events are in the tables, and to is reached.
func (c Checkpoint) after(events []Event, to Position) Checkpoint {
	c.Position = to
	if n := len(events); n > 0 {
		c.LastEvent, c.Label = events[n-1].ID, events[n-1].Label
		c.Events += int64(n)
	}
	return c
}

// claim makes the caller the owner: from now on the commits of every other one
// are fenced off.
func claim(ctx context.Context, conn *pgx.Conn, spec Spec, owner string) (c Checkpoint, err error) {
	var last *uuid.UUID
	var label *time.Time
	err = conn.QueryRow(ctx, `update daybook.projection_checkpoint
		set epoch = epoch + 1, owner = $3, heartbeat = clock_timestamp(), state = 'running', failure = null
		where name = $1 and version = $2 and state <> 'paused'
		returning commit_pos, prepare_pos, log_id, last_event, last_event_at, events, epoch`, spec.Name, spec.Version, owner).
		Scan(&c.Position.Commit, &c.Position.Prepare, &c.LogID, &last, &label, &c.Events, &c.Epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, unclaimable(ctx, conn, spec)
	}
	if err != nil {
		return c, fmt.Errorf("take the checkpoint: %w", err)
	}
	if last != nil {
		c.LastEvent = *last
	}
	if label != nil { // events that no clock was read for have none
		c.Label = label.UTC()
	}
	return c, nil
}

// unclaimable is why a version has no row to claim.
func unclaimable(ctx context.Context, conn *pgx.Conn, spec Spec) error {
	var paused bool
	err := conn.QueryRow(ctx, "select state = 'paused' from daybook.projection_checkpoint where name = $1 and version = $2", spec.Name, spec.Version).Scan(&paused)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("version %d of %s was never prepared", spec.Version, spec.Name)
	case err == nil && paused:
		return ErrPaused
	}
	return cmp.Or(err, ErrHeld) // resumed in between: the next try finds it
}

// moveCheckpoint hits no row for an owner that is fenced off, or that repeats
// what is committed. It comes first in the rows' transaction and takes the row's
// lock, so that two owners cannot interleave.
var moveCheckpoint = hitting(1, `update daybook.projection_checkpoint
	set commit_pos = $4, prepare_pos = $5, last_event = $6, last_event_at = $7, events = $8, heartbeat = clock_timestamp()
	where name = $1 and version = $2 and epoch = $3 and commit_pos = $9 and prepare_pos = $10 and log_id = $11`)

// divisionByZero is how what hitting made fails.
const divisionByZero = "22012"

// queueMove queues moveCheckpoint; the batch fails with ErrFenced if it hits no row.
func queueMove(queue *pgx.Batch, spec Spec, from, to Checkpoint) {
	queue.Queue(moveCheckpoint, spec.Name, spec.Version, from.Epoch,
		int64(to.Position.Commit), int64(to.Position.Prepare), orNull(to.LastEvent), orNull(to.Label), to.Events,
		int64(from.Position.Commit), int64(from.Position.Prepare), from.LogID,
	).Fn = func(results pgx.BatchResults) error { return missed(results, ErrFenced) }
}

func orNull[T comparable](value T) *T {
	var none T
	if value == none {
		return nil
	}
	return &value
}

// verify compares the log with what the checkpoint remembers: one that is
// shorter, or another one, must not be projected on top of these rows.
func (c Checkpoint) verify(ctx context.Context, store eventstore.Reader) error {
	if c.LastEvent == uuid.Nil {
		return nil
	}
	head, err := store.Head(ctx)
	if err != nil {
		return err
	}
	if head.Less(c.Position) {
		return fmt.Errorf("%w: it ends at %s, before the checkpoint %s", ErrOtherLog, head, c.Position)
	}
	last, err := lastOfOurs(ctx, store, c.Position)
	if err == nil && last != c.LastEvent {
		err = fmt.Errorf("%w: it has another event at the checkpoint %s", ErrOtherLog, c.Position)
	}
	return err
}

// lastOfOurs is the last event up to a position that is not the store's own.
func lastOfOurs(ctx context.Context, store eventstore.Reader, at Position) (uuid.UUID, error) {
	there, err := store.ReadAll(ctx, at, eventstore.Forwards, 1)
	if err != nil {
		return uuid.Nil, err
	}
	if len(there) > 0 && there[0].Position == at && !there[0].System() {
		return there[0].ID, nil
	}
	for {
		page, err := store.ReadAll(ctx, at, eventstore.Backwards, 64)
		if err != nil || len(page) == 0 {
			return uuid.Nil, err
		}
		for _, event := range page {
			if !event.System() {
				return event.ID, nil
			}
			at = event.Position
		}
	}
}
