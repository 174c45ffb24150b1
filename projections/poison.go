package projections

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"daybook.example/eventstore"
)

// A Failure names the event that a projection cannot apply. It never holds
// anything of the event's payload.
type Failure struct {
	EventID  uuid.UUID           `json:"event_id"`
	Stream   string              `json:"stream"`
	Revision uint64              `json:"revision"`
	Position eventstore.Position `json:"position"`
	Type     string              `json:"type"`
	Code     string              `json:"code"`             // decode, apply, panic, or the SQLSTATE with the constraint
	Detail   string              `json:"detail,omitempty"` // of an apply error: our own words
}

// poison is a deterministic failure: the same event fails again however often
// it is tried.
type poison struct{ Failure }

func (p poison) Error() string {
	return fmt.Sprintf("event %s (%s, revision %d of %s) cannot be applied: %s", p.EventID, p.Type, p.Revision, p.Stream, p.Code)
}

// panicked is a panic inside a projection.
type panicked struct{ value any }

func (p panicked) Error() string { return "panic in the projection" }

// transient reports whether trying again may help: the failure is one of the
// connection, of resources or of other transactions, not of the event.
func transient(err error) bool {
	var sql *pgconn.PgError
	if errors.As(err, &sql) {
		for _, class := range []string{"08", "25006", "40", "53", "55P03", "57", "58", "XX"} {
			if strings.HasPrefix(sql.Code, class) {
				return true
			}
		}
		return false
	}
	var lost net.Error
	return errors.As(err, &lost) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, pgx.ErrTxClosed) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) || connectionLost(err)
}

func connectionLost(err error) bool {
	return strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "unexpected EOF")
}

// failureOf describes why event cannot be applied.
func failureOf(event Event, err error) Failure {
	f := Failure{EventID: event.ID, Stream: event.Stream, Revision: event.Revision, Position: event.Position, Type: event.Type, Code: "apply"}
	var sql *pgconn.PgError
	var caught panicked
	switch {
	case event.Err != nil && errors.Is(err, event.Err):
		f.Code = "decode"
	case errors.As(err, &caught):
		f.Code = "panic"
	case errors.As(err, &sql):
		f.Code = strings.TrimSpace(sql.Code + " " + sql.ConstraintName)
	}
	return f
}

// guarded applies events and turns a panic into an error.
func guarded(ctx context.Context, p Projection, tx pgx.Tx, events []Event) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = panicked{value}
		}
	}()
	return p.Apply(ctx, tx, events)
}

// bisect finds the first event that fails, one by one under savepoints, within
// tx. The good ones before it stay applied.
func bisect(ctx context.Context, p Projection, tx pgx.Tx, events []Event) (good int, culprit error, err error) {
	for i, event := range events {
		failed := pgx.BeginFunc(ctx, tx, func(save pgx.Tx) error { return applyListed(ctx, p, save, []Event{event}) })
		switch {
		case failed == nil:
		case transient(failed):
			return 0, nil, failed
		default:
			return i, poison{failureOf(event, failed)}, nil
		}
	}
	return len(events), nil, nil
}

// applyListed hands over the events of the listed types. One of them that cannot
// be decoded is never guessed at.
func applyListed(ctx context.Context, p Projection, tx pgx.Tx, events []Event) error {
	spec := p.Spec()
	listed := make([]Event, 0, len(events))
	for _, event := range events {
		if !spec.Takes(event.Type) {
			continue
		}
		if spec.Events != nil && event.Err != nil {
			return event.Err
		}
		listed = append(listed, event)
	}
	if len(listed) == 0 {
		return nil
	}
	return guarded(ctx, p, tx, listed)
}
