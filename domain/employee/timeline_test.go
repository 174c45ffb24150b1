package employee_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	. "daybook.example/domain/employee"
)

// record is what a projection keeps: the events in order, under the IDs fact(i).
func record(events ...Event) []Assertion {
	var all []Assertion
	for i, event := range events {
		all = append(all, Assertion{Recording: domain.Recording{ID: fact(i), Revision: uint64(i)}, Event: event})
	}
	return all
}

// on is what is believed of an attribute on a day.
func on(facts []Fact, attribute Attribute, date string) (Fact, bool) {
	for _, f := range facts {
		if f.Attribute == attribute && f.Holds(day(date)) {
			return f, true
		}
	}
	return Fact{}, false
}

// amountOn looks the pay up where the timeline says that it is stored, or "none".
func amountOn(t testing.TB, record []Assertion, date string) string {
	t.Helper()
	f, ok := on(Timeline(record), AttrCompensation, date)
	if !ok {
		return "none"
	}
	var money struct {
		Value domain.Money `json:"value"`
	}
	marked := resolve(t, record, f.Value.(Compensation).Amount)
	require.NoError(t, json.Unmarshal(marked, &money))
	return money.Value.Amount.String()
}

// resolve follows a reference into the stored data of its event.
func resolve(t testing.TB, record []Assertion, reference *domain.Reference) json.RawMessage {
	t.Helper()
	for _, a := range record {
		if a.ID != reference.Personal.EventID {
			continue
		}
		data, err := domain.Encode(a.Event)
		require.NoError(t, err)
		for _, member := range splitPointer(reference.Personal.Path) {
			var object map[string]json.RawMessage
			require.NoError(t, json.Unmarshal(data, &object))
			data = object[member]
		}
		var marker struct {
			Personal json.RawMessage `json:"$personal"`
		}
		require.NoError(t, json.Unmarshal(data, &marker))
		require.NotEmpty(t, marker.Personal, "%s leads to no personal value", reference.Personal.Path)
		return marker.Personal
	}
	t.Fatalf("no event %s", reference.Personal.EventID)
	return nil
}

func titleOn(record []Assertion, date string) string {
	f, ok := on(Timeline(record), AttrPosition, date)
	if !ok {
		return "none"
	}
	return f.Value.(Assignment).JobTitle
}

func statusOn(record []Assertion, date string) Status {
	f, ok := on(Timeline(record), AttrEmployment, date)
	if !ok {
		return "none"
	}
	return f.Value.(Employment).Status
}

// TestSally is the acceptance test of domain.md 3: paid 6000 from January on, a
// raise to 6500 effective 15 February is recorded on 15 March.
func TestSally(t *testing.T) {
	t.Parallel()
	hire, amount := hireOfSally(), pay("6000", "2024-01-01")
	hire.Compensation = &amount
	events := decide(t, nil, hire)
	known := map[string]int{"25 Jan": len(events), "25 Feb": len(events)}
	events = append(events, decide(t, events, pay("6500", "2024-02-15"))...)
	known["25 Mar"] = len(events)
	for _, cell := range []struct{ known, valid, want string }{
		{"25 Jan", "2024-01-25", "6000"},
		{"25 Feb", "2024-01-25", "6000"},
		{"25 Mar", "2024-01-25", "6000"},
		{"25 Feb", "2024-02-25", "6000"},
		{"25 Mar", "2024-02-25", "6500"},
		{"25 Mar", "2024-03-25", "6500"},
	} {
		got := amountOn(t, record(events[:known[cell.known]]...), cell.valid)
		require.Equal(t, cell.want, got, "known %s, valid %s", cell.known, cell.valid)
	}
}

func decide(t testing.TB, events []Event, c Command) []Event {
	t.Helper()
	decided, err := Decider.Decide(given(t, events...).State(), c.With(ctx))
	require.NoError(t, err)
	return decided
}

