package orgunit_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
	"daybook.example/domain/domaintest"
	. "daybook.example/domain/orgunit"
)

var (
	self  = uuid.MustParse("00000000-0000-4000-8000-000000000001")
	above = uuid.MustParse("00000000-0000-4000-8000-000000000002")
	ctx   = Context{Self: self, Today: day("2024-06-01")}
)

func day(text string) domain.Date { return domain.MustDate(text) }

func given(t testing.TB, events ...Event) domaintest.Spec[Command, State, Event] {
	return domaintest.For(t, Decider).Given(events...)
}

// sales is an org unit from 2024 on.
func sales(more ...Event) []Event {
	return append([]Event{OrgUnitCreated{"Sales", above, day("2024-01-01")}}, more...)
}

func TestCreating(t *testing.T) {
	t.Parallel()
	given(t).When(Create{Name: "Sales", Parent: above, EffectiveFrom: day("2024-01-01")}.With(ctx)).Then(sales()...)
	given(t).When(Create{Name: "Board"}.With(ctx)).Then(OrgUnitCreated{Name: "Board", EffectiveFrom: ctx.Today})
}

func TestRenaming(t *testing.T) {
	t.Parallel()
	given(t, sales()...).When(Rename{Name: "Sales & Service"}.With(ctx)).Then(OrgUnitRenamed{"Sales & Service", ctx.Today})
	given(t, sales()...).When(Rename{Name: "Sales"}.With(ctx)).Then()
	renamed := sales(OrgUnitRenamed{"Service", day("2024-03-01")})
	given(t, renamed...).When(Rename{Name: "Sales", EffectiveFrom: day("2024-02-01")}.With(ctx)).Then()
	given(t, renamed...).When(Rename{Name: "Sales"}.With(ctx)).Then(OrgUnitRenamed{"Sales", ctx.Today})
}

func TestMoving(t *testing.T) {
	t.Parallel()
	given(t, sales()...).When(Move{}.With(ctx)).Then(OrgUnitMoved{EffectiveFrom: ctx.Today})
	given(t, sales()...).When(Move{Parent: above}.With(ctx)).Then()
}

func TestClosing(t *testing.T) {
	t.Parallel()
	given(t, sales()...).When(Close{}.With(ctx)).Then(OrgUnitClosed{ctx.Today})
	closed := sales(OrgUnitClosed{ctx.Today})
	given(t, closed...).When(Close{}.With(ctx)).Then()
	given(t, closed...).When(Rename{Name: "Trade", EffectiveFrom: day("2024-05-31")}.With(ctx)).
		Then(OrgUnitRenamed{"Trade", day("2024-05-31")})
}

func TestTheTimelineIsByEffectiveDate(t *testing.T) {
	t.Parallel()
	state := given(t, sales(
		OrgUnitRenamed{"Trade", day("2024-05-01")},
		OrgUnitRenamed{"Outlet", day("2024-03-01")},
		OrgUnitRenamed{"Shop", day("2024-03-01")},
		OrgUnitMoved{EffectiveFrom: day("2024-04-01")},
		OrgUnitClosed{day("2024-07-01")},
	)...).State()
	for on, want := range map[string]string{
		"2023-12-31": "", "2024-01-01": "Sales", "2024-03-01": "Shop", "2024-04-30": "Shop", "2024-05-01": "Trade",
	} {
		require.Equal(t, want, state.Name(day(on)), on)
	}
	require.Equal(t, above, state.Parent(day("2024-03-31")))
	require.Equal(t, uuid.Nil, state.Parent(day("2024-04-01")))
	require.False(t, state.Exists(day("2023-12-31")))
	require.True(t, state.Exists(day("2024-06-30")))
	require.False(t, state.Exists(day("2024-07-01")))
}

