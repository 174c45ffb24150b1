package process

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/process"
)

// ProbationEnds keeps a probation from ending unnoticed: it reminds two weeks
// before its last day, and calls for a person when that day begins and nobody has
// decided. A confirmation, an extension, or an end of the employment is the answer. A
// probation that was over when it was recorded, as in an import, starts nothing.
// There is one instance for each employee on probation.
//
// The day begins in the organisation's zone as it was when the deadline was set.
type ProbationEnds struct{}

// remindBefore is how many days before the last one somebody is reminded.
const remindBefore = 14

// The keys of its deadlines, and the codes of what it says.
const (
	reminderDue         = "reminder"
	endDue              = "end"
	probationEnding     = "probation-ending"
	probationUnanswered = "probation-unanswered"
	probationConfirmed  = "probation-confirmed"
	probationExtended   = "probation-extended"
	employmentEnded     = "employment-ended"
	noProbation         = "no-probation"
)

// Name is that of its streams.
func (ProbationEnds) Name() string { return "probation-ends" }

// Version counts what it does.
func (ProbationEnds) Version() int { return 1 }

// Route lets the employee's instance know of every change of the probation.
func (ProbationEnds) Route(staff *Staff, e Event) []Target {
	change := staff.Changed()
	if !change.Probation {
		return nil
	}
	p := staff.Probation(change.Employee)
	running := p.State == ProbationOpen && !p.End.Before(domain.DateOf(e.Meta.RecordedAt))
	return []Target{{ID: change.Employee, Start: running}}
}

// React sets the deadlines that belong to the probation as it is now, takes back
// all others, and says what their passing means.
func (ProbationEnds) React(staff *Staff, id uuid.UUID, own process.State) []process.Event {
	p := staff.Probation(id)
	var wanted []process.DeadlineScheduled
	if p.State == ProbationOpen {
		wanted = []process.DeadlineScheduled{
			{Key: reminderDue, At: staff.Morning(p.End.AddDays(-remindBefore))},
			{Key: endDue, At: staff.Morning(p.End)},
		}
	}
	actions := withdraw(own, wanted)
	if p.State != ProbationOpen {
		return append(actions, finish(own, outcomeOf(p.State))...)
	}
	reached := func(i int) bool { return passed(own, wanted[i]) }
	if len(own.Needs) > 0 && !reached(1) {
		actions = append(actions, process.Finished{Outcome: probationExtended})
	}
	actions = append(actions, schedule(own, wanted)...)
	if reminder := (process.Reminded{Code: probationEnding, Due: p.End}); reached(0) && !slices.Contains(own.Reminders, reminder) {
		actions = append(actions, reminder)
	}
	if needed := (process.HumanNeeded{Code: probationUnanswered, EmployeeID: id}); reached(1) && !own.Needed(needed) {
		actions = append(actions, needed)
	}
	return actions
}

func outcomeOf(state ProbationState) string {
	switch state {
	case ProbationConfirmed:
		return probationConfirmed
	case ProbationLeft:
		return employmentEnded
	}
	return noProbation
}

// withdraw takes back the open deadlines that are not wanted.
func withdraw(own process.State, wanted []process.DeadlineScheduled) (actions []process.Event) {
	for _, open := range own.Deadlines {
		if !slices.ContainsFunc(wanted, func(w process.DeadlineScheduled) bool { return same(open, w) }) {
			actions = append(actions, process.DeadlineCancelled{DeadlineID: open.ID, Key: open.Key})
		}
	}
	return actions
}

// schedule sets the wanted deadlines that are neither open nor passed.
func schedule(own process.State, wanted []process.DeadlineScheduled) (actions []process.Event) {
	for _, w := range wanted {
		open := slices.ContainsFunc(own.Deadlines, func(d process.Deadline) bool { return same(d, w) })
		if !open && !passed(own, w) {
			actions = append(actions, w)
		}
	}
	return actions
}

// passed reports whether a deadline's time has come already.
func passed(own process.State, w process.DeadlineScheduled) bool {
	return slices.ContainsFunc(own.Reached, func(d process.Deadline) bool { return same(d, w) })
}

func same(d process.Deadline, w process.DeadlineScheduled) bool {
	return d.Key == w.Key && d.At.Equal(w.At.Truncate(time.Microsecond))
}
