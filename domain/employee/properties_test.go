package employee_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
	"daybook.example/domain/domaintest"
	. "daybook.example/domain/employee"
)

// The properties draw from a calendar of six weeks, so that commands meet.
const calendar = 42

func drawDay(t *rapid.T) domain.Date {
	return day("2024-01-01").AddDays(rapid.IntRange(0, calendar-1).Draw(t, "day"))
}

func drawPay(t *rapid.T) ChangeCompensation {
	c := pay(fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "amount")), "2024-01-01")
	c.EffectiveFrom = drawDay(t)
	return c
}

func drawPosition(t *rapid.T) ChangePosition {
	c := clerk("2024-01-01")
	c.EffectiveFrom = drawDay(t)
	c.CostCenter = rapid.StringMatching(`[a-c]`).Draw(t, "cost center")
	c.Kind = rapid.SampledFrom([]AssignmentKind{"", Primary, Primary, Secondary}).Draw(t, "kind")
	return c
}

func drawHire(t *rapid.T, on domain.Date) Engagement {
	e := hireOfSally().Engagement
	e.HireDate = on
	if rapid.Bool().Draw(t, "on probation") {
		e.ProbationEnd = on.AddDays(rapid.IntRange(0, calendar/2).Draw(t, "probation"))
	}
	if rapid.Bool().Draw(t, "with pay") {
		c := drawPay(t)
		e.Compensation = &c
	}
	return e
}

func drawPerson(t *rapid.T) ChangePersonalData {
	return ChangePersonalData{
		PersonalData:  PersonalData{Phone: rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "phone")},
		EffectiveFrom: drawDay(t),
	}
}

// drawTarget names a recorded event, sometimes one that is not there.
func drawTarget(t *rapid.T, recorded []Event) int {
	return rapid.IntRange(0, len(recorded)).Draw(t, "target")
}

// drawCorrection states the kind of fact that its target is, or a change of pay.
func drawCorrection(t *rapid.T, recorded []Event) Correct {
	target := drawTarget(t, recorded)
	c := correction(target)
	var event Event
	if target < len(recorded) {
		event = recorded[target]
	}
	if e, ok := event.(FactCorrected); ok {
		event = e.Replacement.Event
	}
	switch event.(type) {
	case EmployeeHired:
		c.Hire = &Hire{Engagement: Engagement{HireDate: drawHireDay(t)}}
	case EmployeeRehired:
		c.Rehire = &Rehire{Engagement: Engagement{HireDate: drawDay(t)}}
	case PositionAssigned:
		p := drawPosition(t)
		c.Position = &p
	case EmploymentTerminated:
		c.Termination = &Terminate{LastDay: drawDay(t)}
	case EmployeeRetired:
		c.Retirement = &Retire{LastDay: drawDay(t)}
	case ProbationConfirmed:
		c.Confirmation = &ConfirmProbation{On: drawDay(t)}
	case ProbationExtended:
		c.Extension = &ExtendProbation{ProbationEnd: drawDay(t)}
	case PersonalDataChanged:
		c.PersonalData = &ChangePersonalData{EffectiveFrom: drawDay(t)}
	default:
		p := drawPay(t)
		c.Compensation = &p
	}
	return c
}

// drawHireDay is an early one, so that there is a life after it.
func drawHireDay(t *rapid.T) domain.Date {
	return day("2024-01-01").AddDays(rapid.IntRange(0, 7).Draw(t, "hire day"))
}

func drawCommand(t *rapid.T, recorded []Event) Command {
	switch rapid.IntRange(0, 13).Draw(t, "command") {
	case 0:
		return Hire{PersonalData: hireOfSally().PersonalData, Engagement: drawHire(t, drawHireDay(t))}.With(ctx)
	case 1:
		return Rehire{Engagement: drawHire(t, drawDay(t))}.With(ctx)
	case 2:
		return drawPosition(t).With(ctx)
	case 3:
		return drawPay(t).With(ctx)
	case 4:
		return drawPerson(t).With(ctx)
	case 5:
		return Terminate{LastDay: drawDay(t), Ground: Mutual}.With(ctx)
	case 6:
		return Retire{LastDay: drawDay(t), Scheme: "statutory"}.With(ctx)
	case 7, 8:
		return drawCorrection(t, recorded).With(ctx)
	case 9:
		return Rescind{RescindsEventID: fact(drawTarget(t, recorded)), ReasonText: "a mistake"}.With(ctx)
	case 10:
		return ChangeManager{ManagerEmployeeID: boss, EffectiveFrom: drawDay(t)}.With(ctx)
	case 11:
		return ConfirmProbation{On: drawDay(t)}.With(ctx)
	case 12:
		return ExtendProbation{ProbationEnd: drawDay(t), ReasonCode: "absence", EffectiveFrom: drawDay(t)}.With(ctx)
	default:
		return rapid.SampledFrom(commands()).Draw(t, "empty").With(ctx)
	}
}

