package process

import (
	"slices"

	"github.com/google/uuid"

	"daybook.example/domain/process"
)

// ManagerLeaves hands on who reports to a manager that is terminated or retires:
// to the manager's manager, or the first above who is still there, from the day
// after the last day on, or from the day from which they would report to the one
// who is gone. Where there is nobody above, a person must say who it is. There is
// one instance for each manager with reports, named by the employee's ID.
//
// When the manager is employed on that day after all, because the end was
// rescinded, put off, or followed by a rehire at once, what it did is rescinded,
// the last first. What a person has changed since stays.
type ManagerLeaves struct{}

// movesMax is how many commands of an instance wait for their answers at a time:
// one append must hold what an input makes. Each answer makes room for the next.
const movesMax = 100

// The codes of what a person must look at, and of the ends.
const (
	noSuccessor  = "no-successor"
	moveRefused  = "move-refused"
	reportsMoved = "reports-moved"
	managerStays = "manager-stays"
)

// Name is that of its streams.
func (ManagerLeaves) Name() string { return "manager-leaves" }

// Version counts what it does.
func (ManagerLeaves) Version() int { return 1 }

// Route begins an instance for who is gone but has reports, and lets those that
// there are know of every change of the manager or of a report.
func (ManagerLeaves) Route(staff *Staff, _ Event) (targets []Target) {
	change := staff.Changed()
	if change.Employee == uuid.Nil {
		return nil
	}
	for _, id := range change.Managers {
		targets = append(targets, Target{ID: id, Start: leavesReports(staff, id)})
	}
	return append(targets, Target{ID: change.Employee, Start: change.Spells && leavesReports(staff, change.Employee)})
}

func leavesReports(staff *Staff, id uuid.UUID) bool {
	from, gone := staff.Gone(id)
	return gone && len(staff.ReportsFrom(id, from)) > 0
}

// React undoes what is not wanted any more; else it moves who is still to be moved.
func (ManagerLeaves) React(staff *Staff, manager uuid.UUID, own process.State) []process.Event {
	leaving := leaving{staff, manager, own}
	if undo := leaving.undo(); len(undo) > 0 {
		return undo
	}
	actions, outcome, open := leaving.move()
	if open || leaving.awaits() {
		return actions
	}
	return append(actions, finish(own, outcome)...)
}

// leaving is a manager's leave, as far as it is known and dealt with.
type leaving struct {
	staff   *Staff
	manager uuid.UUID
	own     process.State
}

// awaits reports whether an answer is open, or known only to the answer yet.
func (l leaving) awaits() bool {
	return slices.ContainsFunc(l.own.Steps, func(step process.Step) bool { return step.Answer == process.Pending || !l.arrived(step) })
}

// arrived reports whether staff has heard of what a command recorded.
func (l leaving) arrived(step process.Step) bool {
	known, _ := l.staff.Revision(step.Intent.EmployeeID)
	return step.Answer != process.Confirmed || step.Revision <= known
}

// busy reports whether somebody is on the move.
func (l leaving) busy(employee uuid.UUID) bool {
	return slices.ContainsFunc(l.own.Steps, func(step process.Step) bool {
		return step.Intent.EmployeeID == employee && (step.Answer == process.Pending || !l.arrived(step))
	})
}

// room is how many more commands may be asked for.
func (l leaving) room() int {
	room := movesMax
	for _, step := range l.own.Steps {
		if step.Answer == process.Pending {
			room--
		}
	}
	return max(room, 0)
}

// undo rescinds, the last first, the moves for days on which the manager is
// employed after all.
func (l leaving) undo() (actions []process.Event) {
	for _, step := range slices.Backward(l.own.Steps) {
		made := step.Answer == process.Confirmed && step.Undoes == uuid.Nil && !step.Undone && len(step.EventIDs) > 0
		if made && !l.busy(step.Intent.EmployeeID) && l.staff.Employed(l.manager, step.Intent.EffectiveFrom) &&
			l.staff.Says(step.Intent.EmployeeID, step.EventIDs[0]) {
			actions = append(actions, compensate(step))
		}
	}
	return actions[:min(len(actions), l.room())]
}

// move asks for the moves that are still to be made. It is open while any is
// under way, or needs a person.
func (l leaving) move() (actions []process.Event, outcome string, open bool) {
	from, gone := l.staff.Gone(l.manager)
	if !gone {
		return nil, managerStays, false
	}
	asked := map[uuid.UUID]bool{}
	for _, report := range l.staff.ReportsFrom(l.manager, from) {
		open = true
		if l.busy(report.Employee) || asked[report.Employee] {
			continue
		}
		asked[report.Employee] = true
		actions = append(actions, l.moveOne(report)...)
	}
	return actions[:min(len(actions), l.room())], reportsMoved, open
}

func (l leaving) moveOne(report Report) []process.Event {
	successor, found := l.staff.Successor(report.Employee, l.manager, report.From)
	if !found {
		return l.call(process.HumanNeeded{Code: noSuccessor, EmployeeID: report.Employee})
	}
	intent := process.Intent{Command: changeManager, EmployeeID: report.Employee, ManagerEmployeeID: successor, EffectiveFrom: report.From}
	for _, step := range l.own.Steps {
		if step.Intent == intent && step.Answer == process.Rejected {
			return l.call(process.HumanNeeded{Code: moveRefused, EmployeeID: report.Employee, CommandID: step.CommandID})
		}
	}
	return []process.Event{send(intent)}
}

// call calls for a person, once.
func (l leaving) call(needed process.HumanNeeded) []process.Event {
	if l.own.Needed(needed) {
		return nil
	}
	return []process.Event{needed}
}
