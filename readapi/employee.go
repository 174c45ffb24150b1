package readapi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/commands/edge"
	"daybook.example/domain"
)

// employeeFact is the projection that answers about employees, the
// organisation and its units.
const employeeFact = "employee_fact"

func (s *server) employeeRoutes() {
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/employees", Tag: "employees", Action: edge.ReadEmployees,
		Summary:     "List employees as of a day",
		Description: "Everyone who is or was employed by that day. Sort by employee_no, hire_date, job_title or department; a minus in front turns the order.",
	}, s.employees)
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/employees/{id}", Tag: "employees", Action: edge.ReadEmployees,
		Summary: "Read an employee as of a day",
	}, s.employee)
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/employees/{id}/facts", Tag: "employees", Action: edge.ReadEmployees,
		Summary:     "Read what was believed of an employee, and when",
		Description: "Each fact holds from a day to a day and was believed from a position to a position. With valid_at only those that hold on that day, with known_at only those believed then.",
	}, s.employeeFacts)
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/employees/{id}/history", Tag: "employees", Action: edge.ReadEmployees,
		Summary:     "Read an employee's facts as a grid of valid and recorded time",
		Description: "A row is an attribute from a day to a day, a column an event that changed what is believed, a cell the value that was believed from then on.",
	}, s.employeeHistory)
}

// EmployeeList is what a list of employees is asked by.
type EmployeeList struct {
	AsOfParams
	PageParams
	Sort       string    `query:"sort" enum:"employee_no,-employee_no,hire_date,-hire_date,job_title,-job_title,department,-department" default:"employee_no"`
	EmployeeNo string    `query:"employee_no" maxLength:"200" doc:"Exactly this employee number, in any letter case."`
	Q          string    `query:"q" maxLength:"200" doc:"A part of a name, in any letter case; for roles that may see names."`
	OrgUnit    uuid.UUID `query:"org_unit"`
	Manager    uuid.UUID `query:"manager"`
	Status     string    `query:"status" enum:"active,terminated,retired"`
}

// An EmployeeLine is one employee in a list.
type EmployeeLine struct {
	ID                uuid.UUID       `json:"id"`
	EmployeeNo        string          `json:"employee_no"`
	Status            string          `json:"status"`
	EmploymentType    string          `json:"employment_type"`
	HireDate          string          `json:"hire_date" format:"date"`
	LastDay           *string         `json:"last_day,omitempty" format:"date"`
	OrgUnitID         *uuid.UUID      `json:"org_unit_id,omitempty"`
	Department        *string         `json:"department,omitempty"`
	JobTitle          *string         `json:"job_title,omitempty"`
	ManagerEmployeeID *uuid.UUID      `json:"manager_employee_id,omitempty"`
	LegalName         json.RawMessage `json:"legal_name,omitempty"`
	PreferredName     json.RawMessage `json:"preferred_name,omitempty"`

	key string // by which the list is sorted
}

// employeeSorts are what a list may be sorted by, as SQL that is never null.
var employeeSorts = map[string]string{
	"employee_no": `e.employee_no collate "C"`,
	"hire_date":   `e.hire_date::text collate "C"`,
	"job_title":   `coalesce(e.job_title, '') collate "und-x-icu"`,
	"department":  `coalesce(e.department, '') collate "und-x-icu"`,
}

const employeeLinesSQL = `
select e.employee_id, e.employee_no, e.status, e.employment_type, e.hire_date::text, e.last_day::text, e.org_unit_id, e.department,
  e.job_title, e.manager_employee_id, l.value, p.value, %[1]s
from api.employees_at($1::date, $2::bigint) e
left join api.employee_fact l on l.employee_id = e.employee_id and l.attribute = 'legal_name' and l.valid @> $1::date and l.recorded @> $2::bigint
left join api.employee_fact p on p.employee_id = e.employee_id and p.attribute = 'preferred_name' and p.valid @> $1::date and p.recorded @> $2::bigint
where ($3 = '' or upper(e.employee_no) = upper($3))
  and ($4::uuid is null or e.org_unit_id = $4)
  and ($5::uuid is null or e.manager_employee_id = $5)
  and ($6 = '' or e.status = $6)
  and ($7::uuid is null or e.employee_id = $7)
  and ($8 = '' or e.employee_id in (
    select n.employee_id from api.employee_names_at($1::date, $2::bigint) n where strpos(lower(n.name collate "und-x-icu"), lower($8 collate "und-x-icu")) > 0))
  and ($9::uuid is null or (%[1]s, e.employee_id) %[2]s ($10, $9))
order by %[1]s %[3]s, e.employee_id %[3]s
limit $11`

