package process_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
	"daybook.example/domain/domaintest"
	. "daybook.example/domain/process"
)

var (
	someone = uuid.MustParse("00000000-0000-4000-8000-0000000000aa")
	boss    = uuid.MustParse("00000000-0000-4000-8000-0000000000bb")
	april   = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	move    = Intent{Command: "employees.manager", EmployeeID: someone, ManagerEmployeeID: boss, EffectiveFrom: domain.MustDate("2026-04-01")}
)

func given(t testing.TB, events ...Event) domaintest.Spec[Command, State, Event] {
	return domaintest.For(t, Decider).Given(events...)
}

func input(n int) InputReceived {
	return InputReceived{Source{domaintest.FactID(100 + n), "employee-" + someone.String(), uint64(n)}, "employee-hired", 1}
}

// asking reacts with these events, whatever the state.
func asking(events ...Event) Reaction { return func(State) []Event { return events } }

func silent(State) []Event { return nil }

func TestAnInputAndWhatItMakesAreOneDecision(t *testing.T) {
	t.Parallel()
	given(t).When(Receive{Input: input(1), React: asking(CommandRequested{Intent: move}, DeadlineScheduled{"end", april})}).
		Then(input(1), CommandRequested{Intent: move}, DeadlineScheduled{"end", april})
	given(t, input(1)).When(Receive{Input: input(2), Last: input(1).EventID, React: silent}).Then(input(2))
}

func TestTheReactionSeesTheStateAfterItsInput(t *testing.T) {
	t.Parallel()
	var seen State
	look := func(s State) []Event { seen = s; return nil }
	given(t, input(1)).When(Receive{Input: input(2), Last: input(1).EventID, React: look}).Then(input(2))
	require.Equal(t, input(2).Source, seen.Last)
	given(t, input(1), CommandRequested{Intent: move}).
		When(Settle{input(1).EventID, domaintest.FactID(1), CommandConfirmed{CommandID: domaintest.FactID(1), Revision: 7, Version: 1}, look}).
		Then(CommandConfirmed{CommandID: domaintest.FactID(1), Revision: 7, Version: 1})
	require.Equal(t, Confirmed, seen.Steps[0].Answer)
	require.EqualValues(t, 7, seen.Steps[0].Revision)
}

func TestACommandHasOneAnswer(t *testing.T) {
	t.Parallel()
	command := domaintest.FactID(0)
	rejected := CommandRejected{command, "outside-spell", 1}
	given(t, CommandRequested{Intent: move}).When(Settle{uuid.Nil, command, rejected, silent}).Then(rejected)
	given(t, CommandRequested{Intent: move}, rejected).When(Settle{uuid.Nil, command, rejected, silent}).Then()
	given(t, CommandRequested{Intent: move}, rejected).When(Settle{uuid.Nil, domaintest.FactID(9), rejected, silent}).Then()
	state := given(t, CommandRequested{Intent: move}, rejected).State()
	require.Equal(t, "outside-spell", state.Steps[0].Code)
}

func TestACompensationThatFailsCallsForAPersonAndThenTheInstanceRests(t *testing.T) {
	t.Parallel()
	undo := CommandRequested{Intent{Command: "employees.rescind", EmployeeID: someone, RescindsEventID: domaintest.FactID(50)}, domaintest.FactID(1)}
	rejected := CommandRejected{domaintest.FactID(2), "rehire-depends", 1}
	needed := HumanNeeded{CompensationFailed, someone, domaintest.FactID(2)}
	asked := []Event{input(1), CommandRequested{Intent: move}, undo}
	given(t, asked...).When(Settle{input(1).EventID, domaintest.FactID(2), rejected, asking(CommandRequested{Intent: move})}).Then(rejected, needed)
	parked := append(asked, rejected, needed)
	require.Equal(t, NeedsHuman, given(t, parked...).State().Status())
	given(t, parked...).When(Receive{Input: input(2), Last: input(1).EventID, React: asking(CommandRequested{Intent: move})}).Then(input(2))

	// Until somebody has it tried again
	retried := Retried{"p-1", "mended"}
	given(t, parked...).When(Retry{"p-1", "mended"}).Then(retried)
	again := given(t, append(parked, retried)...)
	require.Equal(t, Running, again.State().Status())
	require.Equal(t, Withdrawn, again.State().Steps[1].Answer)
	again.When(Receive{Input: input(2), Last: input(1).EventID, React: asking(undo)}).Then(input(2), undo)
}

