package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/eventstore"
)

// Errors that end a run; the supervisor decides what follows.
var (
	ErrFenced    = errors.New("another runner has taken over")
	ErrOtherLog  = errors.New("the log is not the one that was projected")
	errDuplicate = errors.New("delivered again")
)

// A checkpoint is what a projector has committed.
type checkpoint struct {
	at        eventstore.Position
	lastEvent uuid.UUID // nil before the first
	lastPos   int64
	label     time.Time
	events    int64
	epoch     int64
}

// own makes this process the owner of a projection: from now on every other
// owner's commits are fenced off.
func own(ctx context.Context, conn *pgx.Conn, spec Spec, owner string) (checkpoint, error) {
	var c checkpoint
	var last *uuid.UUID
	var label *time.Time
	err := conn.QueryRow(ctx, `update daybook.projection_checkpoint
		set epoch = epoch + 1, owner = $3, heartbeat = clock_timestamp(), state = 'running', failure = null
		where name = $1 and version = $2
		returning commit_pos, prepare_pos, last_event, last_event_pos, last_event_at, events, epoch`, spec.Name, spec.Version, owner).
		Scan(&c.at.Commit, &c.at.Prepare, &last, &c.lastPos, &label, &c.events, &c.epoch)
	if err != nil {
		return c, fmt.Errorf("take the checkpoint: %w", err)
	}
	if last != nil {
		c.lastEvent = *last
	}
	if label != nil {
		c.label = *label
	}
	return c, nil
}

// advance moves the checkpoint row. It is the first statement of the rows'
// transaction: it takes the row's lock, so two runners cannot interleave, and it
// hits no row for one that is fenced off or repeats what is committed.
func advance(ctx context.Context, tx pgx.Tx, spec Spec, from, to checkpoint) error {
	tag, err := tx.Exec(ctx, `update daybook.projection_checkpoint
		set commit_pos = $4, prepare_pos = $5, last_event = $6, last_event_pos = $7, last_event_at = $8, events = $9, heartbeat = clock_timestamp()
		where name = $1 and version = $2 and epoch = $3 and commit_pos = $10 and prepare_pos = $11`,
		spec.Name, spec.Version, from.epoch, int64(to.at.Commit), int64(to.at.Prepare), nullable(to.lastEvent), to.lastPos,
		nullable(to.label), to.events, int64(from.at.Commit), int64(from.at.Prepare))
	if err != nil {
		return err
	}
	if tag.RowsAffected() != 1 {
		return ErrFenced
	}
	return nil
}

func nullable[T comparable](value T) *T {
	var none T
	if value == none {
		return nil
	}
	return &value
}

// verify compares the event at the checkpoint with the one that is remembered:
// a log that is shorter, or another one, must not be projected further.
func (c checkpoint) verify(ctx context.Context, store eventstore.Reader) error {
	if c.lastEvent == uuid.Nil {
		return nil
	}
	at := eventstore.Position{Commit: uint64(c.lastPos), Prepare: uint64(c.lastPos)}
	events, err := store.ReadAll(ctx, at, eventstore.Forwards, 1)
	if err != nil {
		return err
	}
	if len(events) == 0 || events[0].ID != c.lastEvent {
		return fmt.Errorf("%w: it has no event %s at position %s", ErrOtherLog, c.lastEvent, at)
	}
	return nil
}

// after is the checkpoint once these events are applied and the position is to.
func (c checkpoint) after(events []Event, to eventstore.Position) checkpoint {
	c.at = to
	if len(events) > 0 {
		last := events[len(events)-1]
		c.lastEvent, c.lastPos, c.label = last.ID, int64(last.Position.Commit), last.Label
		c.events += int64(len(events))
	}
	return c
}