// TestChainsOfCorrections goes through the fold's rules one by one: what pay is
// believed for 1 March, after all was recorded.
func TestChainsOfCorrections(t *testing.T) {
	t.Parallel()
	at := func(amount string) Event { return paid(amount, "2024-02-01") }
	for name, c := range map[string]struct {
		record []Event // from event 2 on
		want   string
	}{
		"a change":                                   {[]Event{at("1")}, "1"},
		"a rescinded change":                         {[]Event{at("1"), rescinded(2)}, "none"},
		"a correction":                               {[]Event{at("1"), corrected(2, at("2"))}, "2"},
		"a rescinded correction":                     {[]Event{at("1"), corrected(2, at("2")), rescinded(3)}, "1"},
		"a correction of a correction":               {[]Event{at("1"), corrected(2, at("2")), corrected(3, at("3"))}, "3"},
		"its rescission":                             {[]Event{at("1"), corrected(2, at("2")), corrected(3, at("3")), rescinded(4)}, "2"},
		"a link below it is rescinded":               {[]Event{at("1"), corrected(2, at("2")), corrected(3, at("3")), rescinded(3)}, "1"},
		"the root is rescinded":                      {[]Event{at("1"), corrected(2, at("2")), corrected(3, at("3")), rescinded(2)}, "none"},
		"of two corrections the last counts":         {[]Event{at("1"), corrected(2, at("2")), corrected(2, at("3"))}, "3"},
		"and the first again without it":             {[]Event{at("1"), corrected(2, at("2")), corrected(2, at("3")), rescinded(4)}, "2"},
		"a correction of the one that does not":      {[]Event{at("1"), corrected(2, at("2")), corrected(2, at("3")), corrected(3, at("4"))}, "3"},
		"a later change wins":                        {[]Event{at("1"), at("2")}, "2"},
		"a correction stands where it was recorded":  {[]Event{at("1"), at("2"), corrected(2, at("3"))}, "3"},
		"and gives way when it is rescinded":         {[]Event{at("1"), at("2"), corrected(2, at("3")), rescinded(4)}, "2"},
		"a correction to another day":                {[]Event{at("1"), corrected(2, paid("2", "2024-04-01"))}, "none"},
		"what a rescission brings back":              {[]Event{at("1"), paid("2", "2024-02-15"), rescinded(3)}, "1"},
		"a correction of what was never recorded":    {[]Event{corrected(9, at("2"))}, "none"},
		"a correction without a replacement":         {[]Event{at("1"), FactCorrected{CorrectsEventID: fact(2)}}, "1"},
		"two corrections of one another are neither": {[]Event{corrected(3, at("1")), corrected(2, at("2"))}, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, amountOn(t, record(employed(c.record...)...), "2024-03-01"))
		})
	}
}

func TestCorrectionKeepsWhatIsAbsent(t *testing.T) {
	t.Parallel()
	was := paid("6000", "2024-02-01")
	now := was
	now.Amount = domain.Payroll[domain.Money]{}.Of(subject, domain.NewMoney("6100", "EUR"))
	c := correction(2)
	c.Compensation = &ChangeCompensation{Amount: domain.NewMoney("6100", "EUR")}
	given(t, employed(was)...).When(c.With(ctx)).Then(corrected(2, now))

	d := correction(0)
	d.Hire = &Hire{PersonalData: PersonalData{LegalName: PersonName{Given: "Sarah", Family: "Miller"}}}
	renamed := hired("2024-01-01")
	renamed.LegalName = domain.Identity[PersonName]{}.Of(subject, PersonName{Given: "Sarah", Family: "Miller"})
	given(t, employed()...).When(d.With(ctx)).Then(corrected(0, renamed))
}

func TestCorrectionStartsFromWhatIsBelieved(t *testing.T) {
	t.Parallel()
	regraded := asClerk("2024-01-01", ForHire)
	regraded.Grade = "B"
	moved := regraded
	moved.CostCenter = "4712"
	for _, target := range []int{1, 2} { // the root and the head of the chain
		c := correction(target)
		c.Position = &ChangePosition{CostCenter: "4712"}
		given(t, employed(corrected(1, regraded))...).When(c.With(ctx)).Then(corrected(target, moved))
	}
}

func TestNothingNewIsNothingToDo(t *testing.T) {
	t.Parallel()
	sally := given(t, employed(paid("6000", "2024-02-01"), left("2024-12-31"))...)
	sally.When(pay("6000", "2024-02-01").With(ctx)).Then()
	sally.When(clerk("2024-01-01").With(ctx)).Then(asClerk("2024-01-01", ForTransfer)) // another reason
	sally.When(Terminate{LastDay: day("2024-12-31"), Ground: Resignation}.With(ctx)).Then()
	c := correction(2)
	c.Compensation = &ChangeCompensation{Amount: domain.NewMoney("6000", "EUR")}
	sally.When(c.With(ctx)).Then()

	// 6000, then 7000 for the same day, then 6000 again: that is news.
	given(t, employed(paid("6000", "2024-02-01"), paid("7000", "2024-02-01"))...).
		When(pay("6000", "2024-02-01").With(ctx)).Then(paid("6000", "2024-02-01"))
}

