// Package commands turns an intent into appended events: it loads a stream, lets
// the domain decide and appends what was decided, each command once.
package commands

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"daybook.example/commands/claims"
	"daybook.example/domain"
	"daybook.example/eventstore"
	"daybook.example/eventstore/seal"
)

// A Request is what the edge knows of one command beside its body.
type Request struct {
	CommandID     uuid.UUID
	RequestMAC    string // hex, of the raw body
	CorrelationID uuid.UUID
	CausationID   uuid.UUID
	Principal     string // opaque ID
	OnBehalfOf    string
	Kind          domain.ActorKind
	ReasonCode    string
	ApprovalID    *uuid.UUID
	Source        *domain.Source
	IfMatch       *uint64 // the revision that the caller has seen
	IfMatchAny    bool    // If-Match: *, the stream must exist
	DryRun        bool
	Creating      bool // may begin its stream; any other command on a missing stream is not found
	Fresh         bool // the command ID is random, so this is no repeat
}

// An Answer says what became of a command. Without events there was nothing to do.
type Answer struct {
	Repeated bool                `json:"-"` // answered from the events of an earlier delivery
	ID       string              `json:"id"`
	Revision uint64              `json:"revision"` // of the command's last event, or the present one
	Position eventstore.Position `json:"position"`
	Events   []EventRef          `json:"events"`
}

// An EventRef names one event of an Answer.
type EventRef struct {
	ID   uuid.UUID `json:"id"`
	Type string    `json:"type"`
}

// A Core is what all handlers share. Store, Keys, Claims and Clock must be set.
type Core struct {
	Store           store
	Keys            *seal.Keyring
	Claims          *claims.Claims
	Clock           func() time.Time
	SoftwareVersion string
	PolicyVersion   string
	Logger          *slog.Logger          // nil = slog.Default()
	Registry        prometheus.Registerer // nil = no metrics
	CacheEvents     int                   // how many events the state cache of one handler may stand for; 0 = 200,000

	patience    time.Duration // of an append; 0 = resend.PatienceMax
	conflictMax time.Duration // how long others may come first before a command gives up; 0 = 10 s
	latest      atomic.Int64  // recorded_at never goes back behind it; microseconds
	measured    sync.Once
	metrics     *metrics
}

// store is the part of the event store's client that handlers use. The tests
// put one between that loses answers.
type store interface {
	Append(ctx context.Context, stream string, expected eventstore.ExpectedRevision, events []eventstore.Proposed) (eventstore.Written, error)
	ReadStream(ctx context.Context, stream string, from eventstore.Revision, dir eventstore.Direction, max uint64) ([]eventstore.Recorded, error)
}

func (c *Core) logger() *slog.Logger { return cmp.Or(c.Logger, slog.Default()) }

// observer makes the metrics at their first use, so that a Core is a plain literal.
func (c *Core) observer() *metrics {
	c.measured.Do(func() { c.metrics = newMetrics(c.Registry) })
	return c.metrics
}
