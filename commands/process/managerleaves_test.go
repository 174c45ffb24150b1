package process

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain/employee"
	"daybook.example/domain/process"
)

// The people of the stories: a chief, a head below, a lead below that, and two who
// report to the lead.
var (
	chief = uuid.MustParse("00000000-0000-4000-8000-00000000000a")
	head  = uuid.MustParse("00000000-0000-4000-8000-00000000000b")
	lead  = uuid.MustParse("00000000-0000-4000-8000-00000000000c")
	ada   = uuid.MustParse("00000000-0000-4000-8000-00000000000d")
	ben   = uuid.MustParse("00000000-0000-4000-8000-00000000000e")
)

// company is the events 1 to 9: each is hired, and the last four are told to whom
// they report.
func company(s *story) {
	for _, f := range []fact{
		hired(chief, "2020-01-01"), hired(head, "2020-01-01", chief), hired(lead, "2020-01-01", head),
		hired(ada, "2021-01-01", lead), hired(ben, "2021-01-01", lead),
	} {
		f(s)
	}
}

func moves(id, to uuid.UUID, from string) process.Event {
	return process.CommandRequested{Intent: process.Intent{Command: changeManager, EmployeeID: id, ManagerEmployeeID: to, EffectiveFrom: day(from)}}
}

func undoes(id uuid.UUID, event, command int) process.Event {
	return process.CommandRequested{Intent: process.Intent{Command: rescindFact, EmployeeID: id, RescindsEventID: eventID(event)}, Undoes: eventID(command)}
}

func needs(code string, id uuid.UUID) process.Event {
	return process.HumanNeeded{Code: code, EmployeeID: id}
}

func TestGivenReportsWhenTheirManagerLeavesThenEachGoesToTheManagersManagerFromTheDayAfter(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]fact{
		"termination": leaves(lead, "2026-03-31"),
		"retirement":  told(lead, employee.EmployeeRetired{LastDay: day("2026-03-31"), Scheme: "state"}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := given(t, ManagerLeaves{}, company).when(end).starts(lead).
				then(lead, moves(ada, head, "2026-04-01"), moves(ben, head, "2026-04-01")).
				then(lead)
			s.when(confirmed(lead)).then(lead)
			s.when(confirmed(lead)).then(lead, process.Finished{Outcome: reportsMoved}).then(lead)
		})
	}
}

func TestGivenNoReportsWhenSomebodyLeavesThenNothingStarts(t *testing.T) {
	t.Parallel()
	given(t, ManagerLeaves{}, company).when(leaves(ada, "2026-03-31")).starts()
}

func TestGivenAMoveThatIsConfirmedButNotHeardOfWhenSomethingElseHappensThenItIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	s := given(t, ManagerLeaves{}, company).when(leaves(lead, "2026-03-31")).
		then(lead, moves(ada, head, "2026-04-01"), moves(ben, head, "2026-04-01"))
	arrive := s.carryOut(lead)
	s.when(confirmed(lead)).then(lead)
	arrive()
	s.tells(lead).then(lead, process.Finished{Outcome: reportsMoved})
}

// The manager's manager leaves before the manager does, or before what was asked
// for because of that takes effect.
func TestGivenTheManagersManagerIsGoneByThenWhenAManagerLeavesThenTheFirstAboveWhoIsThereTakesOver(t *testing.T) {
	t.Parallel()
	given(t, ManagerLeaves{}, company, leaves(head, "2026-02-28")).when(leaves(lead, "2026-03-31")).
		then(lead, moves(ada, chief, "2026-04-01"), moves(ben, chief, "2026-04-01"))

	// The other way round: who was promised to the deputy is the deputy's to hand on
	s := given(t, ManagerLeaves{}, company).when(leaves(lead, "2026-03-31")).
		then(lead, moves(ada, head, "2026-04-01"), moves(ben, head, "2026-04-01"))
	s.when(confirmed(lead)).when(confirmed(lead)).then(lead, process.Finished{Outcome: reportsMoved})
	s.when(leaves(head, "2026-02-28")).starts(head).
		then(head, moves(lead, chief, "2026-03-01"), moves(ada, chief, "2026-04-01"), moves(ben, chief, "2026-04-01"))

	// And what arrives under somebody who is gone already is handed on, too
	s = given(t, ManagerLeaves{}, company).when(leaves(lead, "2026-03-31")).
		then(lead, moves(ada, head, "2026-04-01"), moves(ben, head, "2026-04-01"))
	s.when(leaves(head, "2026-02-28")).then(head, moves(lead, chief, "2026-03-01"))
	s.when(confirmed(lead)).tells(head).then(head, moves(ada, chief, "2026-04-01"))
}