func TestAConfirmedCompensationUndoesItsStep(t *testing.T) {
	t.Parallel()
	undo := CommandRequested{Intent{Command: "employees.rescind", EmployeeID: someone}, domaintest.FactID(0)}
	done := CommandConfirmed{CommandID: domaintest.FactID(1), Version: 1}
	require.True(t, given(t, CommandRequested{Intent: move}, undo, done).State().Steps[0].Undone)
	require.False(t, given(t, CommandRequested{Intent: move}, undo).State().Steps[0].Undone)
}

func TestADeadlineIsReachedOnlyWhileItIsOpen(t *testing.T) {
	t.Parallel()
	set, id := DeadlineScheduled{"end", april}, domaintest.FactID(0)
	reached := DeadlineReached{id, "end", 1}
	needed := HumanNeeded{Code: "probation-unanswered", EmployeeID: someone}
	given(t, set).When(Reach{uuid.Nil, id, 1, asking(needed)}).Then(reached, needed)
	given(t, set, DeadlineCancelled{id, "end"}).When(Reach{uuid.Nil, id, 1, silent}).Then()
	given(t, set, reached).When(Reach{uuid.Nil, id, 1, silent}).Then()
	given(t, set, TakenOver{"p-1", "by-hand"}).When(Reach{uuid.Nil, id, 1, silent}).Then()
	given(t).When(Reach{uuid.Nil, id, 1, silent}).Then()
	state := given(t, set, reached).State()
	require.Equal(t, []Deadline{{id, "end", april}}, state.Reached)
	require.Empty(t, state.Deadlines)
}

func TestTheStatusFollowsWhatHappened(t *testing.T) {
	t.Parallel()
	needed := HumanNeeded{Code: "no-successor", EmployeeID: someone}
	for _, c := range []struct {
		want  Status
		facts []Event
	}{
		{Running, []Event{input(1)}},
		{NeedsHuman, []Event{input(1), needed}},
		{IsFinished, []Event{input(1), needed, Finished{"reports-moved"}}},
		{Running, []Event{input(1), Finished{"reports-moved"}, CommandRequested{Intent: move}}},
		{IsFinished, []Event{input(1), Finished{"reports-moved"}, input(2)}},
		{ByHand, []Event{input(1), needed, TakenOver{"p-1", "by-hand"}}},
	} {
		require.Equal(t, c.want, given(t, c.facts...).State().Status())
	}
	require.True(t, given(t, needed).State().Needed(needed))
	require.False(t, given(t, needed).State().Needed(HumanNeeded{Code: "no-successor", EmployeeID: boss}))
}

func TestAPersonTakesOver(t *testing.T) {
	t.Parallel()
	given(t, input(1)).When(TakeOver{"p-1", "by-hand"}).Then(TakenOver{"p-1", "by-hand"})
	given(t, TakenOver{"p-1", "by-hand"}).When(TakeOver{"p-2", "by-hand"}).Then()
	given(t, input(1), TakenOver{"p-1", "by-hand"}).When(Receive{Input: input(2), Last: input(1).EventID, React: asking(CommandRequested{Intent: move})}).Then(input(2))
	given(t, input(1)).When(Retry{"p-1", "again"}).Then()
}

func TestVersionsStartInOrder(t *testing.T) {
	t.Parallel()
	start := func(version int) VersionStarted { return VersionStarted{version, input(1).Source} }
	given(t).When(StartVersion{start(1)}).Then(start(1))
	given(t, start(1)).When(StartVersion{start(1)}).Then()
	given(t, start(1)).When(StartVersion{start(2)}).Then(start(2))
}

func TestStreamsAreNamedAndRead(t *testing.T) {
	t.Parallel()
	name, id, ok := Instance(Stream("manager-leaves", someone))
	require.True(t, ok)
	require.Equal(t, "manager-leaves", name)
	require.Equal(t, someone, id)
	for _, other := range []string{DefinitionStream("manager-leaves"), "process-" + someone.String(), "employee-" + someone.String(), "process--" + someone.String(), ""} {
		_, _, ok = Instance(other)
		require.False(t, ok, other)
	}
}

