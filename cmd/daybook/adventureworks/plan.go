package adventureworks

import (
	"slices"

	"github.com/google/uuid"

	"daybook.example/commands"
	"daybook.example/commands/edge"
	"daybook.example/domain"
)

// A Line is one command for the import route. Key names its row for ever, so
// that a repeated import finds what it did before.
type Line struct {
	Key     string        `json:"key"`
	Source  domain.Source `json:"source"`
	Command string        `json:"command"`
	Target  string        `json:"target,omitempty"`
	Body    any           `json:"body"`

	amount domain.Decimal // what the report sums up
	month  string
}

// A Left is a row that became no fact, or not a whole one, and why.
type Left struct {
	Ref    string `json:"ref"` // file:row
	Reason string `json:"reason"`
}

// A Plan is the whole import: its commands in an order that works, and the rows
// left aside before any command was sent.
type Plan struct {
	Lines []Line
	Left  []Left
}

type plan struct {
	*Source
	Plan
	opened map[domain.Period]bool
}

// Plan turns the files into commands.
func (s *Source) Plan() (Plan, error) {
	p := plan{Source: s, opened: map[domain.Period]bool{}}
	for _, step := range []func() error{p.company, p.people, p.sales, p.purchases} {
		if err := step(); err != nil {
			return Plan{}, err
		}
	}
	return p.Plan, nil
}

func (p *plan) add(line Line) { p.Lines = append(p.Lines, line) }

func (p *plan) leave(r row, reason string) { p.Left = append(p.Left, Left{r.ref(), reason}) }

// ID is the ID of what the line under key creates, whoever imports it.
func ID(key string) uuid.UUID {
	return commands.ImportID(system, key)
}

// steps are the commands that others build on: each is answered before the next
// begins. All that is not named comes last.
var steps = [][]edge.Action{
	{edge.AddLegalEntity, edge.AddLocation, edge.CreateOrgUnit, edge.OpenBook},
	{edge.OpenAccount, edge.OpenPeriod, edge.HireEmployee},
}

// Steps are the lines of the plan in an order that works: a step is sent when the
// one before it is answered.
func (p Plan) Steps() [][]Line {
	sorted := make([][]Line, len(steps)+1)
	for _, line := range p.Lines {
		at := slices.IndexFunc(steps, func(step []edge.Action) bool { return slices.Contains(step, edge.Action(line.Command)) })
		if at < 0 {
			at = len(steps)
		}
		sorted[at] = append(sorted[at], line)
	}
	return sorted
}
