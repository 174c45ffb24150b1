package edge

import (
	"fmt"
	"strings"

	"github.com/google/uuid"

	"daybook.example/domain/access"
)

// A Role is what a principal is here for. A principal has one.
type Role = access.Role

// An Action is what an operation does to the business. Every operation names
// one; commands of an import are called by it.
type Action string

// The actions.
const (
	HireEmployee       Action = "employees.hire"
	RehireEmployee     Action = "employees.rehire"
	ChangePosition     Action = "employees.position"
	ChangeManager      Action = "employees.manager"
	ChangeCompensation Action = "employees.compensation"
	ChangeWorkingTime  Action = "employees.working-time"
	ChangePersonalData Action = "employees.personal-data"
	ChangeBankAccount  Action = "employees.bank-account"
	TerminateEmployee  Action = "employees.terminate"
	RetireEmployee     Action = "employees.retire"
	ConfirmProbation   Action = "employees.probation-confirm"
	ExtendProbation    Action = "employees.probation-extend"
	CorrectEmployee    Action = "employees.correct"
	RescindEmployee    Action = "employees.rescind"
	ReadEmployees      Action = "employees.read"

	NameOrganisation Action = "organisation.name"
	AddLegalEntity   Action = "organisation.legal-entity"
	AddLocation      Action = "organisation.location"
	ReadOrganisation Action = "organisation.read"

	CreateOrgUnit Action = "org-units.create"
	RenameOrgUnit Action = "org-units.rename"
	MoveOrgUnit   Action = "org-units.move"
	CloseOrgUnit  Action = "org-units.close"

	OpenBook      Action = "books.open"
	OpenAccount   Action = "accounts.open"
	RenameAccount Action = "accounts.rename"
	BlockAccount  Action = "accounts.block"
	OpenPeriod    Action = "periods.open"
	SoftClose     Action = "periods.soft-close"
	ClosePeriod   Action = "periods.close"
	ReopenPeriod  Action = "periods.reopen"
	PostEntry     Action = "entries.post"
	ReverseEntry  Action = "entries.reverse"
	ReadBooks     Action = "books.read"

	ReadHeadcount    Action = "reports.headcount"
	ReadTrialBalance Action = "reports.trial-balance"
	ReadBackdated    Action = "reports.backdated"
	ReadAudit        Action = "audit.read"
	ReadEvents       Action = "events.read"
	ReadProcesses    Action = "processes.read"
	RetryProcess     Action = "processes.retry"
	TakeOverProcess  Action = "processes.takeover"
	ReadMetrics      Action = "metrics.read"

	ReadProjections    Action = "projections.read"
	OperateProjections Action = "projections.operate"
	WaiveEvent         Action = "projections.waive"

	IssueToken  Action = "tokens.issue"
	RevokeToken Action = "tokens.revoke"
	ReadTokens  Action = "tokens.read"
	RunImport   Action = "imports.run"
)

// policy is the one table of who may do what. A cell is x (yes), o (only what
// concerns the principal as an employee) or - (no). A row that ends in "others"
// is closed to everyone for the own record, whatever the role: nobody sets their
// own pay, position or end of employment.
const policy = `
action                   employee hr payroll finance auditor integrator operator admin
employees.hire           -        x  -       -       -       -          -        x
employees.rehire         -        x  -       -       -       -          -        x  others
employees.position       -        x  -       -       -       -          -        x  others
employees.manager        -        x  -       -       -       -          -        x  others
employees.compensation   -        -  x       -       -       -          -        x  others
employees.working-time   -        x  -       -       -       -          -        x  others
employees.personal-data  o        x  -       -       -       -          -        x
employees.bank-account   -        -  x       -       -       -          -        x  others
employees.terminate      -        x  -       -       -       -          -        x  others
employees.retire         -        x  -       -       -       -          -        x  others
employees.probation-confirm -     x  -       -       -       -          -        x  others
employees.probation-extend -      x  -       -       -       -          -        x  others
employees.correct        -        x  x       -       -       -          -        x  others
employees.rescind        -        x  x       -       -       -          -        x  others
employees.read           o        x  x       -       x       x          -        x
organisation.name        -        -  -       -       -       -          -        x
organisation.legal-entity -       x  -       -       -       -          -        x
organisation.location    -        x  -       -       -       -          -        x
organisation.read        x        x  x       x       x       x          -        x
org-units.create         -        x  -       -       -       -          -        x
org-units.rename         -        x  -       -       -       -          -        x
org-units.move           -        x  -       -       -       -          -        x
org-units.close          -        x  -       -       -       -          -        x
books.open               -        -  -       x       -       -          -        x
accounts.open            -        -  -       x       -       -          -        x
accounts.rename          -        -  -       x       -       -          -        x
accounts.block           -        -  -       x       -       -          -        x
periods.open             -        -  -       x       -       -          -        x
periods.soft-close       -        -  -       x       -       -          -        x
periods.close            -        -  -       x       -       -          -        x
periods.reopen           -        -  -       x       -       -          -        x
entries.post             -        -  -       x       -       -          -        x
entries.reverse          -        -  -       x       -       -          -        x
books.read               -        -  -       x       x       x          -        x
reports.headcount        -        x  x       x       x       x          -        x
reports.trial-balance    -        -  -       x       x       x          -        x
reports.backdated        -        x  x       x       x       -          -        x
audit.read               -        -  -       -       x       -          -        x
events.read              -        -  -       -       x       x          -        x
processes.read           -        x  -       -       -       -          x        x
processes.retry          -        -  -       -       -       -          x        x
processes.takeover       -        -  -       -       -       -          x        x
metrics.read             -        -  -       -       -       -          x        x
projections.read         -        -  -       -       x       x          x        x
projections.operate      -        -  -       -       -       -          x        x
projections.waive        -        -  -       -       -       -          x        x
tokens.issue             -        -  -       -       -       -          -        x
tokens.revoke            -        -  -       -       -       -          -        x
tokens.read              -        -  -       -       x       -          -        x
imports.run              -        -  -       -       -       -          -        x
`

