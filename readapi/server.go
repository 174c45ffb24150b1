// Package readapi answers questions from the read models: what is so on a day,
// what was known of it at a time, who changed what, and the events themselves.
// The contract with the projections is the SQL schema api.
package readapi

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"daybook.example/commands/edge"
	"daybook.example/eventstore"
	"daybook.example/eventstore/seal"
)

// Options say what the answers come from.
type Options struct {
	Pool   *pgxpool.Pool
	Store  eventstore.Reader
	Keys   *seal.Keyring
	Clock  func() time.Time // real time; nil = time.Now
	Logger *slog.Logger     // nil = slog.Default()
	// Heartbeat is how long an event stream stays silent at most; 0 = 15 s.
	Heartbeat time.Duration
	// Changed, where the projectors run in this process, returns a channel that is
	// closed at their next commit, so that waiting for a position needs no polling.
	Changed func() <-chan struct{}
}

type server struct {
	Options
	api   *edge.API
	start start
	marks *watch[map[string]mark]
	heads *watch[eventstore.Position]
}

// Register adds all read routes to the API.
func Register(api *edge.API, o Options) {
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.Heartbeat = cmp.Or(o.Heartbeat, heartbeatEvery)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	s := &server{Options: o, api: api}
	s.marks, s.heads = newWatch(s.findMarks, o.Changed), newWatch(s.findHead, nil)
	s.employeeRoutes()
	s.organisationRoutes()
	s.headcountRoutes()
	s.journalRoutes()
	s.auditRoutes()
	s.eventRoutes()
	s.processRoutes()
	s.projectionRoutes()
	api.ReadyWhen("read models", s.caughtUp)
}