// TestProperties also holds every day of the outcome against a model of one day.
func TestProperties(t *testing.T) {
	t.Parallel()
	domaintest.Properties(t, domaintest.Model[Command, State, Event]{
		Decider: Decider, Catalog: Catalog, Rules: Rules, Draw: drawNext,
		Always: func(t *rapid.T, _ State, facts []Assertion) { requireLegal(t, facts) },
	})
}

// drawNext hires first, so that there is a life to change.
func drawNext(t *rapid.T, facts []Assertion) Command {
	if len(facts) == 0 {
		return Hire{PersonalData: hireOfSally().PersonalData, Engagement: drawHire(t, drawHireDay(t))}.With(ctx)
	}
	recorded := make([]Event, len(facts))
	for i, fact := range facts {
		recorded[i] = fact.Event
	}
	return drawCommand(t, recorded)
}

// requireLegal looks at every day by itself, with a model that knows no spells,
// heads or intervals, only days.
func requireLegal(t require.TestingT, recorded []Assertion) {
	facts := Timeline(recorded)
	var trial trial
	for offset := range calendar + 2 {
		date := day("2024-01-01").AddDays(offset)
		believed := map[Attribute]Fact{}
		for _, f := range facts {
			if f.Holds(date) {
				require.NotContains(t, believed, f.Attribute, "one belief of an attribute a day")
				believed[f.Attribute] = f
			}
		}
		m := model{recorded, date}
		employed := m.employed()
		status := Status("")
		if f, ok := believed[AttrEmployment]; ok {
			status = f.Value.(Employment).Status
		}
		require.Equal(t, employed, status == Active, date)
		require.Equal(t, employed, believed[AttrPosition].Value != nil, "a primary position on each day of a spell, and no other: %s", date)
		require.Equal(t, m.last(AttrPosition), believed[AttrPosition].EventID, date)
		require.Equal(t, m.last(AttrPhone), believed[AttrPhone].EventID, date)
		if pay, ok := believed[AttrCompensation]; ok {
			require.True(t, employed, "no pay outside a spell")
			require.Equal(t, m.last(AttrCompensation), pay.EventID, date)
		}
		if decided, ok := believed[AttrProbation]; ok {
			require.True(t, employed, "no probation outside a spell")
			require.Equal(t, m.last(AttrProbation), decided.EventID, date)
		}
		if employed {
			trial.on(t, date, believed)
		}
	}
}

// A trial watches one spell's probation from day to day: it only ever gets
// longer, never once it is over, and stays confirmed.
type trial struct {
	hired, end domain.Date
	confirmed  bool
}

func (w *trial) on(t require.TestingT, date domain.Date, believed map[Attribute]Fact) {
	terms := believed[AttrEmployment].Value.(Employment)
	if terms.HireDate != w.hired {
		*w = trial{hired: terms.HireDate, end: terms.ProbationEnd}
	}
	decided, _ := believed[AttrProbation].Value.(Probation)
	switch decided.Status {
	case "":
		require.Equal(t, terms.ProbationEnd, w.end, "what was decided holds on: %s", date)
		require.False(t, w.confirmed, date)
	case Confirmed:
		require.False(t, w.end.IsZero(), "only a probation is confirmed: %s", date)
		w.confirmed = true
	case Extended:
		require.False(t, w.confirmed, date)
		if decided.ProbationEnd != w.end {
			require.False(t, w.end.IsZero(), "only a probation is extended: %s", date)
			require.True(t, decided.ProbationEnd.After(w.end) && !date.After(w.end), date)
			w.end = decided.ProbationEnd
		}
	}
}

// A model answers for one day.
type model struct {
	recorded []Assertion
	date     domain.Date
}

