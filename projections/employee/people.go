package employee

import (
	"github.com/google/uuid"

	"daybook.example/domain/employee"
	"daybook.example/eventstore/seal"
	"daybook.example/projections"
)

// personTables names the one table that shows the values of a purpose in clear.
// Those of other purposes are never projected.
var personTables = map[string]string{
	"identity": "person_identity",
	"contact":  "person_contact",
	"bank":     "person_bank",
	"payroll":  "person_pay",
}

// people are the rows of a batch that stand for persons: one for each employee
// and one for each personal value.
type people struct {
	employees map[uuid.UUID]person
	order     []uuid.UUID
	values    []personal
}

type person struct {
	subject uuid.UUID // nil unless this batch tells
	first   int64
	last    moment
}

type personal struct {
	projections.Personal
	moment
}

// add opens the event's personal values. It is the one place of the read model
// that has the keys.
func (p *people) add(keys *seal.Keyring, id uuid.UUID, e projections.Event, event employee.Event) error {
	row, seen := p.employees[id]
	if !seen {
		row.first = e.Pos()
		p.order = append(p.order, id)
	}
	if hired, ok := event.(employee.EmployeeHired); ok {
		row.subject = hired.SubjectID
	}
	row.last = momentOf(e)
	if p.employees == nil {
		p.employees = map[uuid.UUID]person{}
	}
	p.employees[id] = row

	opened, err := keys.Open(e.Stream, e.ID, e.Data)
	if err != nil {
		return err
	}
	_, values, err := projections.SplitPersonal(e.ID, opened)
	for _, value := range values {
		p.values = append(p.values, personal{value, row.last})
	}
	return err
}

func (p *people) store(writes *projections.Writes) {
	p.storeEmployees(writes)
	for purpose, table := range personTables {
		p.storeValues(writes, purpose, table)
	}
}

func (p *people) storeEmployees(writes *projections.Writes) {
	if len(p.order) == 0 {
		return
	}
	n := len(p.order)
	subjects, events := make([]*uuid.UUID, n), make([]uuid.UUID, n)
	firsts, positions, revisions := make([]int64, n), make([]int64, n), make([]int64, n)
	for i, id := range p.order {
		row := p.employees[id]
		if row.subject != uuid.Nil {
			subjects[i] = &row.subject
		}
		firsts[i], events[i], positions[i], revisions[i] = row.first, row.last.event, row.last.position, row.last.revision
	}
	writes.Queue(`insert into employee as e (employee_id, subject_id, first_position, last_event_id, last_position, last_revision)
		select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::bigint[], $6::bigint[])
		on conflict (employee_id) do update set subject_id = coalesce(excluded.subject_id, e.subject_id),
		  last_event_id = excluded.last_event_id, last_position = excluded.last_position, last_revision = excluded.last_revision`,
		p.order, subjects, firsts, events, positions, revisions)
}

// storeValues writes the values of one purpose. An erased one has no row.
func (p *people) storeValues(writes *projections.Writes, purpose, table string) {
	var values []personal
	for _, v := range p.values {
		if v.Purpose == purpose && v.Value != nil {
			values = append(values, v)
		}
	}
	writes.Insert(table, "subject, event_id, path, value, last_event_id, last_position, last_revision", len(values), func(i int) []any {
		v := values[i]
		return []any{v.Subject, v.EventID, v.Path, v.Value, v.EventID, v.position, v.revision}
	})
}
