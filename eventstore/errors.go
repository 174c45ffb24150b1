package eventstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// translate gives an error of the client its word of ours. What has none keeps
// only its text and means that the result is unknown.
func translate(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ended(ctx) // the client wraps it in several ways
	}
	word := wordOf(err)
	var known *esdb.Error
	if errors.As(err, &known) && known.Err() != nil {
		err = known.Err() // what the client puts around it says less than our word
	}
	if word == nil {
		return err
	}
	return fmt.Errorf("%w: %w", word, err)
}

func wordOf(err error) error {
	var known *esdb.Error
	if errors.As(err, &known) {
		switch known.Code() {
		case esdb.ErrorCodeWrongExpectedVersion:
			return ErrWrongExpectedRevision
		case esdb.ErrorCodeStreamDeleted:
			return ErrStreamDeleted
		case esdb.ErrorCodeResourceNotFound:
			return ErrStreamNotFound
		case esdb.ErrorCodeAccessDenied, esdb.ErrorCodeUnauthenticated:
			return ErrAccessDenied
		case esdb.ErrorUnavailable, esdb.ErrorCodeConnectionClosed, esdb.ErrorCodeNotLeader, esdb.ErrorCodeDeadlineExceeded:
			return ErrUnavailable
		}
	}
	switch status.Code(err) { // what the client does not map, and subscriptions, which map nothing
	case codes.InvalidArgument:
		return ErrInvalid
	case codes.PermissionDenied, codes.Unauthenticated:
		return ErrAccessDenied
	case codes.Unavailable, codes.ResourceExhausted, codes.Aborted, codes.DeadlineExceeded:
		return ErrUnavailable
	}
	return nil
}

// ended says why a caller waits no longer: it gave up, or the store was away for
// too long.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	return ctx.Err()
}
