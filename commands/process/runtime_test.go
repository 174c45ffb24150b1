package process

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/commands"
	"daybook.example/domain"
	"daybook.example/domain/employee"
	"daybook.example/domain/process"
	"daybook.example/eventstore"
)

const leave = "manager-leaves"

func (h *house) rescind(id, event uuid.UUID) {
	h.t.Helper()
	h.tell(id, employee.Rescind{RescindsEventID: event, ReasonText: "It never was."})
}

func TestGivenAManagerWithReportsWhenTheEndIsRecordedAndRescindedThenTheReportsFollow(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.drive(h.runtime(), eventstore.Position{})
	h.company()
	end := h.terminate(lead, "2026-03-31")

	own := h.eventually(leave, lead, finished(reportsMoved))
	for _, report := range []uuid.UUID{ada, ben} {
		require.Equal(t, lead, h.manager(report, "2026-03-31"))
		require.Equal(t, head, h.manager(report, "2026-04-01"))
	}
	_, types := h.instance(leave, lead)
	require.Equal(t, []string{"input-received", "command-requested", "command-requested"}, types[:3], "one input is one append")

	// Then it is on record who did it, why, and after what
	step := own.Steps[0]
	made := h.events(employee.Stream(step.Intent.EmployeeID))
	last := made[len(made)-1]
	require.Equal(t, step.EventIDs, []uuid.UUID{last.ID})
	require.Equal(t, domain.Actor{ID: "process-manager-leaves", Kind: domain.Process}, last.Meta.Actor)
	require.Equal(t, leave, last.Meta.ReasonCode)
	require.Equal(t, step.CommandID, last.Meta.CommandID)
	terminated := h.events(employee.Stream(lead))
	require.Equal(t, terminated[len(terminated)-1].Meta.CorrelationID, last.Meta.CorrelationID)
	for _, e := range h.events(process.Stream(leave, lead)) {
		require.NotContains(t, strings.ToLower(string(e.Data)+string(e.Metadata)), "position")
		require.NotContains(t, string(e.Data), "Canary")
	}

	h.rescind(lead, end)
	own = h.eventually(leave, lead, finished(managerStays))
	require.Equal(t, lead, h.manager(ada, "2026-04-01"))
	require.Equal(t, lead, h.manager(ben, "2026-04-01"))
	require.Equal(t, []uuid.UUID{own.Steps[1].CommandID, own.Steps[0].CommandID}, []uuid.UUID{own.Steps[2].Undoes, own.Steps[3].Undoes}, "the last first")
}

func TestGivenHistoryWhenTheProcessFirstStartsThenItLeavesThatAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.company()
	h.terminate(lead, "2026-03-31")
	d := h.drive(h.runtime(), eventstore.Position{})
	d.settled()
	require.Empty(t, h.events(process.Stream(leave, lead)))
	require.Len(t, h.events(process.DefinitionStream(leave)), 1)

	// But it knows it: a leave from now on finds who reports, and who is gone
	h.terminate(head, "2026-03-15")
	h.eventually(leave, head, finished(reportsMoved))
	require.Equal(t, chief, h.manager(lead, "2026-03-16"))
	require.Equal(t, lead, h.manager(ada, "2026-04-01"), "that was before the start")
}

func TestGivenTwoEventsInOneBatchThenTheSecondFindsTheInstanceThatTheFirstBegan(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first := h.drive(h.runtime(), eventstore.Position{})
	h.company()
	first.settled()
	first.stop()
	h.terminate(lead, "2026-03-31")
	changed := h.tell(lead, employee.ChangeManager{ManagerEmployeeID: chief, EffectiveFrom: domain.MustDate("2026-02-01")})

	h.drive(h.runtime(), first.checkpoint).settled()

	require.Equal(t, 1, inputs(h.log())[process.Stream(leave, lead)+" "+changed[0].ID.String()])
}

// replayed is a company whose lead leaves while each batch is delivered twice.
func replayed(t *testing.T, sabotage func(*Runtime)) (*house, *driver) {
	t.Helper()
	h := newHouse(t)
	r := h.runtime()
	sabotage(r)
	d := h.drive(r, eventstore.Position{}, func(d *driver) { d.twice = true })
	h.company()
	h.terminate(lead, "2026-03-31")
	h.eventually(leave, lead, finished(reportsMoved))
	d.settled()
	return h, d
}

