// Package journal projects books: their accounts and periods as they were known
// at any place in the log, and the entries of the journal line by line. A balance
// is a sum over lines up to a day and up to a position; none is stored.
package journal

import (
	"context"
	_ "embed"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/domain/book"
	"daybook.example/domain/journal"
	"daybook.example/domain/organisation"
	"daybook.example/projections"
)

// Name is the projection's name.
const Name = "journal_line"

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

// Projection folds events into the tables of schema.sql.
type Projection struct{}

// New makes the projection. It needs no keys: nothing personal is in a book.
func New() Projection { return Projection{} }

// Spec says what the projection reads and keeps.
func (Projection) Spec() projections.Spec {
	return projections.Spec{
		Name:    Name,
		Version: Version,
		Events:  slices.Concat(book.Catalog.Names(), journal.Catalog.Names(), []string{organisation.OrganisationNamed{}.EventType()}),
		Schema:  schema,
		Index:   indexes,
		Read:    read,
		API:     api,
	}
}

// Apply reads what is known of the books and periods that a batch touches, in
// one round trip, and writes what is new in another.
func (Projection) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	ledger := newLedger()
	for _, e := range events {
		if err := ledger.expect(e); err != nil {
			return err
		}
	}
	if err := ledger.load(ctx, tx); err != nil {
		return err
	}
	for _, e := range events {
		if err := ledger.enter(e); err != nil {
			return err
		}
	}
	return ledger.store(ctx, tx)
}

// last names the event that last touched a row.
type last struct {
	EventID  uuid.UUID `json:"last_event_id"`
	Position int64     `json:"last_position"`
	Revision int64     `json:"last_revision"`
}

func lastOf(e projections.Event) last { return last{e.ID, e.Pos(), int64(e.Revision)} }