func TestGivenNobodyAboveWhenAManagerLeavesThenAPersonIsCalledOnceAndTheirWordEndsIt(t *testing.T) {
	t.Parallel()
	s := given(t, ManagerLeaves{}, company).when(leaves(chief, "2026-03-31")).starts(chief).
		then(chief, needs(noSuccessor, head)).then(chief)
	s.when(told(head, employee.ManagerAssigned{ManagerEmployeeID: lead, EffectiveFrom: day("2026-04-01")})).tells(chief).
		then(chief, process.Finished{Outcome: reportsMoved})
}

func TestGivenALeaveWhenAReportIsHiredInBetweenThenItIsMovedToo(t *testing.T) {
	t.Parallel()
	cleo := uuid.New()
	s := given(t, ManagerLeaves{}, company).when(leaves(lead, "2026-03-31")).
		then(lead, moves(ada, head, "2026-04-01"), moves(ben, head, "2026-04-01"))
	s.when(confirmed(lead)).when(confirmed(lead)).then(lead, process.Finished{Outcome: reportsMoved})
	s.when(hired(cleo, "2026-03-01", lead)).tells(lead).then(lead, moves(cleo, head, "2026-04-01"))

	// Also one who begins when the manager is gone already: from the first day on
	late := uuid.New()
	s.when(confirmed(lead)).then(lead, process.Finished{Outcome: reportsMoved})
	s.when(hired(late, "2026-05-01", lead)).tells(lead).then(lead, moves(late, head, "2026-05-01"))

	// And where the manager had no reports, the first one starts the instance
	given(t, ManagerLeaves{}, company, leaves(ada, "2026-03-31")).when(hired(cleo, "2026-03-01", ada)).starts(ada).
		then(ada, moves(cleo, lead, "2026-04-01"))
}

func TestGivenAReportWhoseHireIsRescindedThenNothingMoreIsAskedOfIt(t *testing.T) {
	t.Parallel()
	s := given(t, ManagerLeaves{}, company).when(leaves(lead, "2026-03-31")).
		then(lead, moves(ada, head, "2026-04-01"), moves(ben, head, "2026-04-01"))
	s.when(rescinded(ada, 6)).when(rejected(lead, "not-hired")).then(lead)
	s.when(confirmed(lead)).then(lead, process.Finished{Outcome: reportsMoved})
}

func TestGivenAManagerWhoseHireIsRescindedThenAPersonSaysToWhomTheReportsGo(t *testing.T) {
	t.Parallel()
	given(t, ManagerLeaves{}, company).when(rescinded(lead, 4)).starts(lead).
		then(lead, needs(noSuccessor, ada), needs(noSuccessor, ben))
}

func TestGivenMovesWhenTheEndIsRescindedThenTheyAreUndoneTheLastFirst(t *testing.T) {
	t.Parallel()
	// Given ada's move is event 13 by command 11, and ben's 15 by command 12
	s := given(t, ManagerLeaves{}, company).when(leaves(lead, "2026-03-31")).
		then(lead, moves(ada, head, "2026-04-01"), moves(ben, head, "2026-04-01"))
	s.when(confirmed(lead)).when(confirmed(lead)).then(lead, process.Finished{Outcome: reportsMoved})

	s.when(rescinded(lead, 10)).tells(lead).then(lead, undoes(ben, 15, 12), undoes(ada, 13, 11)).then(lead)
	s.when(confirmed(lead)).then(lead)
	s.when(confirmed(lead)).then(lead, process.Finished{Outcome: managerStays}).then(lead)

	// And a leave on another day begins anew
	s.when(leaves(lead, "2026-06-30")).then(lead, moves(ada, head, "2026-07-01"), moves(ben, head, "2026-07-01"))
}

func TestGivenMovesUnderWayWhenTheEndIsRescindedThenTheyAreUndoneOnceTheyAreAnswered(t *testing.T) {
	t.Parallel()
	s := given(t, ManagerLeaves{}, company).when(leaves(lead, "2026-03-31")).
		then(lead, moves(ada, head, "2026-04-01"), moves(ben, head, "2026-04-01"))
	s.when(rescinded(lead, 10)).then(lead)
	s.when(confirmed(lead)).then(lead, undoes(ada, 14, 11))
	s.when(confirmed(lead)).then(lead, undoes(ben, 17, 12))
}