// inputs counts how often each event was received by an instance.
func inputs(events []Event) map[string]int {
	counted := map[string]int{}
	for _, e := range events {
		if input, ok := e.Decoded.(process.InputReceived); ok {
			counted[e.Stream+" "+input.EventID.String()]++
		}
	}
	return counted
}

func TestGivenEveryInputTwiceWhenItIsHandledThenNothingHappensTwice(t *testing.T) {
	t.Parallel()
	h, d := replayed(t, func(*Runtime) {})
	d.stop()
	before := h.log()
	require.NotEmpty(t, inputs(before))
	for input, n := range inputs(before) {
		require.Equal(t, 1, n, input)
	}

	// And from every checkpoint that a crash could have left, the log stays as it is
	for i := 0; i < len(before); i += 3 {
		again := h.drive(h.runtime(), before[i].Position)
		again.settled()
		again.stop()
		require.Equal(t, print(before), print(h.log()), "from event %d on", i)
	}
	lost := h.drive(h.runtime(), eventstore.Position{})
	lost.settled()
	require.Equal(t, print(before), print(h.log()), "with no checkpoint at all")
}

func TestControlARuntimeThatForgetsItsInputsIsFound(t *testing.T) {
	t.Parallel()
	h, _ := replayed(t, func(r *Runtime) { r.sabotage.forgets = true })
	twice := 0
	for _, n := range inputs(h.log()) {
		if n > 1 {
			twice++
		}
	}
	require.NotZero(t, twice)
}

// crashed is a company whose lead leaves, and a process that dies after it sent a
// command and before it recorded the answer. Another one goes on from the
// checkpoint.
func crashed(t *testing.T, command func(uuid.UUID) uuid.UUID) (*house, process.State) {
	t.Helper()
	h := newHouse(t)
	dying := h.runtime()
	var died atomic.Bool
	dying.sabotage.answered = func() error { died.Store(true); return errors.New("the process dies here") }
	first := h.drive(dying, eventstore.Position{})
	h.company()
	h.terminate(lead, "2026-03-31")
	require.Eventually(t, died.Load, patience, patience/1000)
	first.stop()
	own, _ := h.instance(leave, lead)
	require.Equal(t, process.Pending, own.Steps[0].Answer)

	next := h.runtime()
	next.sabotage.command = command
	h.drive(next, first.checkpoint)
	return h, h.eventually(leave, lead, finished(reportsMoved))
}

func TestGivenACrashBetweenACommandAndItsConfirmationThenItIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	h, own := crashed(t, nil)
	for _, step := range own.Steps {
		require.Equal(t, process.Confirmed, step.Answer)
		made := h.events(employee.Stream(step.Intent.EmployeeID))
		require.Equal(t, []uuid.UUID{made[len(made)-1].ID}, step.EventIDs, "the answer is that of the one command")
		assigned := slices.DeleteFunc(made, func(e Event) bool { return e.Type != (employee.ManagerAssigned{}).EventType() })
		require.Len(t, assigned, 2)
	}
}

func TestControlACommandThatIsSentUnderAnotherIDIsFound(t *testing.T) {
	t.Parallel()
	_, own := crashed(t, func(uuid.UUID) uuid.UUID { return uuid.New() })
	require.True(t, slices.ContainsFunc(own.Steps, func(step process.Step) bool { return len(step.EventIDs) == 0 }), "nobody knows what the first one recorded")
}

func TestGivenTwoOwnersAtOnceThenTheyDoWhatOneDoes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	one := h.drive(h.runtime(), eventstore.Position{})
	two := h.drive(h.runtime(), eventstore.Position{})
	h.company()
	h.terminate(lead, "2026-03-31")
	h.eventually(leave, lead, finished(reportsMoved))
	one.settled()
	two.settled()
	for input, n := range inputs(h.log()) {
		require.Equal(t, 1, n, input)
	}
	own, _ := h.instance(leave, lead)
	require.Len(t, own.Steps, 2)
	for _, step := range own.Steps {
		require.Len(t, step.EventIDs, 1)
	}
}

// second is the next version of a process: it calls for a person about each report.
type second struct{ ManagerLeaves }

func (second) Version() int { return 2 }