// employeeLines are the lines of a page and one more, if there are more. Only
// is the one employee whom the caller may see, nil for all.
func employeeLines(ctx context.Context, tx pgx.Tx, at AsOf, q *EmployeeList, only uuid.UUID, after cursor) ([]EmployeeLine, error) {
	column, descending := strings.CutPrefix(q.Sort, "-")
	compare, order := ">", "asc"
	if descending {
		compare, order = "<", "desc"
	}
	rows, err := tx.Query(ctx, fmt.Sprintf(employeeLinesSQL, employeeSorts[column], compare, order),
		at.ValidAt.String(), at.Known, q.EmployeeNo, given(q.OrgUnit), given(q.Manager), q.Status, given(only), q.Q, given(after.ID), after.Key, q.Limit+1)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l EmployeeLine, err error) {
		err = row.Scan(&l.ID, &l.EmployeeNo, &l.Status, &l.EmploymentType, &l.HireDate, &l.LastDay, &l.OrgUnitID, &l.Department,
			&l.JobTitle, &l.ManagerEmployeeID, &l.LegalName, &l.PreferredName, &l.key)
		return l, err
	})
}

// given is nil for what was not given.
func given(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

func (s *server) employees(ctx context.Context, in *EmployeeList) (*answer[Page[EmployeeLine]], error) {
	principal, _ := edge.PrincipalFrom(ctx)
	var only uuid.UUID
	if edge.ReadEmployees.Allows(principal.Role) == edge.Own {
		if only = principal.EmployeeID; only == uuid.Nil {
			return nil, edge.Forbidden()
		}
	}
	if in.Q != "" && !edge.CanSee(principal, "identity", only) {
		return nil, edge.NewProblem(http.StatusForbidden, "forbidden", "the role of this token does not see names, so it cannot search them").At("query.q")
	}
	list := "employees " + in.Sort
	after, err := in.cursor(list)
	if err != nil {
		return nil, err
	}
	return asOf(ctx, s, employeeFact, in.AsOfParams, func(ctx context.Context, tx *reading, at AsOf) (Page[EmployeeLine], error) {
		lines, err := employeeLines(ctx, tx, at, in, only, after)
		if err != nil {
			return Page[EmployeeLine]{}, err
		}
		page := pageOf(at, in.PageParams, list, lines, func(l EmployeeLine) cursor { return cursor{l.key, l.ID} })
		names := make([]*json.RawMessage, 0, 2*len(page.Items))
		for i := range page.Items {
			names = append(names, &page.Items[i].LegalName, &page.Items[i].PreferredName)
		}
		return page, s.reveal(ctx, tx, names...)
	})
}

// OneEmployee is what one employee is asked by.
type OneEmployee struct {
	ID uuid.UUID `path:"id"`
	AsOfParams
}

// An EmployeeRecord is what is believed of an employee on a day. Nothing is said
// of a day before the hire.
type EmployeeRecord struct {
	AsOf
	ID        uuid.UUID                   `json:"id"`
	Revision  *int64                      `json:"revision,omitempty" doc:"Of the stream; only of what is believed now."`
	SubjectID *uuid.UUID                  `json:"subject_id,omitempty"`
	Facts     map[string]*json.RawMessage `json:"facts" doc:"By attribute: employment, position, manager, compensation, fte, legal_name and so on."`
}

func (s *server) employee(ctx context.Context, in *OneEmployee) (*answer[EmployeeRecord], error) {
	principal, _ := edge.PrincipalFrom(ctx)
	if !edge.May(principal, edge.ReadEmployees, in.ID) {
		return nil, edge.Forbidden()
	}
	record, err := asOf(ctx, s, employeeFact, in.AsOfParams, func(ctx context.Context, tx *reading, at AsOf) (EmployeeRecord, error) {
		record, err := employeeRecord(ctx, tx, at, in.ID)
		if err != nil {
			return record, err
		}
		return record, s.reveal(ctx, tx, slices.Collect(maps.Values(record.Facts))...)
	})
	if err != nil || record.Body.Revision == nil {
		return record, err
	}
	return record.tagged(record.Body.AsOf, *record.Body.Revision), nil
}

// employeeRecord reads what is believed of an employee. One of whom nothing is
// believed at all, as after a rescinded hire, is unknown.
func employeeRecord(ctx context.Context, tx pgx.Tx, at AsOf, id uuid.UUID) (EmployeeRecord, error) {
	record := EmployeeRecord{AsOf: at, ID: id, Facts: map[string]*json.RawMessage{}}
	var known bool
	var revision int64
	both := &pgx.Batch{}
	both.Queue(`select true, last_revision, subject_id from api.employee e
		where employee_id = $1 and exists (select from api.employee_fact f where f.employee_id = e.employee_id and f.recorded @> $2::bigint)`,
		id, at.Known).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&known, &revision, &record.SubjectID}, func() error { return nil })
		return err
	})
	both.Queue(`select attribute, value from api.employee_fact
		where employee_id = $1 and valid @> $2::date and recorded @> $3::bigint`, id, at.ValidAt.String(), at.Known).Query(func(rows pgx.Rows) error {
		var attribute string
		var value json.RawMessage
		_, err := pgx.ForEachRow(rows, []any{&attribute, &value}, func() error {
			value := slices.Clone(value)
			record.Facts[attribute] = &value
			return nil
		})
		return err
	})
	err := tx.SendBatch(ctx, both).Close()
	if err == nil && !known {
		err = unknownEmployee()
	}
	if at.Current {
		record.Revision = &revision
	}
	return record, err
}

func unknownEmployee() error {
	return &domain.Error{Kind: domain.NotFound, Code: "employee-unknown", Message: "no such employee was known at that time"}
}
