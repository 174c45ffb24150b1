package node

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"daybook.example/eventstore/log"
)

// Trailers that clients tell errors apart by.
const (
	trailerException = "exception"
	trailerStream    = "stream-name"
)

// refuse ends a call with a status and with trailers, given as keys and values.
func refuse(ctx context.Context, code codes.Code, message string, trailers ...string) error {
	if err := grpc.SetTrailer(ctx, metadata.Pairs(trailers...)); err != nil {
		return err
	}
	return status.Error(code, message)
}

func invalid(format string, values ...any) error {
	return status.Errorf(codes.InvalidArgument, format, values...)
}

func accessDenied(ctx context.Context, message string) error {
	return refuse(ctx, codes.PermissionDenied, message, trailerException, "access-denied")
}

func shuttingDown(ctx context.Context) error {
	return refuse(ctx, codes.Unavailable, "the node is shutting down", trailerException, "server-shutting-down")
}

// streamDeleted always names the stream: a client panics without it.
func streamDeleted(ctx context.Context, stream string) error {
	return refuse(ctx, codes.FailedPrecondition, "the stream was deleted for ever",
		trailerException, "stream-deleted", trailerStream, headerText(stream))
}

func missingMetadata(ctx context.Context) error {
	return refuse(ctx, codes.InvalidArgument, errMissingMetadata.Error(),
		trailerException, "missing-required-metadata-property", "required-metadata-properties", "type,content-type")
}

func appendTooLarge(ctx context.Context) error {
	return refuse(ctx, codes.InvalidArgument,
		fmt.Sprintf("the append is larger than %d bytes, counting data, metadata and twice the type of every event", appendMax),
		trailerException, "maximum-append-size-exceeded", "maximum-append-size", strconv.Itoa(appendMax))
}

func wrongRevisionOfDeletion(ctx context.Context, w *log.WrongExpectedRevision) error {
	return refuse(ctx, codes.FailedPrecondition, w.Error(),
		trailerException, "wrong-expected-version", trailerStream, headerText(w.Stream),
		"expected-version", strconv.FormatInt(w.Expected, 10), "actual-version", strconv.FormatInt(w.Current, 10))
}

// failure turns an error of the log into an answer, with the trailers that go
// with it.
func (s *service) failure(ctx context.Context, stream string, err error) error {
	switch {
	case errors.Is(err, log.ErrStreamDeleted):
		return streamDeleted(ctx, stream)
	case errors.Is(err, log.ErrTooLarge):
		return refuse(ctx, codes.InvalidArgument, err.Error(), trailerException, "invalid-transaction")
	case errors.Is(err, log.ErrClosed):
		return shuttingDown(ctx)
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	}
	return s.classify(err)
}

// classify is what an error of the log comes to. What no caller can cause is
// logged here, and the client learns only where to look.
func (s *service) classify(err error) error {
	switch {
	case errors.Is(err, log.ErrInvalid), errors.Is(err, log.ErrTooLarge):
		return invalid("%v", err)
	case errors.Is(err, log.ErrDiskFull):
		// Not Unavailable: the official client would dial anew at each such answer.
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, log.ErrStopped), errors.Is(err, log.ErrClosed), errors.Is(err, log.ErrStreamDeleted),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.Unavailable, err.Error())
	}
	s.logger.Error("the log cannot be read", "error", err)
	return status.Error(codes.DataLoss, "the log cannot be read: the node's own messages name the file; stop the node and run daybook node fsck")
}

// headerText makes a stream's name fit for a header, where control characters
// would break the whole connection: such names are percent-encoded.
func headerText(name string) string {
	odd := func(r rune) bool { return r < ' ' || r > '~' }
	if strings.ContainsFunc(name, odd) {
		return url.PathEscape(name)
	}
	return name
}

// What is told of a persistent subscription names it: its stream and its group.
func refuseGroup(ctx context.Context, code codes.Code, message, exception string, key groupKey, more ...string) error {
	return refuse(ctx, code, message, append([]string{
		trailerException, exception, trailerStream, headerText(key.Stream), "group-name", headerText(key.Group),
	}, more...)...)
}

func groupMissing(ctx context.Context, key groupKey) error {
	return refuseGroup(ctx, codes.NotFound, "there is no such persistent subscription", "persistent-subscription-does-not-exist", key)
}

func groupExists(ctx context.Context, key groupKey) error {
	return refuseGroup(ctx, codes.AlreadyExists, "there is such a persistent subscription already", "persistent-subscription-exists", key)
}

func groupFailed(ctx context.Context, key groupKey, reason string) error {
	return refuseGroup(ctx, codes.Internal, reason, "persistent-subscription-failed", key, "reason", reason)
}

func groupFull(ctx context.Context, key groupKey) error {
	return refuseGroup(ctx, codes.FailedPrecondition, "the persistent subscription has as many consumers as it may", "maximum-subscribers-reached", key)
}

func groupDropped(ctx context.Context, key groupKey) error {
	return refuseGroup(ctx, codes.Canceled, "the persistent subscription was changed: subscribe again", "persistent-subscription-dropped", key)
}
