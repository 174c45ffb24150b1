// Package employee projects employees, the organisation and its units into
// rectangles: what is believed of an attribute, from a day to a day (valid),
// from a place in the log to another (recorded). Every answer about any day, as
// it was known at any time, is a look into one of them.
package employee

import (
	"context"
	_ "embed"
	"slices"

	"github.com/jackc/pgx/v5"

	"daybook.example/domain"
	"daybook.example/domain/employee"
	"daybook.example/domain/organisation"
	"daybook.example/domain/orgunit"
	"daybook.example/eventstore/seal"
	"daybook.example/projections"
)

// Name is the projection's name.
const Name = "employee_fact"

// Version counts the shapes of the tables. Types of events that were never written
// before may join Events under the same version: what is in the tables stays right.
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
type Projection struct {
	keys          *seal.Keyring
	employees     ledger[employee.Event]
	organisations ledger[domain.Named]
}

// New makes the projection. The keys open what goes into the person_* tables,
// and nothing else.
func New(keys *seal.Keyring) *Projection {
	return &Projection{
		keys:          keys,
		employees:     ledger[employee.Event]{name: "employee", decode: employee.Catalog.Decode, fold: employeeFold, cause: employeeCause},
		organisations: ledger[domain.Named]{name: "organisation", decode: decodeOrganisation, fold: organisationFold, cause: changed},
	}
}

// Spec says what the projection reads and keeps.
func (p *Projection) Spec() projections.Spec {
	return projections.Spec{
		Name:    Name,
		Version: Version,
		Events:  slices.Concat(employee.Catalog.Names(), organisation.Catalog.Names(), orgunit.Catalog.Names()),
		Schema:  schema,
		Index:   indexes,
		Read:    read,
		API:     api,
	}
}

// Apply folds a batch: it reads what was said before of the entities in it, in
// one round trip, and writes what is new in another.
func (p *Projection) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	employees, organisations := p.employees.open(), p.organisations.open()
	var people people
	for _, e := range events {
		if event, ok := e.Decoded.(employee.Event); ok {
			id, err := entityOf(e)
			if err != nil {
				return err
			}
			employees.say(id, e, event)
			if err := people.add(p.keys, id, e, event); err != nil {
				return err
			}
			continue
		}
		id, err := organisationEntity(e)
		if err != nil {
			return err
		}
		organisations.say(id, e, e.Decoded)
	}
	if err := load(ctx, tx, employees, organisations); err != nil {
		return err
	}
	var writes projections.Writes
	employees.store(&writes)
	organisations.store(&writes)
	people.store(&writes)
	return writes.Send(ctx, tx)
}
