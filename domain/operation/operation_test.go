package operation_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
	"daybook.example/domain/domaintest"
	. "daybook.example/domain/operation"
)

var (
	event = uuid.MustParse("00000000-0000-4000-8000-000000000001")
	log   = uuid.MustParse("00000000-0000-4000-8000-000000000002")
)

func day(text string) domain.Date { return domain.MustDate(text) }

func given(t testing.TB, events ...Event) domaintest.Spec[Command, State, Event] {
	return domaintest.For(t, Decider).Given(events...)
}

func waive() WaiveEvent {
	return WaiveEvent{"operator-1", "audit_log", event, event, "written by a test"}
}

func demo() StartDemo { return StartDemo{7, day("2023-07-01"), day("2025-12-31")} }

func TestWaiving(t *testing.T) {
	t.Parallel()
	waived := ProjectionEventWaived{"audit_log", event, "written by a test", "operator-1"}
	given(t).When(waive()).Then(waived)
	again := waive()
	again.HaltedAt = uuid.Nil // it has gone on since
	given(t, waived).When(again).Then()
	state := given(t, waived).State()
	require.True(t, state.Waived("audit_log", event))
	require.False(t, state.Waived("journal_line", event))
	require.False(t, State{}.Waived("audit_log", event))
}

func TestStartingADemo(t *testing.T) {
	t.Parallel()
	given(t).When(demo()).Then(DemoStarted(demo()))
	given(t, DemoStarted(demo())).When(demo()).Then()
	started, ok := given(t, DemoStarted(demo())).State().Demo()
	require.True(t, ok)
	require.Equal(t, DemoStarted(demo()), started)
	_, ok = given(t, LogNamed{log}).State().Demo()
	require.False(t, ok)
}

func TestRestoringALogWithLoss(t *testing.T) {
	t.Parallel()
	lost := RestoreLog{event, "disk-lost"}
	given(t).When(lost).Then(LogRestored(lost))
	given(t, LogRestored(lost)).When(lost).Then(LogRestored(lost)) // it may happen again
}

func refusal(code, field string, given []Event, when Command) domaintest.Refusal[Command, Event] {
	return domaintest.Refusal[Command, Event]{Code: code, Field: field, Given: given, When: when}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	waiver := func(change func(*WaiveEvent)) Command {
		c := waive()
		change(&c)
		return c
	}
	domaintest.Refusals(t, Decider, Rules,
		refusal("required", "/event_id", nil, waiver(func(c *WaiveEvent) { c.EventID = uuid.Nil })),
		refusal("required", "/reason", nil, waiver(func(c *WaiveEvent) { c.Reason = "" })),
		refusal("text-invalid", "/reason", nil, waiver(func(c *WaiveEvent) { c.Reason = "a\x00" })),
		refusal("not-halted-at", "/event_id", nil, waiver(func(c *WaiveEvent) { c.HaltedAt = uuid.Nil })),
		refusal("not-halted-at", "/event_id", nil, waiver(func(c *WaiveEvent) { c.HaltedAt = log })),
		refusal("required", "/from", nil, StartDemo{To: day("2025-12-31")}),
		refusal("required", "/to", nil, StartDemo{From: day("2025-12-31")}),
		refusal("dates-reversed", "/to", nil, StartDemo{7, day("2025-12-31"), day("2023-07-01")}),
		refusal("demo-differs", "", []Event{DemoStarted{8, day("2023-07-01"), day("2025-12-31")}}, demo()),
		refusal("required", "/last_event_id", nil, RestoreLog{ReasonCode: "disk-lost"}),
		refusal("required", "/reason_code", nil, RestoreLog{LastEventID: event}),
		refusal("code-invalid", "/reason_code", nil, RestoreLog{event, "the disk of Ms Smith"}),
		refusal("not-a-demo", "", []Event{LogRestored{event, "disk-lost"}}, demo()),
		refusal("not-a-demo", "", []Event{ProjectionEventWaived{"audit_log", event, "written by a test", "operator-1"}}, demo()),
	)
}

func TestWithoutContextNothingIsDecided(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*WaiveEvent){
		func(c *WaiveEvent) { c.Operator = "" },
		func(c *WaiveEvent) { c.Projection = "" },
	} {
		c := waive()
		change(&c)
		_, err := Decider.Decide(State{}, c)
		require.ErrorContains(t, err, "without its operator")
	}
}

func TestStoredShapes(t *testing.T) {
	t.Parallel()
	domaintest.Stored[Event](t, Catalog,
		ProjectionEventWaived{"audit_log", event, "written by a test", "operator-1"},
		DemoStarted(demo()),
		LogRestored{event, "disk-lost"},
		LogNamed{log},
	)
	domaintest.EveryEventIsListed(t, Catalog)
	domaintest.WireForm[Command](t, WaiveEvent{}, StartDemo{}, RestoreLog{})
}

func TestProperties(t *testing.T) {
	t.Parallel()
	domaintest.Properties(t, domaintest.Model[Command, State, Event]{
		Decider: Decider, Catalog: Catalog,
		Draw: func(t *rapid.T, _ []domain.Recorded[Event]) Command {
			other := waive()
			other.Projection = "journal_line"
			other.HaltedAt = rapid.SampledFrom([]uuid.UUID{uuid.Nil, event, log}).Draw(t, "halted at")
			return rapid.SampledFrom([]Command{waive(), other, demo(), StartDemo{Seed: 8}, RestoreLog{event, "disk-lost"}, RestoreLog{}}).Draw(t, "command")
		},
	})
}
