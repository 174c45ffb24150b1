package projections

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"daybook.example/domain"
	"daybook.example/eventstore"
)

// An EventError names an event that a projection cannot apply, however often it is
// tried. It holds nothing of the event's payload.
type EventError struct {
	EventID  uuid.UUID `json:"event_id"`
	Stream   string    `json:"stream"`
	Revision uint64    `json:"revision"`
	Position Position  `json:"position"`
	Type     string    `json:"type"`
	Code     string    `json:"code"`            // decode, panic, apply, a rule's code, or an SQLSTATE
	Field    string    `json:"field,omitempty"` // of the event, or the constraint of the table

	cause error
}

func (f *EventError) Error() string {
	return fmt.Sprintf("event %s (%s, revision %d of %s) cannot be applied: %s", f.EventID, f.Type, f.Revision, f.Stream, strings.TrimSpace(f.Code+" "+f.Field))
}

func (f *EventError) Unwrap() error { return f.cause }

// explained is the failure with the way out, as it is written down.
func (f *EventError) explained(spec Spec) any {
	return struct {
		*EventError
		Reason string `json:"reason"`
		Hint   string `json:"hint"`
	}{f, f.Error(), fmt.Sprintf("mend the cause and start again, or, if the event is to count for nothing here: daybook projections waive %s %s --reason TEXT", spec.Name, f.EventID)}
}

// undecodable is the failure of an event that the projection lists.
type undecodable struct{ error }

func (u undecodable) Unwrap() error { return u.error }

// panicked is a panic in a projection. What it panicked with may be personal, so
// nobody sees it.
type panicked struct{ stack []byte }

func (panicked) Error() string { return "panic" }

// guard turns a panic into an error.
func guard(work func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = panicked{debug.Stack()}
		}
	}()
	return work()
}

// failureOf describes why event cannot be applied.
func failureOf(event Event, err error) *EventError {
	f := &EventError{EventID: event.ID, Stream: event.Stream, Revision: event.Revision, Position: event.Position, Type: event.Type, Code: "apply", cause: err}
	var sql *pgconn.PgError
	var rule *domain.Error
	switch {
	case errors.As(err, new(undecodable)):
		f.Code = "decode"
	case errors.As(err, new(panicked)):
		f.Code = "panic"
	case errors.As(err, &sql):
		f.Code, f.Field = sql.Code, sql.ConstraintName
	case errors.As(err, &rule):
		f.Code, f.Field = rule.Code, rule.Field
	}
	return f
}

// elsewhere reports whether the cause of an error lies elsewhere than in the
// event: in the connection, the database or its tables.
func (w *Writer) elsewhere(err error) bool {
	var sql *pgconn.PgError
	if errors.As(err, &sql) {
		return troubleOfState(sql.Code) != unknown
	}
	return w.conn.IsClosed() || errors.Is(err, ErrFenced) || errors.Is(err, eventstore.ErrUnavailable) || errors.As(err, new(net.Error)) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// Isolate applies a stretch of the log in which some event fails, one event at a
// time. Everything before that is committed, and the failure names it. An event
// whose failure is waived is passed.
//
// It is one transaction with a savepoint for each event. How far it goes is known
// only at its end, so the checkpoint moves to the end first and then back.
func (w *Writer) Isolate(ctx context.Context, events []Event, to Position, waived func(uuid.UUID) bool) error {
	events = labelled(w.unseen(events), w.at.Label)
	reached := w.at
	var failure *EventError
	err := w.transact(ctx, w.at.after(events, to), nil, durable, func(tx pgx.Tx) error {
		for i, event := range events {
			err := pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error { return w.hand(ctx, savepoint, events[i:i+1]) })
			if err != nil && w.elsewhere(err) {
				return err
			}
			if err != nil && !waived(event.ID) {
				failure = failureOf(event, err)
				return w.settle(ctx, tx, to, w.at.after(events[:i], reached.Position), events[:i], &reached)
			}
			reached.Position = event.Position
		}
		return w.settle(ctx, tx, to, w.at.after(events, to), events, &reached)
	})
	if err != nil {
		return err
	}
	w.at = reached
	if failure != nil {
		return failure
	}
	return nil
}

// settle moves the checkpoint back from the end of the stretch to where its
// transaction has come.
func (w *Writer) settle(ctx context.Context, tx pgx.Tx, end Position, here Checkpoint, events []Event, reached *Checkpoint) error {
	from := w.at
	from.Position = end
	queue := &pgx.Batch{}
	queueMove(queue, w.spec, from, here)
	queueLabels(queue, w.spec, events)
	*reached = here
	return tx.SendBatch(ctx, queue).Close()
}