func refusal(code, field string, given []Event, when Command) domaintest.Refusal[Command, Event] {
	return domaintest.Refusal[Command, Event]{Code: code, Field: field, Given: given, When: when}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	closed := sales(OrgUnitClosed{day("2024-06-01")})
	early := day("2023-12-31")
	domaintest.Refusals(t, Decider, Rules,
		refusal("required", "/name", nil, Create{}.With(ctx)),
		refusal("required", "/effective_from", nil, Create{Name: "Sales"}.With(Context{Self: self})),
		refusal("required", "/effective_from", sales(), Rename{Name: "Sales"}),
		refusal("required", "/name", sales(), Rename{}.With(ctx)),
		refusal("text-invalid", "/name", sales(), Rename{Name: "Sales "}.With(ctx)),
		refusal("already-created", "", sales(), Create{Name: "Sales"}.With(ctx)),
		refusal("not-created", "", nil, Rename{Name: "Sales"}.With(ctx)),
		refusal("not-created", "", nil, Move{}.With(ctx)),
		refusal("not-created", "", nil, Close{}.With(ctx)),
		refusal("effective-before-creation", "/effective_from", sales(), Rename{Name: "Trade", EffectiveFrom: early}.With(ctx)),
		refusal("effective-before-creation", "/effective_from", sales(), Move{EffectiveFrom: early}.With(ctx)),
		refusal("effective-before-creation", "/effective_from", sales(), Close{EffectiveFrom: early}.With(ctx)),
		refusal("after-close", "/effective_from", closed, Rename{Name: "Trade"}.With(ctx)),
		refusal("after-close", "/effective_from", closed, Move{}.With(ctx)),
		refusal("already-closed", "", closed, Close{EffectiveFrom: day("2024-07-01")}.With(ctx)),
		refusal("change-after-close", "/effective_from", sales(OrgUnitRenamed{"Trade", day("2024-08-01")}), Close{}.With(ctx)),
		refusal("change-after-close", "/effective_from", sales(OrgUnitMoved{EffectiveFrom: ctx.Today}), Close{}.With(ctx)),
		refusal("parent-self", "/parent", nil, Create{Name: "Sales", Parent: self}.With(ctx)),
		refusal("parent-self", "/parent", sales(), Move{Parent: self}.With(ctx)),
	)
}

func TestWithoutContextNothingIsDecided(t *testing.T) {
	t.Parallel()
	for _, c := range []Command{Create{Name: "Sales", EffectiveFrom: ctx.Today}, Move{EffectiveFrom: ctx.Today}} {
		_, err := Decider.Decide(given(t, sales()...).State(), c)
		require.ErrorContains(t, err, "without its context")
	}
}

func TestStoredShapes(t *testing.T) {
	t.Parallel()
	domaintest.Stored[Event](t, Catalog,
		OrgUnitCreated{"Sales", above, day("2024-01-01")},
		OrgUnitCreated{Name: "Board", EffectiveFrom: day("2024-01-01")},
		OrgUnitRenamed{"Sales & Service", day("2024-02-01")},
		OrgUnitMoved{above, day("2024-03-01")},
		OrgUnitMoved{EffectiveFrom: day("2024-03-01")},
		OrgUnitClosed{day("2024-04-01")},
	)
	domaintest.EveryEventIsListed(t, Catalog)
	domaintest.WireForm[Command](t, Create{}, Rename{}, Move{}, Close{})
}

// TestProperties also shows that no recorded change lies outside the unit's life.
func TestProperties(t *testing.T) {
	t.Parallel()
	domaintest.Properties(t, domaintest.Model[Command, State, Event]{
		Decider: Decider, Catalog: Catalog, Draw: drawCommand,
		Always: func(t *rapid.T, s State, facts []domain.Recorded[Event]) {
			for _, fact := range facts {
				if _, closing := fact.Event.(OrgUnitClosed); !closing {
					require.True(t, s.Exists(day(fact.Event.EffectiveAt())), fact.Event.EventType())
				}
			}
		},
	})
}

func drawCommand(t *rapid.T, _ []domain.Recorded[Event]) Command {
	from := day("2024-01-01").AddDays(rapid.IntRange(0, 20).Draw(t, "day"))
	name := rapid.SampledFrom([]string{"Sales", "Trade", ""}).Draw(t, "name")
	parent := rapid.SampledFrom([]uuid.UUID{above, {}, self}).Draw(t, "parent")
	switch rapid.IntRange(0, 6).Draw(t, "command") {
	case 0, 1:
		return Create{Name: name, Parent: parent, EffectiveFrom: from}.With(ctx)
	case 2, 3:
		return Rename{Name: name, EffectiveFrom: from}.With(ctx)
	case 4, 5:
		return Move{Parent: parent, EffectiveFrom: from}.With(ctx)
	}
	return Close{EffectiveFrom: from}.With(ctx)
}
