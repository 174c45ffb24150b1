// Package projections turns events into rows: it reads the log in order, hands
// each projection its events in batches, and commits their rows together with
// the checkpoint, so that a row is written for each event exactly once.
//
// A read model is a folder beside this file: a Spec with the SQL of its tables,
// and Apply. Everything else (order, batches, restarts, poison events, metrics)
// is the runtime's. projtest.Conformance tests the whole of a projection.
package projections

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"daybook.example/domain"
	"daybook.example/eventstore"
)

// Position is a place in the log.
type Position = eventstore.Position

// An Event is one of ours, as recorded and as decoded. Its embedded half is what
// the store keeps; personal values in it, and in Decoded, are sealed.
type Event struct {
	eventstore.Recorded
	Meta    domain.Metadata
	Label   time.Time    // running maximum of Meta.RecordedAt over the log: never goes back
	Decoded domain.Named // nil if Err
	Err     error        // why it could not be decoded; an unlisted type is domain.ErrUnknownType
}

// Pos is the event's place in the log as a read model stores it.
func (e Event) Pos() int64 { return int64(e.Position.Commit) }

// A Projection is a pure function of its tables and the events: it reads no
// clock and nothing but tx. Its events come in the order of the log, each once,
// so its SQL need not be idempotent.
//
// Apply runs in a transaction whose search_path is the schema of its version:
// SQL names the tables of Spec.Schema unqualified. It may be called with any
// split of the events into batches and must leave the same rows. It keeps no
// state between calls, for a transaction may be rolled back and tried again in
// smaller pieces. An error that is the database's is tried again; any other
// halts this projection at the event, so it must hold no personal value.
type Projection interface {
	Spec() Spec
	Apply(ctx context.Context, tx pgx.Tx, events []Event) error
}

// A Spec says what a projection reads and which tables it fills.
type Spec struct {
	Name    string   // lower case with underscores; names the schema, never changes
	Version int      // from 1; raise it with every change of Schema or of what Apply writes
	Events  []string // stored types it is given; one of them that cannot be decoded halts it. nil: every event of ours, decodable or not

	// Schema makes the tables, unqualified: they land in the schema
	// rm_<name>_v<version>. The runtime adds label_position(label, position,
	// prepare), the last position of each label.
	Schema string
	// Index makes what a bulk load is faster without: secondary indexes.
	Index string
	// Read and API make views and functions, qualified as read.x and api.x, when the
	// version becomes the active one; those of the version before are dropped in the
	// same transaction. In both, and in the bodies of functions, {schema} stands for
	// the schema of the version; outside of bodies the tables may be unqualified.
	// What is in read is open to dashboards: no personal value may be reachable from
	// it. A function in read has a string body over read.*.
	Read, API string
}

// SchemaName is the schema of this version's tables.
func (s Spec) SchemaName() string { return fmt.Sprintf("rm_%s_v%d", s.Name, s.Version) }

// tables is the SQL of the version's tables.
func (s Spec) tables() string { return createLabels + ";\n" + s.Schema + ";\n" + s.Index }

// views is the SQL of what others read, for this version's schema.
func (s Spec) views() string {
	return strings.ReplaceAll(s.Read+";\n"+s.API, "{schema}", s.SchemaName())
}

// Takes reports whether the projection is given events of a type.
func (s Spec) Takes(eventType string) bool {
	return s.Events == nil || slices.Contains(s.Events, eventType)
}