func TestHireDateTakesAlongWhatBeganWithIt(t *testing.T) {
	t.Parallel()
	manager := ManagerAssigned{boss, day("2024-01-01")}
	c := correction(0)
	c.Hire = &Hire{Engagement: Engagement{HireDate: day("2024-01-15")}}
	sally := employed(manager, paid("6000", "2024-02-01"))
	moved := []Event{
		corrected(0, hired("2024-01-15")),
		corrected(1, asClerk("2024-01-15", ForHire)),
		corrected(2, ManagerAssigned{boss, day("2024-01-15")}),
	}
	given(t, sally...).When(c.With(ctx)).Then(moved...)

	// And back, when that correction was the mistake.
	sally = append(sally, moved...)
	given(t, sally...).When(rescission(4)).Then(
		rescinded(4),
		corrected(1, asClerk("2024-01-01", ForHire)),
		corrected(2, manager),
	)

	// What lies between the days is in the way.
	c.Hire.HireDate = day("2024-02-15")
	given(t, employed(paid("6000", "2024-02-01"))...).When(c.With(ctx)).ThenRefused("effective-before-hire", "/hire")
}

func TestRescindedHireTakesEverythingWithIt(t *testing.T) {
	t.Parallel()
	sally := employed(
		paid("6000", "2024-02-01"), corrected(2, paid("6100", "2024-02-01")),
		PersonalDataChanged{Person{Phone: domain.Contact[string]{}.Of(subject, "1")}, day("2024-09-01")},
		left("2024-06-30"), paid("7000", "2024-03-01"), rescinded(6),
	)
	gone := []Event{rescinded(0), rescinded(1), rescinded(2), rescinded(5), rescinded(4)}
	given(t, sally...).When(rescission(0)).Then(gone...)

	sally = append(sally, gone...)
	require.Empty(t, Timeline(record(sally...)))
	require.Empty(t, Timeline(record(sally[:9]...)), "from its first event on")
	given(t, sally...).When(hireOfSally().With(ctx)).Then(hired("2024-01-01"), asClerk("2024-01-01", ForHire))
}

func TestRescindedRehireTakesItsSpellWithIt(t *testing.T) {
	t.Parallel()
	sally := employed(
		left("2024-06-30"), rehiredOn("2024-09-01"), asLead("2024-09-01"), paid("6000", "2024-10-01"),
		PersonalDataChanged{Person{Phone: domain.Contact[string]{}.Of(subject, "1")}, day("2024-10-01")},
	)
	given(t, sally...).When(rescission(3)).Then(rescinded(3), rescinded(4), rescinded(5))
}

func TestRehireIsANewSpellOfTheSamePerson(t *testing.T) {
	t.Parallel()
	position := asClerk("2024-09-01", ForHire)
	position.ChangeReason = ForTransfer // as the command says
	sally := employed(paid("6000", "2024-01-01"), left("2024-06-30"))
	given(t, sally...).When(rehireOn("2024-09-01").With(ctx)).Then(rehiredOn("2024-09-01"), position)

	all := record(append(sally, rehiredOn("2024-09-01"), position)...)
	require.Equal(t, Active, statusOn(all, "2024-06-30"))
	require.Equal(t, Terminated, statusOn(all, "2024-07-01"))
	require.Equal(t, Terminated, statusOn(all, "2024-08-31"))
	require.Equal(t, Active, statusOn(all, "2024-09-01"))
	require.Equal(t, "Clerk", titleOn(all, "2024-06-30"))
	require.Equal(t, "none", titleOn(all, "2024-07-01"))
	require.Equal(t, "Clerk", titleOn(all, "2024-09-01"))
	require.Equal(t, "6000", amountOn(t, all, "2024-06-30"))
	require.Equal(t, "none", amountOn(t, all, "2024-09-01"), "pay does not outlast its spell")
}

func TestTerminationCutsAndItsRescissionBringsBack(t *testing.T) {
	t.Parallel()
	before := employed(paid("6000", "2024-01-01"), ManagerAssigned{boss, day("2024-01-01")})
	ended := append(before, left("2024-06-30"))
	for _, f := range Timeline(record(ended...)) {
		switch {
		case f.Attribute == AttrEmployment:
		case f.Attribute.OfSpell():
			require.Equal(t, day("2024-07-01"), f.To, f.Attribute)
		default:
			require.True(t, f.To.IsZero(), "%s belongs to the person", f.Attribute)
		}
	}
	require.Equal(t, Retired, statusOn(record(append(before, EmployeeRetired{day("2024-06-30"), "statutory"})...), "2024-07-01"))
	require.Equal(t, Timeline(record(before...)), Timeline(record(append(ended, rescinded(4))...)))
}

