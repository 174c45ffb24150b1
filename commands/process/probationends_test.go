package process

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain/employee"
	"daybook.example/domain/organisation"
	"daybook.example/domain/process"
	"daybook.example/eventstore"
)

func onProbation(id uuid.UUID, from, end string) fact {
	return told(id, employee.EmployeeHired{Terms: employee.Terms{HireDate: day(from), ProbationEnd: day(end)}})
}

func deadline(key, morning string) process.Event {
	return process.DeadlineScheduled{Key: key, At: day(morning).Time()}
}

// reached records that the time of an open deadline has come.
func reached(id uuid.UUID, key string) fact {
	return func(s *story) {
		for _, open := range s.own[id].Deadlines {
			if open.Key == key {
				s.record(id, process.DeadlineReached{DeadlineID: open.ID, Key: key, Version: 1})
				return
			}
		}
		require.Fail(s.t, "no such deadline is open", key)
	}
}

// begun is ada's probation until the end of June. Its deadlines are events 2 and 3.
func begun(t *testing.T) *story {
	t.Helper()
	return given(t, ProbationEnds{}).when(onProbation(ada, "2026-01-01", "2026-06-30")).starts(ada).
		then(ada, deadline(reminderDue, "2026-06-16"), deadline(endDue, "2026-06-30")).then(ada)
}

func TestGivenAProbationWhenItsTimesComeThenSomebodyIsRemindedAndThenAPersonCalled(t *testing.T) {
	t.Parallel()
	s := begun(t).when(reached(ada, reminderDue)).then(ada, process.Reminded{Code: probationEnding, Due: day("2026-06-30")}).then(ada)
	s.when(reached(ada, endDue)).then(ada, needs(probationUnanswered, ada)).then(ada)
	require.Equal(t, process.NeedsHuman, s.own[ada].Status())
	s.when(told(ada, employee.ProbationConfirmed{On: day("2026-06-30")})).tells(ada).then(ada, process.Finished{Outcome: probationConfirmed}).then(ada)
}

func TestGivenAProbationWhenItIsAnsweredThenItsDeadlinesAreCancelled(t *testing.T) {
	t.Parallel()
	cancelled := []process.Event{process.DeadlineCancelled{DeadlineID: eventID(2), Key: reminderDue}, process.DeadlineCancelled{DeadlineID: eventID(3), Key: endDue}}
	for outcome, answer := range map[string]fact{
		probationConfirmed: told(ada, employee.ProbationConfirmed{On: day("2026-05-01")}),
		employmentEnded:    leaves(ada, "2026-05-31"),
		noProbation:        rescinded(ada, 1),
	} {
		begun(t).when(answer).tells(ada).then(ada, append(slices.Clone(cancelled), process.Finished{Outcome: outcome})...).then(ada)
	}
}

func TestGivenAProbationWhenItIsExtendedThenTheDeadlinesMoveAlong(t *testing.T) {
	t.Parallel()
	extended := told(ada, employee.ProbationExtended{ProbationEnd: day("2026-09-30"), ReasonCode: "absence", EffectiveFrom: day("2026-06-20")})
	s := begun(t).when(reached(ada, reminderDue)).then(ada, process.Reminded{Code: probationEnding, Due: day("2026-06-30")})
	s.when(extended).tells(ada).then(ada, process.DeadlineCancelled{DeadlineID: eventID(3), Key: endDue},
		deadline(reminderDue, "2026-09-16"), deadline(endDue, "2026-09-30"))

	// Also as the answer to a call: then nobody is needed until the new time comes
	s = begun(t).when(reached(ada, reminderDue)).then(ada, process.Reminded{Code: probationEnding, Due: day("2026-06-30")})
	s.when(reached(ada, endDue)).then(ada, needs(probationUnanswered, ada))
	s.when(extended).then(ada, process.Finished{Outcome: probationExtended}, deadline(reminderDue, "2026-09-16"), deadline(endDue, "2026-09-30"))
	require.Equal(t, process.Running, s.own[ada].Status())
}

func TestGivenARescindedAnswerThenTheDeadlinesStandAgain(t *testing.T) {
	t.Parallel()
	s := begun(t).when(told(ada, employee.ProbationConfirmed{On: day("2026-05-01")})) // event 4
	s.then(ada, process.DeadlineCancelled{DeadlineID: eventID(2), Key: reminderDue}, process.DeadlineCancelled{DeadlineID: eventID(3), Key: endDue}, process.Finished{Outcome: probationConfirmed})
	s.when(rescinded(ada, 4)).tells(ada).then(ada, deadline(reminderDue, "2026-06-16"), deadline(endDue, "2026-06-30"))
}