func refusal(code, field string, given []Event, when Command) domaintest.Refusal[Command, Event] {
	return domaintest.Refusal[Command, Event]{Code: code, Field: field, Given: given, When: when}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	taken := []Event{TakenOver{"p-2", "by-hand"}}
	domaintest.Refusals(t, Decider, Rules,
		refusal("required", "/reason_code", nil, Retry{By: "p-1"}),
		refusal("required", "/reason_code", nil, TakeOver{By: "p-1"}),
		refusal("code-invalid", "/reason_code", nil, Retry{"p-1", "Ms Smith is ill"}),
		refusal("code-invalid", "/reason_code", nil, TakeOver{"p-1", "Ms Smith is ill"}),
		refusal("taken-over", "", taken, Retry{"p-1", "again"}),
		refusal("moved-on", "", []Event{input(1)}, Receive{Input: input(2), React: silent}),
		refusal("moved-on", "", []Event{CommandRequested{Intent: move}, input(1)}, Settle{uuid.Nil, domaintest.FactID(0), CommandRejected{}, silent}),
		refusal("moved-on", "", []Event{DeadlineScheduled{"end", april}, input(1)}, Reach{uuid.Nil, domaintest.FactID(0), 1, silent}),
		refusal("version-behind", "", []Event{VersionStarted{Version: 2}}, StartVersion{VersionStarted{Version: 1}}),
	)
}

func TestWithoutContextNothingIsDecided(t *testing.T) {
	t.Parallel()
	for _, c := range []Command{Retry{ReasonCode: "again"}, TakeOver{ReasonCode: "by-hand"}} {
		_, err := Decider.Decide(State{}, c)
		require.ErrorContains(t, err, "without its principal")
	}
}

func TestStoredShapes(t *testing.T) {
	t.Parallel()
	domaintest.Stored[Event](t, Catalog,
		VersionStarted{1, Source{domaintest.FactID(7), "log", 0}},
		input(1),
		CommandRequested{Intent: move},
		CommandRequested{Intent{Command: "employees.rescind", EmployeeID: someone, RescindsEventID: domaintest.FactID(1)}, domaintest.FactID(2)},
		CommandConfirmed{domaintest.FactID(2), 4, []uuid.UUID{domaintest.FactID(5)}, 1},
		CommandRejected{domaintest.FactID(2), "outside-spell", 1},
		DeadlineScheduled{"end", april},
		DeadlineCancelled{domaintest.FactID(3), "end"},
		DeadlineReached{domaintest.FactID(3), "end", 1},
		Reminded{"probation-ends", domain.MustDate("2026-04-01")},
		HumanNeeded{"no-successor", someone, domaintest.FactID(2)},
		Finished{"reports-moved"},
		Retried{"p-1", "again"},
		TakenOver{"p-1", "by-hand"},
	)
	domaintest.EveryEventIsListed(t, Catalog)
	domaintest.WireForm[Command](t, Retry{}, TakeOver{})
}

func TestProperties(t *testing.T) {
	t.Parallel()
	domaintest.Properties(t, domaintest.Model[Command, State, Event]{
		Decider: Decider, Catalog: Catalog, Rules: Rules,
		Draw: func(t *rapid.T, recorded []domain.Recorded[Event]) Command {
			last := State{}
			any := uuid.Nil
			for _, fact := range recorded {
				last = Decider.Evolve(last, fact)
			}
			if len(recorded) > 0 {
				any = recorded[rapid.IntRange(0, len(recorded)-1).Draw(t, "fact")].ID
			}
			react := rapid.SampledFrom([]Reaction{
				silent, asking(CommandRequested{Intent: move}), asking(CommandRequested{Intent: move, Undoes: any}), asking(DeadlineScheduled{"end", april}),
				asking(DeadlineCancelled{any, "end"}), asking(HumanNeeded{Code: "no-successor"}), asking(Finished{"reports-moved"}), asking(Reminded{"soon", domain.MustDate("2026-04-01")}),
			}).Draw(t, "reaction")
			return rapid.SampledFrom([]Command{
				Receive{Input: input(len(recorded)), Last: last.Last.EventID, React: react}, Receive{Input: input(1), Last: any, React: react},
				Settle{last.Last.EventID, any, CommandConfirmed{CommandID: any, Version: 1}, react}, Settle{last.Last.EventID, any, CommandRejected{any, "no", 1}, react}, Reach{last.Last.EventID, any, 1, react},
				Retry{"p-1", "again"}, TakeOver{"p-1", rapid.SampledFrom([]string{"", "by-hand"}).Draw(t, "reason")},
				StartVersion{VersionStarted{Version: rapid.IntRange(1, 3).Draw(t, "version")}},
			}).Draw(t, "command")
		},
		Always: func(t *rapid.T, s State, recorded []domain.Recorded[Event]) {
			require.Equal(t, s.TakenOver != nil, s.Status() == ByHand)
			for _, open := range s.Deadlines {
				require.NotContains(t, s.Reached, open, "a deadline is open or was reached")
			}
		},
	})
}
