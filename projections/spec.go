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
	"strconv"
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
	Version int      // of the code, from 1; raise it with every change of Schema or of what Apply writes
	Events  []string // stored types it is given; one of them that cannot be decoded halts it. nil: every event of ours, decodable or not

	// Schema makes the tables, unqualified: they land in the schema
	// rm_<name>_v<version>. The runtime adds label_position(label, position,
	// prepare), the last position of each label.
	Schema string
	// Index makes what a bulk load is faster without: secondary indexes.
	Index string
	// Read and API make views and functions, qualified as read.x and api.x, when the
	// version becomes the active one; those of the version before get other names in
	// the same transaction. In both, and in the bodies of functions, {schema} stands
	// for the schema of the version; outside of bodies the tables may be unqualified.
	// The runtime adds api.<name>_checkpoint.
	// What is in read is open to dashboards: no personal value may be reachable from
	// it. A function in read has a string body over read.*.
	Read, API string

	// Outside says that Apply fills no tables: what it does is outside of the
	// database. Only its checkpoint is kept, and waits for the disk. It is never
	// built a second time, and nobody who reads waits for it. Apply gets a
	// transaction to ignore, and may be given again what was not committed.
	Outside bool
	// Begin, where set, is called by each owner before its first batch, with the
	// position of the checkpoint. Its context lasts as long as the ownership.
	Begin func(ctx context.Context, at Position) error
}

// SchemaName is the schema of this version's tables.
func (s Spec) SchemaName() string { return fmt.Sprintf("rm_%s_v%d", s.Name, s.Version) }

// tables is the SQL of the version's tables.
func (s Spec) tables() string { return createLabels + ";\n" + s.Schema + ";\n" + s.Index }

// checkpointView is how a reader finds the checkpoint that belongs to the rows
// behind the other views: a name is looked up when it is used and not as of a
// snapshot, and who has used it keeps a promotion waiting. It is the first of them,
// as it is for readers: a promotion that locked others before would hold what a
// reader needs who holds what it waits for.
const checkpointView = `create view api.{name}_checkpoint as
	select version, commit_pos, prepare_pos, state from daybook.projection_checkpoint where name = '{name}' and version = {version}`

// views is the SQL of what others read, for this version's schema.
func (s Spec) views() string {
	return strings.NewReplacer("{schema}", s.SchemaName(), "{name}", s.Name, "{version}", strconv.Itoa(s.Version)).
		Replace(checkpointView + ";\n" + s.Read + ";\n" + s.API)
}

// A versioned projection fills the tables of a version that has another number
// than the code has: a rebuilt one.
type versioned struct {
	Projection
	version int
}

func (v versioned) Spec() Spec {
	spec := v.Projection.Spec()
	spec.Version = v.version
	return spec
}

// Takes reports whether the projection is given events of a type.
func (s Spec) Takes(eventType string) bool {
	return s.Events == nil || slices.Contains(s.Events, eventType)
}