func TestGivenAProbationThatWasOverWhenItWasRecordedThenNothingStarts(t *testing.T) {
	t.Parallel()
	given(t, ProbationEnds{}).when(onProbation(ada, "2019-01-01", "2019-06-30")).starts()
	given(t, ProbationEnds{}).when(hired(ada, "2026-01-01")).starts()
}

func TestGivenAZoneThenADayBeginsThere(t *testing.T) {
	t.Parallel()
	s := given(t, ProbationEnds{}, func(s *story) {
		s.staff.Apply(s.recorded(organisation.Stream, organisation.OrganisationNamed{Name: "Firm", Zone: "Europe/Berlin", Country: "DE"}))
	}).when(onProbation(ada, "2026-01-01", "2026-06-30")).starts(ada)
	s.then(ada, process.DeadlineScheduled{Key: reminderDue, At: time.Date(2026, 6, 15, 22, 0, 0, 0, time.UTC)},
		process.DeadlineScheduled{Key: endDue, At: time.Date(2026, 6, 29, 22, 0, 0, 0, time.UTC)})
}

const probation = "probation-ends"

func until(end string) func(*employee.Hire) {
	return func(h *employee.Hire) { h.ProbationEnd = day(end) }
}

func TestGivenAProbationWhenTheClockComesToItsDaysThenEachDeadlineIsReachedOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first := h.drive(h.runtime(), eventstore.Position{})
	h.hire(ada, "2026-01-01", until("2026-06-30"))
	h.eventually(probation, ada, func(s process.State) bool { return len(s.Deadlines) == 2 })
	first.settled()
	first.stop()

	// Given two other processes, which know the deadlines from the log alone
	h.on("2026-06-16")
	h.drive(h.runtime(), first.checkpoint)
	h.drive(h.runtime(), first.checkpoint)
	h.eventually(probation, ada, func(s process.State) bool { return len(s.Reminders) == 1 })
	h.on("2026-06-30")
	h.eventually(probation, ada, func(s process.State) bool { return s.Status() == process.NeedsHuman })
	h.tell(ada, employee.ConfirmProbation{})
	h.eventually(probation, ada, finished(probationConfirmed))

	_, types := h.instance(probation, ada)
	require.Equal(t, []string{
		"input-received", "deadline-scheduled", "deadline-scheduled", "deadline-reached", "reminded",
		"deadline-reached", "human-needed", "input-received", "finished",
	}, types)
}

// answered is a probation that is confirmed just before its end is due: the answer
// is recorded, and the process has not heard of it when the time comes.
func answered(t *testing.T, blind bool) (types []string) {
	t.Helper()
	h := newHouse(t)
	first := h.drive(h.runtime(), eventstore.Position{})
	h.hire(ada, "2026-01-01", until("2026-06-30"))
	h.eventually(probation, ada, func(s process.State) bool { return len(s.Deadlines) == 2 })
	first.settled()
	first.stop()

	r := h.runtime()
	r.sabotage.blind = blind
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, r.prepare(ctx, first.checkpoint))
	h.tell(ada, employee.ConfirmProbation{On: day("2026-06-29")})
	h.on("2026-06-30")
	ticked := make(chan error, 1)
	go func() { ticked <- r.Tick(ctx) }()
	if blind {
		require.NoError(t, <-ticked)
		ticked <- nil
	}
	late := &driver{house: h, runtime: r, checkpoint: first.checkpoint}
	for range 3 {
		require.NoError(t, late.step(ctx))
	}
	require.NoError(t, errors.Join(<-ticked, r.Tick(ctx)))
	_, types = h.instance(probation, ada)
	return types
}

func TestGivenADeadlineThatWasAnsweredJustBeforeThenItIsNotReached(t *testing.T) {
	t.Parallel()
	types := answered(t, false)
	require.NotContains(t, types, "deadline-reached")
	require.Contains(t, types, "finished")
}

func TestControlADeadlineThatWaitsForNothingIsFound(t *testing.T) {
	t.Parallel()
	require.Contains(t, answered(t, true), "deadline-reached")
}
