// Package audit projects every event of ours into the audit log: who, what, when
// and why, and of each field what was believed before and after. It takes events
// that nobody can decode, too: for an auditor they are findings.
package audit

import (
	"context"
	_ "embed"

	"github.com/jackc/pgx/v5"

	"daybook.example/projections"
)

// Name is the projection's name.
const Name = "audit_log"

// Version counts the shapes of the tables.
const Version = 1

var (
	//go:embed schema.sql
	schema string
	//go:embed index.sql
	indexes string
	//go:embed read.sql
	read string
	//go:embed api.sql
	api string
)

// Projection folds events into the tables of schema.sql. It needs no keys: what
// is sealed stays so.
type Projection struct{}

// New makes the projection.
func New() Projection { return Projection{} }

// Spec says what the projection reads and keeps: all there is.
func (Projection) Spec() projections.Spec {
	return projections.Spec{Name: Name, Version: Version, Schema: schema, Index: indexes, Read: read, API: api}
}

// Apply folds a batch: it reads the states of the entities in it in one round
// trip, and writes what is new in another.
func (Projection) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	p := newPage(events)
	reads := &pgx.Batch{}
	p.queueLoad(reads)
	if err := tx.SendBatch(ctx, reads).Close(); err != nil {
		return err
	}
	return p.store(ctx, tx, events)
}
