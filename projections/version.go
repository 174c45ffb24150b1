package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// A Phase is where a version of a read model stands among the others.
type Phase string

// The phases of a version. One of a read model is active; the others are being
// made, wait to take its place, or are kept for a way back.
const (
	Building Phase = "building" // its tables fill; nobody reads them
	Ready    Phase = "ready"    // verified; waits to be promoted
	Differs  Phase = "differs"  // caught up, but not verified: see Verification
	Active   Phase = "active"   // the one that is read
	Kept     Phase = "kept"     // was active, and is kept up to date
	Outside  Phase = "outside"  // it has no tables: see Spec.Outside
)

// A Version is one set of tables of a read model.
type Version struct {
	Name       string
	Version    int // of the tables
	Code       int // Spec.Version of the program that made them
	Phase      Phase
	Automatic  bool // promoted as soon as it is ready
	Indexed    bool // false during the bulk phase
	Target     Position
	LogID      uuid.UUID
	Checkpoint Position
	State      string    // of its projector, as written down
	Heartbeat  time.Time // of its projector; zero before the first
	Verified   *Verification

	tables string  // hash of the SQL
	views  *string // hash of the SQL; nil = none are made
}

// Progress is how much of the log a version holds that is being built, from 0 to 1.
func (v Version) Progress() float64 {
	if v.Target.Commit == 0 {
		return 1
	}
	return min(1, float64(v.Checkpoint.Commit)/float64(v.Target.Commit))
}

const selectVersions = `select v.name, v.version, v.code, v.phase, v.automatic, v.indexed, v.target, v.verification, v.tables, v.views,
	c.log_id, c.commit_pos, c.prepare_pos, c.state, coalesce(c.heartbeat, 'epoch')
	from daybook.projection_version v join daybook.projection_checkpoint c using (name, version)`

// querier is what a transaction and a pool have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Versions are those of all read models, or of one, the oldest first.
func Versions(ctx context.Context, db querier, name string) ([]Version, error) {
	rows, err := db.Query(ctx, selectVersions+" where $1 in ('', v.name) order by v.name, v.version", name)
	if err != nil {
		return nil, fmt.Errorf("read the versions of read models: %w", safe(err))
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (v Version, err error) {
		var verified []byte
		err = row.Scan(&v.Name, &v.Version, &v.Code, &v.Phase, &v.Automatic, &v.Indexed, &v.Target.Commit, &verified, &v.tables, &v.views,
			&v.LogID, &v.Checkpoint.Commit, &v.Checkpoint.Prepare, &v.State, &v.Heartbeat)
		v.Target.Prepare = v.Target.Commit
		if err == nil && verified != nil {
			err = json.Unmarshal(verified, &v.Verified)
		}
		return v, err
	})
}

// activeOf is the version that is read; nil before there is one.
func activeOf(versions []Version) *Version {
	return lastWith(versions, func(v Version) bool { return v.Phase == Active })
}

// madeBy is the newest version that code of a number made, the active one above all.
func madeBy(versions []Version, code int) *Version {
	if active := activeOf(versions); active != nil && active.Code == code {
		return active
	}
	return lastWith(versions, func(v Version) bool { return v.Code == code })
}

func lastWith(versions []Version, wanted func(Version) bool) *Version {
	for i := range slices.Backward(versions) {
		if wanted(versions[i]) {
			return &versions[i]
		}
	}
	return nil
}

// install makes a version for a projection where there is none, or sees that its
// tables and views are the ones that the Spec asks for.
func install(ctx context.Context, tx pgx.Tx, p Projection, logID uuid.UUID) error {
	spec := p.Spec()
	versions, err := Versions(ctx, tx, spec.Name)
	if err != nil {
		return err
	}
	for _, v := range versions {
		if v.LogID != logID {
			return fmt.Errorf("%w: its tables come from log %s, and this is log %s; name another database", ErrOtherLog, v.LogID, logID)
		}
	}
	active, mine := activeOf(versions), madeBy(versions, spec.Version)
	switch {
	case spec.Outside && mine == nil:
		_, err := makeVersion(ctx, tx, p, spec.Version, logID, Outside, Position{})
		return err
	case spec.Outside:
		return nil
	case active == nil:
		if _, err := makeVersion(ctx, tx, p, spec.Version, logID, Active, Position{}); err != nil {
			return err
		}
		return show(ctx, tx, spec, nil)
	case mine == nil && active.Code > spec.Version:
		return fmt.Errorf("the database's version %d is of a newer program (its code is version %d, this program's is %d): start that one and roll back to what this program keeps, or name another database",
			active.Version, active.Code, spec.Version)
	case mine == nil:
		next := max(versions[len(versions)-1].Version+1, spec.Version)
		v, err := makeVersion(ctx, tx, p, next, logID, Building, Position{})
		if err == nil {
			_, err = tx.Exec(ctx, "update daybook.projection_version set automatic = true where name = $1 and version = $2", spec.Name, v.Version)
		}
		return err
	case mine.tables != hash(spec.tables()):
		return fmt.Errorf("the tables of version %d in the database were made by other SQL than this program's; other tables are another version", spec.Version)
	}
	spec = versioned{p, mine.Version}.Spec()
	if mine.Phase != Active || mine.views != nil && *mine.views == hash(spec.views()) {
		return nil
	}
	if err := dropObjects(ctx, tx, spec); err != nil {
		return err
	}
	return show(ctx, tx, spec, nil)
}

// makeVersion makes empty tables. Those of a version that is to be built have no
// secondary indexes yet.
func makeVersion(ctx context.Context, tx pgx.Tx, p Projection, version int, logID uuid.UUID, phase Phase, target Position) (v Version, err error) {
	code := p.Spec()
	spec := versioned{p, version}.Spec()
	schema := pgx.Identifier{spec.SchemaName()}.Sanitize()
	statements := []string{"create schema " + schema + "; set local search_path = " + schema, createLabels, spec.Schema}
	if spec.Outside {
		statements = statements[:1]
	} else if phase != Building {
		statements = append(statements, spec.Index)
	}
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return v, fmt.Errorf("make the tables of version %d: %w", version, safe(err))
		}
	}
	v = Version{Name: spec.Name, Version: version, Code: code.Version, Phase: phase, Indexed: phase != Building, Target: target, LogID: logID}
	queue := &pgx.Batch{}
	queue.Queue("insert into daybook.projection_version (name, version, tables, code, phase, indexed, target) values ($1, $2, $3, $4, $5, $6, $7)",
		v.Name, v.Version, hash(spec.tables()), v.Code, v.Phase, v.Indexed, int64(target.Commit))
	queue.Queue("insert into daybook.projection_checkpoint (name, version, log_id) values ($1, $2, $3)", v.Name, v.Version, logID)
	return v, tx.SendBatch(ctx, queue).Close()
}

// errNoVersion is said of what nobody has made.
func errNoVersion(name string, version int) error {
	return fmt.Errorf("version %d of %s: %w", version, name, ErrNoVersion)
}

// ErrNoVersion says that there is no such version.
var ErrNoVersion = errors.New("there is no such version; daybook projections list shows those there are")
