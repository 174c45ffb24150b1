package process_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/process"
	. "daybook.example/projections/process"
	"daybook.example/projections/projtest"
)

var (
	lead  = uuid.MustParse("00000000-0000-4000-8000-00000000000c")
	ada   = uuid.MustParse("00000000-0000-4000-8000-00000000000d")
	head  = uuid.MustParse("00000000-0000-4000-8000-00000000000b")
	march = time.Date(2026, 3, 31, 9, 0, 0, 0, time.UTC)
)

// told is a log in which one instance moves a report and undoes that, another one
// reminds and calls for a person, and a third is taken over.
func told(t *testing.T) *projtest.Log {
	log := projtest.NewLog(t)
	say := func(name string, id uuid.UUID, events ...domain.Named) (ids []uuid.UUID) {
		for _, e := range log.Append(march.Add(time.Duration(len(log.Events()))*time.Minute), process.Stream(name, id), events...) {
			ids = append(ids, e.ID)
		}
		return ids
	}
	input := process.InputReceived{Source: process.Source{EventID: uuid.New(), Stream: "employee-" + lead.String(), Revision: 3}, Type: "employee-employment-terminated", Version: 1}
	log.Append(march, process.DefinitionStream("manager-leaves"), process.VersionStarted{Version: 1, After: input.Source})
	moved := say("manager-leaves", lead, input, process.CommandRequested{Intent: process.Intent{
		Command: "employees.manager", EmployeeID: ada, ManagerEmployeeID: head, EffectiveFrom: domain.MustDate("2026-04-01"),
	}})[1]
	say("manager-leaves", lead, process.CommandConfirmed{CommandID: moved, Revision: 4, EventIDs: []uuid.UUID{uuid.New()}, Version: 1}, process.Finished{Outcome: "reports-moved"})
	undo := say("manager-leaves", lead, input, process.CommandRequested{Intent: process.Intent{Command: "employees.rescind", EmployeeID: ada, RescindsEventID: uuid.New()}, Undoes: moved})[1]
	say("manager-leaves", lead, process.CommandRejected{CommandID: undo, Code: "some-rule", Version: 1}, process.HumanNeeded{Code: process.CompensationFailed, CommandID: undo},
		process.Retried{By: "p-1", ReasonCode: "mended"})
	again := say("manager-leaves", lead, process.CommandRequested{Intent: process.Intent{Command: "employees.rescind", EmployeeID: ada}, Undoes: moved})[0]
	say("manager-leaves", lead, process.CommandConfirmed{CommandID: again, Version: 2})

	set := say("probation-ends", ada, input, process.DeadlineScheduled{Key: "reminder", At: march}, process.DeadlineScheduled{Key: "end", At: march.AddDate(0, 0, 14)},
		process.DeadlineScheduled{Key: "old", At: march})
	say("probation-ends", ada, process.DeadlineReached{DeadlineID: set[1], Key: "reminder", Version: 1}, process.Reminded{Code: "probation-ending", Due: domain.MustDate("2026-04-14")},
		process.DeadlineCancelled{DeadlineID: set[3], Key: "old"}, process.HumanNeeded{Code: "probation-unanswered", EmployeeID: ada})

	say("probation-ends", head, input, process.DeadlineScheduled{Key: "end", At: march}, process.TakenOver{By: "p-1", ReasonCode: "by-hand"})
	return log
}

func TestAnInstanceIsShownAsItsEventsSay(t *testing.T) {
	t.Parallel()
	projtest.Given(t, told(t).Events()...).Apply(New()).
		Expect("select name, process_id::text, state, version, outcome, jsonb_array_length(needs), jsonb_array_length(reminders), last_revision from process_instance order by 1, 2",
			[]any{"manager-leaves", lead.String(), "running", 2, nil, 0, 0, 10},
			[]any{"probation-ends", head.String(), "taken-over", 1, nil, 0, 0, 2},
			[]any{"probation-ends", ada.String(), "needs-human", 1, nil, 1, 1, 7}).
		Expect("select command, answer, code, undone, undoes is not null from process_command order by name, revision",
			[]any{"employees.manager", "confirmed", nil, true, false},
			[]any{"employees.rescind", "withdrawn", "some-rule", false, true},
			[]any{"employees.rescind", "confirmed", nil, false, true}).
		Expect("select key, state from process_deadline order by 1, 2",
			[]any{"end", "cancelled"}, []any{"end", "open"}, []any{"old", "cancelled"}, []any{"reminder", "reached"}).
		Expect("select count(*) from process_event", []any{22}).
		Expect("select name, version from process_version", []any{"manager-leaves", 1})
}

func TestConformance(t *testing.T) {
	t.Parallel()
	projtest.Conformance(t, New(), told(t).Events())
}