// said runs through what each live event says now, in the order of its head.
func (m model) said(yield func(id uuid.UUID, order int, event Event)) {
	rescinded := func(id uuid.UUID) bool {
		for _, a := range m.recorded {
			if e, ok := a.Event.(FactRescinded); ok && e.RescindsEventID == id {
				return true
			}
		}
		return false
	}
	var now func(order int) (int, Event)
	now = func(order int) (int, Event) {
		event := m.recorded[order].Event
		if c, ok := event.(FactCorrected); ok {
			event = c.Replacement.Event
		}
		for later := len(m.recorded) - 1; later > order; later-- {
			c, ok := m.recorded[later].Event.(FactCorrected)
			if ok && c.CorrectsEventID == m.recorded[order].ID && !rescinded(m.recorded[later].ID) {
				return now(later)
			}
		}
		return order, event
	}
	for i, a := range m.recorded {
		switch a.Event.(type) {
		case FactCorrected, FactRescinded:
			continue
		}
		if !rescinded(a.ID) {
			order, event := now(i)
			yield(m.recorded[order].ID, order, event)
		}
	}
}

// employed counts: as many hires up to the day as ends before it, plus one.
func (m model) employed() bool {
	balance := 0
	m.said(func(_ uuid.UUID, _ int, event Event) {
		switch e := event.(type) {
		case EmployeeHired:
			balance += upTo(e.HireDate, m.date)
		case EmployeeRehired:
			balance += upTo(e.HireDate, m.date)
		case EmploymentTerminated:
			balance -= upTo(e.LastDay.AddDays(1), m.date)
		case EmployeeRetired:
			balance -= upTo(e.LastDay.AddDays(1), m.date)
		}
	})
	return balance == 1
}

func upTo(from, date domain.Date) int {
	if from.After(date) {
		return 0
	}
	return 1
}

// last is the event that speaks for an attribute on the day.
func (m model) last(attribute Attribute) uuid.UUID {
	if attribute.OfSpell() && !m.employed() {
		return uuid.Nil
	}
	var last uuid.UUID
	var lastDay domain.Date
	lastOrder := -1
	m.said(func(id uuid.UUID, order int, event Event) {
		from, speaks := speaksFor(event, attribute)
		if !speaks || from.After(m.date) || from.Before(lastDay) || from == lastDay && order < lastOrder {
			return
		}
		last, lastDay, lastOrder = id, from, order
	})
	return last
}

func speaksFor(event Event, attribute Attribute) (domain.Date, bool) {
	switch e := event.(type) {
	case PositionAssigned:
		return e.EffectiveFrom, attribute == AttrPosition && e.Kind == Primary
	case CompensationChanged:
		return e.EffectiveFrom, attribute == AttrCompensation
	case ProbationConfirmed:
		return e.On, attribute == AttrProbation
	case ProbationExtended:
		return e.EffectiveFrom, attribute == AttrProbation
	case PersonalDataChanged:
		return e.EffectiveFrom, attribute == AttrPhone && e.Phone != nil
	}
	return domain.Date{}, false
}

// TestTimelineIsTotal folds records that no decision would have made.
func TestTimelineIsTotal(t *testing.T) {
	t.Parallel()
	shapes := everyShape()
	rapid.Check(t, func(t *rapid.T) {
		var events []Event
		for range rapid.IntRange(0, 20).Draw(t, "events") {
			event := rapid.SampledFrom(shapes).Draw(t, "event")
			switch rapid.IntRange(0, 3).Draw(t, "verb") {
			case 0:
				event = rescinded(rapid.IntRange(0, 20).Draw(t, "target"))
			case 1:
				if CauseOf(event) == Changed {
					event = corrected(rapid.IntRange(0, 20).Draw(t, "target"), event)
				}
			}
			events = append(events, event)
		}
		facts := Timeline(record(events...))
		for i, f := range facts {
			_, err := json.Marshal(f.Value)
			require.NoError(t, err)
			require.True(t, f.To.IsZero() || f.From.Before(f.To), "%s [%s, %s)", f.Attribute, f.From, f.To)
			if i > 0 && facts[i-1].Attribute == f.Attribute {
				require.False(t, facts[i-1].To.IsZero() || facts[i-1].To.After(f.From), "facts of %s overlap", f.Attribute)
			}
		}
	})
}