// A Class is how much a field says about a person.
type Class string

// The classes of fields.
const (
	Public   Class = "public"
	Internal Class = "internal"
	Personal Class = "personal"
	Special  Class = "special"
	Secret   Class = "secret"
)

// sight is the second half of the table: which classes a role sees.
const sight = `
class                    employee hr payroll finance auditor integrator operator admin
public                   x        x  x       x       x       x          x        x
internal                 x        x  x       x       x       x          -        x
personal                 o        x  x       -       -       -          -        x
special                  -        x  -       -       -       -          -        x
secret                   o        -  x       -       -       -          -        x
`

// classes says which class the values sealed for a purpose are of.
var classes = map[string]Class{
	"identity":  Personal,
	"contact":   Personal,
	"applicant": Personal,
	"bank":      Secret,
	"payroll":   Secret,
	"health":    Special,
	"note":      Special,
}

// Reach is how far a role's right goes.
type Reach byte

// The reaches, as they stand in the table.
const (
	Nothing Reach = '-'
	Own     Reach = 'o'
	All     Reach = 'x'
)

type row struct {
	reach  map[Role]Reach
	others bool // never the own record
}

var (
	actionRows = parseTable(policy)
	sightRows  = parseTable(sight)
)

// parseTable reads a table. A cell that is missing or means nothing is a
// programmer's error.
func parseTable(table string) map[string]row {
	lines := strings.Split(strings.TrimSpace(table), "\n")
	rows := make(map[string]row, len(lines))
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		r := row{reach: map[Role]Reach{}, others: cells[len(cells)-1] == "others"}
		if r.others {
			cells = cells[:len(cells)-1]
		}
		if _, twice := rows[cells[0]]; twice || len(cells) != len(access.Roles)+1 {
			panic(fmt.Sprintf("edge: the role table's row %s is there twice or has not a cell for every role", cells[0]))
		}
		for i, role := range access.Roles {
			r.reach[role] = Reach(cells[i+1][0])
			if !strings.Contains("-ox", cells[i+1]) {
				panic("edge: a cell of the role table is neither -, o nor x: " + line)
			}
		}
		rows[cells[0]] = r
	}
	return rows
}

// Declared reports whether the table has a row for the action.
func (a Action) Declared() bool {
	_, ok := actionRows[string(a)]
	return ok
}

// Allows says how far a role may go with an action; what the table does not
// name, nobody may do.
func (a Action) Allows(role Role) Reach {
	reach, ok := actionRows[string(a)].reach[role]
	if !ok {
		return Nothing
	}
	return reach
}

// OthersOnly reports whether the action is closed to everyone for the own record.
func (a Action) OthersOnly() bool { return actionRows[string(a)].others }

// May decides on an action. The employee is whom it concerns; none, where it
// concerns no employee or not one alone.
func May(p Principal, action Action, employee uuid.UUID) bool {
	own := employee != uuid.Nil && employee == p.EmployeeID
	switch action.Allows(p.Role) {
	case All:
		return !own || !action.OthersOnly()
	case Own:
		return own && !action.OthersOnly()
	}
	return false
}

// CanSee decides whether a principal sees the values that are sealed for a
// purpose; owner is the employee whom they are about, none where that is open.
// All that is masked or shown is decided here.
func CanSee(p Principal, purpose string, owner uuid.UUID) bool {
	class, known := classes[purpose]
	return known && CanSeeClass(p, class, owner)
}

// CanSeeClass decides the same for a class of fields.
func CanSeeClass(p Principal, class Class, owner uuid.UUID) bool {
	switch sightRows[string(class)].reach[p.Role] {
	case All:
		return true
	case Own:
		return owner != uuid.Nil && owner == p.EmployeeID
	}
	return false
}

// roles lists who may do an action, in words.
func (a Action) roles() string {
	var names []string
	for _, role := range access.Roles {
		switch a.Allows(role) {
		case All:
			names = append(names, string(role))
		case Own:
			names = append(names, string(role)+" (own record)")
		}
	}
	return strings.Join(names, ", ")
}
