package readapi

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"daybook.example/commands/edge"
	"daybook.example/eventstore"
)

// pageMax is how long a page of the log may take: nobody hangs on a log that is away.
const pageMax = 5 * time.Second

// awayClasses are the classes of Postgres errors that pass by themselves: the
// connection broke, too many are open, an operator stops the server or it starts.
var awayClasses = []string{"08", "53", "57"}

const tooManyConnections = "53300"

// head is the end of the log now, or an error in time when the log is away.
func (s *server) head(ctx context.Context) (eventstore.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, waitMax)
	defer cancel()
	return s.Store.Head(ctx)
}

// waitable turns an error of a store that is away for a while into an answer
// that says so; every other error stays what it is. The log keeps the cause.
func (s *server) waitable(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, eventstore.ErrUnavailable):
		s.Logger.Warn("the event store does not answer", "error", err)
		return edge.NewProblem(http.StatusServiceUnavailable, "event-store-unavailable", "the event store does not answer just now; send the same request again").RetryAfter(time.Second)
	case noTables(err):
		return readModelMissing()
	case DatabaseAway(err):
		s.Logger.Warn("the database does not answer", "error", err)
		return edge.NewProblem(http.StatusServiceUnavailable, "database-unavailable", absence(err)+"; send the same request again").RetryAfter(time.Second)
	}
	return err
}

// noTables reports whether nobody has made the read models yet.
func noTables(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && (refused.Code == "42P01" || refused.Code == "3F000")
}

// DatabaseAway reports whether a later try may succeed without anybody's help.
func DatabaseAway(err error) bool {
	var connecting *pgconn.ConnectError
	var broken net.Error
	if errors.As(err, &connecting) || errors.As(err, &broken) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var refused *pgconn.PgError
	return errors.As(err, &refused) && len(refused.Code) == 5 && slices.Contains(awayClasses, refused.Code[:2])
}

// absence says in words of ours why the database does not answer.
func absence(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == tooManyConnections {
		return "the database takes no more connections just now (end other clients of it, or raise its max_connections)"
	}
	return "the database does not answer just now"
}