func TestGivenMovesWhenAPersonHasChangedOneSinceThenOnlyTheOtherIsUndone(t *testing.T) {
	t.Parallel()
	s := given(t, ManagerLeaves{}, company).when(leaves(lead, "2026-03-31")).
		then(lead, moves(ada, head, "2026-04-01"), moves(ben, head, "2026-04-01"))
	s.when(confirmed(lead)).when(confirmed(lead))
	right := employee.ManagerAssigned{ManagerEmployeeID: chief, EffectiveFrom: day("2026-04-01")}
	s.when(told(ben, employee.FactCorrected{CorrectsEventID: eventID(15), Replacement: employee.Replacement{Event: right}}))
	s.when(rescinded(lead, 10)).then(lead, undoes(ada, 13, 11))
}

func TestGivenMovesWhenTheLastDayIsCorrectedThenTheyFollowIt(t *testing.T) {
	t.Parallel()
	corrected := func(last string) fact {
		right := employee.EmploymentTerminated{LastDay: day(last)}
		return told(lead, employee.FactCorrected{CorrectsEventID: eventID(10), Replacement: employee.Replacement{Event: right}})
	}
	moved := func() *story {
		s := given(t, ManagerLeaves{}, company).when(leaves(lead, "2026-03-31")).
			then(lead, moves(ada, head, "2026-04-01"), moves(ben, head, "2026-04-01"))
		return s.when(confirmed(lead)).when(confirmed(lead)).then(lead, process.Finished{Outcome: reportsMoved})
	}
	// To an earlier day: the days in between are handed over as well
	moved().when(corrected("2026-02-28")).then(lead, moves(ada, head, "2026-03-01"), moves(ben, head, "2026-03-01"))

	// To a later day: what is too early is undone first
	s := moved().when(corrected("2026-05-31")).then(lead, undoes(ben, 15, 12), undoes(ada, 13, 11))
	s.when(confirmed(lead)).then(lead, moves(ben, head, "2026-06-01"))
	s.when(confirmed(lead)).then(lead, moves(ada, head, "2026-06-01"))
}

func TestGivenAManagerWhoComesBackLaterThenTheMovesStay(t *testing.T) {
	t.Parallel()
	s := given(t, ManagerLeaves{}, company).when(leaves(lead, "2026-03-31")).
		then(lead, moves(ada, head, "2026-04-01"), moves(ben, head, "2026-04-01"))
	s.when(confirmed(lead)).when(confirmed(lead)).then(lead, process.Finished{Outcome: reportsMoved})
	s.when(told(lead, employee.EmployeeRehired{Terms: employee.Terms{HireDate: day("2026-09-01")}})).
		then(lead, process.Finished{Outcome: managerStays})
}

func TestGivenAMoveThatIsRefusedThenAPersonIsCalledAndARetryAsksAnew(t *testing.T) {
	t.Parallel()
	s := given(t, ManagerLeaves{}, company, rescinded(ben, 9)).when(leaves(lead, "2026-03-31")).
		then(lead, moves(ada, head, "2026-04-01"))
	s.when(rejected(lead, "some-rule")).then(lead, process.HumanNeeded{Code: moveRefused, EmployeeID: ada, CommandID: eventID(12)}).then(lead)
	s.when(noted(lead, process.Retried{By: "p-1", ReasonCode: "again"})).then(lead, moves(ada, head, "2026-04-01"))
}

func TestGivenMoreReportsThanOneAppendHoldsWhenTheirManagerLeavesThenTheyAreMovedStepByStep(t *testing.T) {
	t.Parallel()
	s := given(t, ManagerLeaves{}, hired(chief, "2020-01-01"), hired(lead, "2020-01-01", chief))
	const reports = movesMax + 50
	for range reports {
		s.when(hired(uuid.New(), "2021-01-01", lead))
	}
	react := func() (asked int) {
		for _, event := range (ManagerLeaves{}).React(s.staff, lead, s.own[lead]) {
			s.record(lead, event)
			asked++
		}
		return asked
	}
	s.when(leaves(lead, "2026-03-31"))
	require.Equal(t, movesMax, react())
	require.Zero(t, react())
	for range reports {
		s.when(confirmed(lead))
		react()
	}
	require.Empty(t, s.staff.ReportsFrom(lead, day("2026-04-01")))
	require.Equal(t, reportsMoved, s.own[lead].Outcome)
	require.Len(t, s.own[lead].Steps, reports)
}

func TestGivenACircleOfManagersWhenOneLeavesThenAPersonIsCalled(t *testing.T) {
	t.Parallel()
	circle := told(head, employee.ManagerAssigned{ManagerEmployeeID: ada, EffectiveFrom: day("2022-01-01")})
	given(t, ManagerLeaves{}, company, circle, leaves(head, "2026-01-31")).when(leaves(lead, "2026-03-31")).
		then(lead, needs(noSuccessor, ada), moves(ben, ada, "2026-04-01"))
}