func TestSecondaryPositionsStandBesideThePrimaryOne(t *testing.T) {
	t.Parallel()
	deputy, auditor := asLead("2024-02-01"), asLead("2024-03-01")
	deputy.Kind, auditor.Kind = Secondary, Secondary
	auditor.PositionID = uuid.MustParse("00000000-0000-4000-8000-000000000013")
	facts := Timeline(record(employed(deputy, auditor)...))
	for _, attribute := range []Attribute{AttrPosition, SecondaryPosition(deputy.PositionID), SecondaryPosition(auditor.PositionID)} {
		_, holds := on(facts, attribute, "2024-04-01")
		require.True(t, holds, attribute)
		require.True(t, attribute.OfSpell(), attribute)
	}
}

func TestPersonalFieldsHaveTimelinesOfTheirOwn(t *testing.T) {
	t.Parallel()
	married := PersonalDataChanged{Person{LegalName: domain.Identity[PersonName]{}.Of(subject, PersonName{Given: "Sally", Family: "Jones"})}, day("2024-03-01")}
	all := record(employed(married, left("2024-06-30"))...)
	for date, want := range map[string]string{"2024-02-29": "Miller", "2024-03-01": "Jones", "2025-01-01": "Jones"} {
		f, ok := on(Timeline(all), AttrLegalName, date)
		require.True(t, ok, date)
		require.Contains(t, string(resolve(t, all, f.Value.(*domain.Reference))), want, date)
	}
	born, _ := on(Timeline(all), AttrBirthDate, "2024-04-01")
	require.Equal(t, fact(0), born.EventID, "what a change does not name stays")
}

func TestProbationIsWhatWasDecidedAboutIt(t *testing.T) {
	t.Parallel()
	said := onProbation(extended("2024-05-01", "2024-09-30"), ProbationConfirmed{day("2024-08-01")}, left("2024-08-31"))
	probationOn := func(date string, events ...Event) any {
		f, _ := on(Timeline(record(events...)), AttrProbation, date)
		return f.Value
	}
	for date, want := range map[string]any{
		"2024-04-30": nil, // as the terms of the hire say
		"2024-05-01": Probation{Extended, day("2024-09-30"), "absence"},
		"2024-07-31": Probation{Extended, day("2024-09-30"), "absence"},
		"2024-08-01": Probation{Status: Confirmed},
		"2024-08-31": Probation{Status: Confirmed},
		"2024-09-01": nil,
	} {
		require.Equal(t, want, probationOn(date, said...), date)
	}
	longer := corrected(2, extended("2024-05-01", "2024-10-31"))
	require.Equal(t, Probation{Extended, day("2024-10-31"), "absence"}, probationOn("2024-07-31", append(said, longer)...))
	require.Nil(t, probationOn("2024-07-31", append(said, longer, rescinded(2))...), "a rescission takes its corrections with it")
	require.Equal(t, Probation{Extended, day("2024-09-30"), "absence"}, probationOn("2024-08-01", append(said, rescinded(3))...))

	c := correction(2)
	c.Extension = &ExtendProbation{ProbationEnd: day("2024-10-31")}
	given(t, said...).When(c.With(ctx)).Then(longer)
	c = correction(3)
	c.Confirmation = &ConfirmProbation{On: day("2024-08-02")}
	given(t, said...).When(c.With(ctx)).Then(corrected(3, ProbationConfirmed{day("2024-08-02")}))
	given(t, said...).When(rescission(3)).Then(rescinded(3))
}

// TestValuesAreReadyForStorage pins what projections store of each attribute.
func TestValuesAreReadyForStorage(t *testing.T) {
	t.Parallel()
	full := everyShape()
	facts := Timeline(record(full...))
	var got []byte
	for _, f := range facts {
		value, err := json.Marshal(f.Value)
		require.NoError(t, err)
		got = fmt.Appendf(got, "%s [%s, %s) %s %s %s\n", f.Attribute, f.From, f.To, f.Cause, f.EventID, value)
	}
	golden(t, "timeline.golden", got)
	for _, f := range facts {
		if reference, ok := f.Value.(*domain.Reference); ok {
			require.NotEmpty(t, resolve(t, record(full...), reference))
		}
	}
}