func (second) React(staff *Staff, id uuid.UUID, own process.State) []process.Event {
	from, gone := staff.Gone(id)
	if !gone || len(staff.ReportsFrom(id, from)) == 0 || len(own.Needs) > 0 {
		return nil
	}
	return []process.Event{process.HumanNeeded{Code: "second-version"}}
}

func TestGivenANewVersionHalfWayThenItAnswersWhatComesAndNotWhatWas(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	old := h.drive(h.runtime(), eventstore.Position{})
	h.company()
	h.terminate(lead, "2026-03-31")
	h.eventually(leave, lead, finished(reportsMoved))
	old.settled()
	old.stop()
	before, _ := h.instance(leave, lead)

	// Given something that nobody has answered when the new program starts
	h.terminate(head, "2026-06-30")
	d := h.drive(h.runtime(second{}), old.checkpoint)

	// Then the new version answers that and what comes, and nothing that was answered
	own := h.eventually(leave, head, func(s process.State) bool { return s.Status() == process.NeedsHuman })
	require.Equal(t, 2, own.Version)
	require.Equal(t, "second-version", own.Needs[0].Code)
	d.settled()
	after, _ := h.instance(leave, lead)
	require.Equal(t, before.Steps, after.Steps)
	require.Len(t, h.events(process.DefinitionStream(leave)), 2)
	cleo := uuid.New()
	h.hire(cleo, "2026-02-01", under(lead))
	own = h.eventually(leave, lead, func(s process.State) bool { return s.Version == 2 })
	require.Len(t, own.Steps, 2, "the instance goes on with what the first version did")
	d.settled()
	d.stop()

	// And with the checkpoint lost, history before its start stays quiet
	all := h.log()
	lost := h.drive(h.runtime(second{}), eventstore.Position{})
	lost.settled()
	require.Equal(t, print(all), print(h.log()))
	lost.stop()

	// And the older program is refused
	require.ErrorIs(t, h.runtime().Begin(t.Context(), all[len(all)-1].Position), domain.Code("version-behind"))
}

// clumsy undoes what nobody recorded.
type clumsy struct{ ManagerLeaves }

func (c clumsy) React(staff *Staff, id uuid.UUID, own process.State) []process.Event {
	actions := c.ManagerLeaves.React(staff, id, own)
	for i, action := range actions {
		if undo, ok := action.(process.CommandRequested); ok && undo.Undoes != uuid.Nil {
			undo.RescindsEventID = eventID(404)
			actions[i] = undo
		}
	}
	return actions
}

func (h *house) person(id uuid.UUID, command process.Command) {
	h.t.Helper()
	r := commands.Request{CommandID: uuid.New(), CorrelationID: uuid.New(), CausationID: uuid.New(), Principal: "p-1", Kind: domain.User}
	_, err := h.handlers.Processes.Handle(h.t.Context(), process.Stream(leave, id), r, command)
	require.NoError(h.t, err)
}

func TestGivenACompensationThatFailsThenAPersonIsCalledAndMayRetryOrTakeOver(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	wrong := h.drive(h.runtime(clumsy{}), eventstore.Position{})
	h.company()
	end := h.terminate(lead, "2026-03-31")
	h.eventually(leave, lead, finished(reportsMoved))
	h.rescind(lead, end)
	own := h.eventually(leave, lead, func(s process.State) bool { return len(s.Needs) > 0 })
	require.Equal(t, process.CompensationFailed, own.Needs[0].Code)
	require.Equal(t, process.NeedsHuman, own.Status())
	wrong.settled()
	wrong.stop()

	// Then it rests, whatever it hears, until somebody has mended it and says so
	mended := h.drive(h.runtime(), wrong.checkpoint)
	h.hire(uuid.New(), "2026-02-01", under(lead))
	mended.settled()
	own, _ = h.instance(leave, lead)
	require.Equal(t, process.NeedsHuman, own.Status())
	h.person(lead, process.Retry{By: "p-1", ReasonCode: "mended"})
	h.eventually(leave, lead, finished(managerStays))
	require.Equal(t, lead, h.manager(ben, "2026-04-01"))

	// And one that a person takes over does nothing any more
	h.person(lead, process.TakeOver{By: "p-1", ReasonCode: "by-hand"})
	h.terminate(lead, "2026-08-31")
	mended.settled()
	require.Equal(t, lead, h.manager(ben, "2026-09-01"))
	own, _ = h.instance(leave, lead)
	require.Equal(t, process.ByHand, own.Status())
}
