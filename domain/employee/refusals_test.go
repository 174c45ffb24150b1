package employee_test

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	. "daybook.example/domain/employee"
)

type refusal struct {
	code, field string
	given       []Event
	when        Command
}

// with changes a copy of a command.
func with[C Command](c C, change func(*C)) Command {
	change(&c)
	return c.With(ctx)
}

func hire(change func(*Hire)) Command { return with(hireOfSally(), change) }

func rehireOn(from string) Rehire {
	position := clerk(from)
	return Rehire{Engagement: Engagement{HireDate: day(from), Position: &position}}
}

func rehiredOn(from string) EmployeeRehired {
	return EmployeeRehired{Terms: hired(from).Terms}
}

func rescinded(i int) FactRescinded { return FactRescinded{fact(i), because("a mistake")} }

func corrected(i int, event Event) FactCorrected {
	return FactCorrected{fact(i), Replacement{Event: event}, because("a mistake")}
}

func correction(i int) Correct {
	return Correct{CorrectsEventID: fact(i), ReasonText: "a mistake"}
}

func rescission(i int) Command {
	return Rescind{RescindsEventID: fact(i), ReasonText: "a mistake"}.With(ctx)
}

// refusals has every rule at least once.
func refusals() []refusal {
	return slices.Concat(lifeRefusals(), probationRefusals(), fieldRefusals(), personRefusals(), correctionRefusals())
}

func lifeRefusals() []refusal {
	left2024 := employed(left("2024-06-30"))
	return []refusal{
		{"already-hired", "", employed(), hireOfSally().With(ctx)},
		{"not-hired", "", nil, clerk("2024-01-01").With(ctx)},
		{"not-hired", "", nil, rehireOn("2024-01-01").With(ctx)},
		{"not-hired", "", []Event{hired("2024-01-01"), asClerk("2024-01-01", ForHire), rescinded(0), rescinded(1)}, clerk("2024-01-01").With(ctx)},
		{"spell-overlap", "/hire_date", employed(), rehireOn("2024-03-01").With(ctx)},
		{"spell-overlap", "/hire_date", left2024, rehireOn("2024-06-30").With(ctx)},
		{"spell-overlap", "/rescinds_event_id", append(left2024, rehiredOn("2024-09-01"), asClerk("2024-09-01", ForHire)), rescission(2)},
		{"already-ended", "/last_day", left2024, Terminate{LastDay: day("2024-05-31"), Ground: Mutual}.With(ctx)},
		{"already-ended", "/last_day", left2024, Retire{LastDay: day("2024-07-31"), Scheme: "statutory"}.With(ctx)},
		{"last-day-before-hire", "/last_day", employed(), Terminate{LastDay: day("2023-12-31"), Ground: Mutual}.With(ctx)},
		{"last-day-before-hire", "/termination", left2024, with(correction(2), func(c *Correct) { c.Termination = &Terminate{LastDay: day("2023-12-31")} })},
		{"effective-before-hire", "/effective_from", employed(), clerk("2023-12-31").With(ctx)},
		{"effective-before-hire", "/effective_from", employed(), ChangePersonalData{PersonalData: PersonalData{Phone: "1"}, EffectiveFrom: day("2023-12-31")}.With(ctx)},
		{"effective-before-hire", "/hire_date", left2024, rehireOn("2023-01-01").With(ctx)},
		{"effective-before-hire", "/compensation/effective_from", nil, hire(func(c *Hire) { p := pay("1", "2023-12-31"); c.Compensation = &p })},
		{"outside-spell", "/effective_from", left2024, clerk("2024-07-01").With(ctx)},
		{"outside-spell", "/effective_from", left2024, pay("6000", "2024-07-01").With(ctx)},
		{"outside-spell", "/effective_from", left2024, ChangeWorkingTime{FTE: domain.MustDecimal("1"), EffectiveFrom: day("2024-07-01")}.With(ctx)},
		{"outside-spell", "/last_day", employed(paid("6000", "2024-08-01")), Terminate{LastDay: day("2024-06-30"), Ground: Mutual}.With(ctx)},
		{"primary-position-missing", "/rescinds_event_id", employed(asLead("2024-03-01")), rescission(1)},
		{"primary-position-missing", "/position", employed(), with(correction(1), func(c *Correct) { c.Position = &ChangePosition{EffectiveFrom: day("2024-02-01")} })},
		{"primary-position-missing", "/position", employed(), with(correction(1), func(c *Correct) { c.Position = &ChangePosition{Kind: Secondary} })},
		{"primary-position-missing", "/position/effective_from", nil, hire(func(c *Hire) { p := clerk("2024-01-02"); c.Position = &p })},
		{"manager-self", "/manager_employee_id", employed(), ChangeManager{ManagerEmployeeID: self}.With(ctx)},
		{"manager-self", "/manager/manager_employee_id", employed(ManagerAssigned{boss, day("2024-01-01")}), with(correction(2), func(c *Correct) { c.Manager = &ChangeManager{ManagerEmployeeID: self} })},
		{"rehire-depends", "/rescinds_event_id", append(left2024, rehiredOn("2024-09-01"), asClerk("2024-09-01", ForHire)), rescission(0)},
	}
}

func probationRefusals() []refusal {
	confirm := func(on string) Command { return ConfirmProbation{On: day(on)}.With(ctx) }
	extend := func(from, end string) Command {
		return ExtendProbation{ProbationEnd: day(end), ReasonCode: "absence", EffectiveFrom: day(from)}.With(ctx)
	}
	confirmedInMay := onProbation(ProbationConfirmed{day("2024-05-01")})
	extendedInMay := onProbation(extended("2024-05-01", "2024-09-30"))
	again := rehiredOn("2024-09-01")
	return []refusal{
		{"not-hired", "", nil, confirm("2024-06-01")},
		{"effective-before-hire", "/on", onProbation(), confirm("2023-12-31")},
		{"outside-spell", "/on", onProbation(left("2024-05-31")), confirm("2024-06-01")},
		{"outside-spell", "/probation_end", onProbation(left("2024-05-31")), extend("2024-06-01", "2024-09-30")},
		{"outside-spell", "/last_day", extendedInMay, Terminate{LastDay: day("2024-04-30"), Ground: Mutual}.With(ctx)},
		{"probation-missing", "/on", employed(), confirm("2024-06-01")},
		{"probation-missing", "/probation_end", employed(), extend("2024-06-01", "2024-09-30")},
		{"probation-missing", "/on", onProbation(left("2024-05-31"), again, asClerk("2024-09-01", ForHire)), confirm("2024-09-15")},
		{"probation-confirmed", "/on", confirmedInMay, confirm("2024-06-01")},
		{"probation-confirmed", "/on", confirmedInMay, confirm("2024-04-01")},
		{"probation-confirmed", "/probation_end", confirmedInMay, extend("2024-05-01", "2024-09-30")},
		{"probation-confirmed", "/on", extendedInMay, confirm("2024-04-30")},
		{"probation-over", "/probation_end", onProbation(), extend("2024-07-01", "2024-09-30")},
		{"probation-not-later", "/probation_end", onProbation(), extend("2024-06-01", "2024-06-30")},
		{"probation-not-later", "/probation_end", extendedInMay, extend("2024-06-01", "2024-09-30")},
		{"probation-not-later", "/hire", extendedInMay, with(correction(0), func(c *Correct) {
			c.Hire = &Hire{Engagement: Engagement{ProbationEnd: day("2024-12-31")}}
		})},
		{"probation-confirmed", "/probation_confirmation", onProbation(extended("2024-05-01", "2024-09-30"), ProbationConfirmed{day("2024-06-01")}),
			with(correction(3), func(c *Correct) { c.Confirmation = &ConfirmProbation{On: day("2024-04-01")} })},
		{"probation-over", "/rescinds_event_id", onProbation(extended("2024-05-01", "2024-07-31"), extended("2024-07-15", "2024-09-30")), rescission(2)},
		{"required", "/on", onProbation(), ConfirmProbation{}.With(Context{})},
		{"required", "/probation_end", onProbation(), ExtendProbation{ReasonCode: "absence"}.With(ctx)},
		{"required", "/reason_code", onProbation(), ExtendProbation{ProbationEnd: day("2024-09-30")}.With(ctx)},
		{"required", "/effective_from", onProbation(), ExtendProbation{ProbationEnd: day("2024-09-30"), ReasonCode: "absence"}.With(Context{})},
		{"code-invalid", "/reason_code", onProbation(), ExtendProbation{ProbationEnd: day("2024-09-30"), ReasonCode: "She was ill"}.With(ctx)},
	}
}

func fieldRefusals() []refusal {
	position := func(change func(*ChangePosition)) Command { return with(clerk("2024-02-01"), change) }
	compensation := func(change func(*ChangeCompensation)) Command { return with(pay("6000", "2024-02-01"), change) }
	component := func(c Component) Command {
		return compensation(func(p *ChangeCompensation) { p.Components = []Component{c} })
	}
	bonus := domain.NewMoney("100", "EUR")
	return []refusal{
		{"required", "/position", nil, hire(func(c *Hire) { c.Position = nil })},
		{"required", "/employee_no", nil, hire(func(c *Hire) { c.EmployeeNo = "" })},
		{"required", "/position/job_title", nil, hire(func(c *Hire) { p := *c.Position; p.JobTitle = ""; c.Position = &p })},
		{"required", "/position_id", employed(), position(func(c *ChangePosition) { c.PositionID = uuid.Nil })},
		{"required", "/effective_from", employed(), clerkUndated().With(Context{})},
		{"required", "/manager_employee_id", employed(), ChangeManager{}.With(ctx)},
		{"required", "/amount", employed(), compensation(func(c *ChangeCompensation) { c.Amount = domain.Money{} })},
		{"required", "/amount/amount", employed(), compensation(func(c *ChangeCompensation) { c.Amount = domain.Money{Currency: "EUR"} })},
		{"required", "/components/0/code", employed(), component(Component{Amount: bonus})},
		{"required", "/fte", employed(), ChangeWorkingTime{}.With(ctx)},
		{"required", "/iban", employed(), ChangeBankAccount{Holder: "S"}.With(ctx)},
		{"required", "/last_day", employed(), Terminate{Ground: Mutual}.With(ctx)},
		{"required", "/ground", employed(), Terminate{LastDay: day("2024-06-30")}.With(ctx)},
		{"required", "/scheme", employed(), Retire{LastDay: day("2024-06-30")}.With(ctx)},
		{"code-invalid", "/scheme", employed(), Retire{LastDay: day("2024-06-30"), Scheme: "Early, for her back"}.With(ctx)},
		{"required", "/reason_text", employed(), Rescind{RescindsEventID: fact(1)}.With(ctx)},
		{"text-invalid", "/job_title", employed(), position(func(c *ChangePosition) { c.JobTitle = "Clerk\x00" })},
		{"text-invalid", "/cost_center", employed(), position(func(c *ChangePosition) { c.CostCenter = strings.Repeat("x", 201) })},
		{"text-invalid", "/note", employed(), Terminate{LastDay: day("2024-06-30"), Ground: Mutual, Note: "\x1b[2J"}.With(ctx)},
		{"code-invalid", "/change_reason", employed(), compensation(func(c *ChangeCompensation) { c.ChangeReason = "She asked" })},
		{"value-unknown", "/change_reason", employed(), position(func(c *ChangePosition) { c.ChangeReason = "whim" })},
		{"value-unknown", "/pay_basis", employed(), compensation(func(c *ChangeCompensation) { c.PayBasis = "daily" })},
		{"value-unknown", "/employment_type", nil, hire(func(c *Hire) { c.EmploymentType = "serf" })},
		{"fte-range", "/fte", nil, hire(func(c *Hire) { c.FTE = domain.MustDecimal("0") })},
		{"fte-range", "/fte", employed(), ChangeWorkingTime{FTE: domain.MustDecimal("0.33333")}.With(ctx)},
		{"hours-range", "/weekly_hours", employed(), ChangeWorkingTime{FTE: domain.MustDecimal("1"), WeeklyHours: domain.MustDecimal("169")}.With(ctx)},
		{"amount-negative", "/amount/amount", employed(), pay("-1", "2024-02-01").With(ctx)},
		{"amount-negative", "/components/0/percent", employed(), component(Component{Code: "bonus", Percent: domain.MustDecimal("-1")})},
		{"currency-unknown", "/amount/currency", employed(), compensation(func(c *ChangeCompensation) { c.Amount.Currency = "XXY" })},
		{"currency-not-allowed", "/amount/currency", employed(), compensation(func(c *ChangeCompensation) { c.Amount.Currency = "JPY" })},
		{"scale-exceeded", "/amount/amount", employed(), pay("1.0000001", "2024-02-01").With(ctx)},
		{"component-value", "/components/0", employed(), component(Component{Code: "bonus"})},
		{"component-value", "/components/0", employed(), component(Component{Code: "bonus", Amount: bonus, Percent: domain.MustDecimal("1")})},
		{"service-after-hire", "/continuous_service_date", nil, hire(func(c *Hire) { c.ContinuousServiceDate = day("2024-01-02") })},
		{"contract-end-before-hire", "/contract_end", nil, hire(func(c *Hire) { c.ContractEnd = day("2023-12-31") })},
		{"probation-end-before-hire", "/probation_end", nil, hire(func(c *Hire) { c.ProbationEnd = day("2023-12-31") })},
	}
}

func clerkUndated() ChangePosition {
	c := clerk("2024-01-01")
	c.EffectiveFrom = domain.Date{}
	return c
}

func personRefusals() []refusal {
	person := func(d PersonalData) Command {
		return ChangePersonalData{PersonalData: d, EffectiveFrom: day("2024-02-01")}.With(ctx)
	}
	account := func(iban, bic string) Command {
		return ChangeBankAccount{IBAN: iban, BIC: bic, Holder: "Sally Miller"}.With(ctx)
	}
	return []refusal{
		{"name-missing", "/legal_name", nil, hire(func(c *Hire) { c.LegalName = PersonName{} })},
		{"required", "/birth_date", nil, hire(func(c *Hire) { c.BirthDate = domain.Date{} })},
		{"required", "/work_email", nil, hire(func(c *Hire) { c.WorkEmail = "" })},
		{"required", "/legal_name/family", employed(), person(PersonalData{LegalName: PersonName{Given: "Sally"}})},
		{"required", "/national_id/value", employed(), person(PersonalData{NationalID: NationalID{Scheme: "de-tax"}})},
		{"required", "/home_address/city", employed(), person(PersonalData{HomeAddress: Address{Line1: "Street 1", Country: "DE"}})},
		{"text-invalid", "/legal_name/given", employed(), person(PersonalData{LegalName: PersonName{Given: " Sally", Family: "M"}})},
		{"text-invalid", "/phone", employed(), person(PersonalData{Phone: "1\n2"})},
		{"email-invalid", "/work_email", nil, hire(func(c *Hire) { c.WorkEmail = "sally at home" })},
		{"email-invalid", "/private_email", employed(), person(PersonalData{PrivateEmail: "@"})},
		{"country-unknown", "/nationality", employed(), person(PersonalData{Nationality: "XY"})},
		{"country-unknown", "/home_address/country", employed(), person(PersonalData{HomeAddress: Address{Line1: "S", City: "C", Country: "de"}})},
		{"birth-after-hire", "/birth_date", nil, hire(func(c *Hire) { c.BirthDate = c.HireDate })},
		{"nothing-to-change", "", employed(), person(PersonalData{})},
		{"iban-invalid", "/iban", employed(), account("DE89370400440532013001", "")},
		{"iban-invalid", "/iban", employed(), account("DE", "")},
		{"bic-invalid", "/bic", employed(), account("DE89370400440532013000", "BANK")},
	}
}

func correctionRefusals() []refusal {
	amount := func(i int) Command {
		return with(correction(i), func(c *Correct) { c.Compensation = &ChangeCompensation{Amount: domain.NewMoney("7", "EUR")} })
	}
	paidOnce := employed(paid("6000", "2024-02-01"))
	gone := append(paidOnce, rescinded(2))
	twice := append(paidOnce, corrected(2, paid("6100", "2024-02-01")), corrected(2, paid("6200", "2024-02-01")))
	below := append(paidOnce, corrected(2, paid("6100", "2024-02-01")), rescinded(2))
	position := clerk("2024-01-01")
	return []refusal{
		{"fact-unknown", "/corrects_event_id", employed(), amount(9)},
		{"fact-unknown", "/rescinds_event_id", employed(), rescission(9)},
		{"fact-unknown", "/rescinds_event_id", nil, rescission(0)},
		{"not-live", "/corrects_event_id", gone, amount(2)},
		{"not-live", "/rescinds_event_id", gone, rescission(2)},
		{"not-live", "/corrects_event_id", below, amount(3)},
		{"not-live", "/rescinds_event_id", below, rescission(3)},
		{"not-correctable", "/corrects_event_id", gone, amount(3)},
		{"not-correctable", "/rescinds_event_id", gone, rescission(3)},
		{"superseded", "/corrects_event_id", twice, amount(3)},
		{"correction-one-member", "", paidOnce, correction(2).With(ctx)},
		{"correction-one-member", "", paidOnce, with(correction(2), func(c *Correct) {
			c.Manager, c.Compensation = &ChangeManager{}, &ChangeCompensation{}
		})},
		{"correction-other-type", "/compensation", employed(), amount(1)},
		{"correction-other-type", "/hire/position", employed(), with(correction(0), func(c *Correct) {
			c.Hire = &Hire{Engagement: Engagement{Position: &position}}
		})},
		{"correction-other-type", "/rehire/manager_employee_id", employed(), with(correction(0), func(c *Correct) {
			c.Rehire = &Rehire{Engagement: Engagement{ManagerEmployeeID: boss}}
		})},
		{"correction-other-type", "/hire/compensation", employed(), with(correction(0), func(c *Correct) {
			c.Hire = &Hire{Engagement: Engagement{Compensation: &ChangeCompensation{}}}
		})},
		{"amount-negative", "/compensation/amount/amount", paidOnce, with(correction(2), func(c *Correct) {
			c.Compensation = &ChangeCompensation{Amount: domain.NewMoney("-7", "EUR")}
		})},
		{"contract-end-before-hire", "/hire/contract_end", employed(), with(correction(0), func(c *Correct) {
			c.Hire = &Hire{Engagement: Engagement{ContractEnd: day("2023-01-01")}}
		})},
		{"erased", "/corrects_event_id", employed(erasedPay("2024-02-01")), with(correction(2), func(c *Correct) {
			c.Compensation = &ChangeCompensation{EffectiveFrom: day("2024-03-01")}
		})},
		{"erased", "/hire", employed(erasedPay("2024-01-01")), with(correction(0), func(c *Correct) {
			c.Hire = &Hire{Engagement: Engagement{HireDate: day("2024-02-01")}}
		})},
	}
}

// erasedPay is a change of pay as it is read after its key was destroyed.
func erasedPay(from string) Event {
	return stored("employee-compensation-changed", `{"pay_basis":"monthly","amount":{"$personal":{"subject":"`+subject.String()+
		`","purpose":"payroll","erased":true}},"pay_frequency":"monthly","effective_from":"`+from+`","change_reason":"review"}`)
}

func stored(name, data string) Event {
	event, err := Catalog.Decode(name, 1, []byte(data))
	if err != nil {
		panic(err)
	}
	return event
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, r := range refusals() {
		t.Run(r.code+" "+r.field, func(t *testing.T) {
			t.Parallel()
			given(t, r.given...).When(r.when).ThenRefused(r.code, r.field)
		})
	}
}

func TestEveryRuleIsTested(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for _, r := range refusals() {
		tested[r.code] = true
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(Rules)), slices.Collect(maps.Keys(tested)))
}

func TestRefusalNamesTheFirstViolatingDay(t *testing.T) {
	t.Parallel()
	facts := employed(paid("6000", "2024-08-01"), asLead("2024-07-15"))
	_, err := Decider.Decide(given(t, facts...).State(), Terminate{LastDay: day("2024-06-30"), Ground: Mutual}.With(ctx))
	require.ErrorContains(t, err, "on 2024-07-15")
}

func TestRefusalsNeverShowPersonalValues(t *testing.T) {
	t.Parallel()
	for _, r := range refusals() {
		_, err := Decider.Decide(given(t, r.given...).State(), r.when)
		for _, personal := range []string{"Sally", "sally", "1990", "DE89"} {
			require.NotContains(t, err.Error(), personal, r.code)
		}
	}
}

// TestDecideNeedsItsContext: without it a person would have no subject and could
// be their own manager. That is the edge's mistake, so it is no refusal.
func TestDecideNeedsItsContext(t *testing.T) {
	t.Parallel()
	var refusal *domain.Error
	_, err := Decider.Decide(given(t).State(), hireOfSally())
	require.Error(t, err)
	require.False(t, errors.As(err, &refusal))
	_, err = Decider.Decide(given(t, employed()...).State(), ChangeManager{ManagerEmployeeID: boss, EffectiveFrom: day("2024-02-01")})
	require.Error(t, err)
	require.False(t, errors.As(err, &refusal))
}

// TestListedValuesAreTheOnesAccepted holds the enum tags, which the API's
// description shows, against the refusal of any other value.
func TestListedValuesAreTheOnesAccepted(t *testing.T) {
	t.Parallel()
	position := func(kind AssignmentKind, reason PositionReason) Command {
		return with(clerk("2024-02-01"), func(c *ChangePosition) { c.Kind, c.ChangeReason = kind, reason })
	}
	for _, c := range []struct {
		given []Event
		when  Command
		in    any
		field string
	}{
		{nil, hire(func(c *Hire) { c.EmploymentType = "x" }), Engagement{}, "EmploymentType"},
		{employed(), position("x", ForHire), ChangePosition{}, "Kind"},
		{employed(), position("", "x"), ChangePosition{}, "ChangeReason"},
		{employed(), with(pay("1", "2024-02-01"), func(c *ChangeCompensation) { c.PayBasis = "x" }), ChangeCompensation{}, "PayBasis"},
		{employed(), with(pay("1", "2024-02-01"), func(c *ChangeCompensation) { c.PayFrequency = "x" }), ChangeCompensation{}, "PayFrequency"},
		{employed(), Terminate{LastDay: day("2024-06-30"), Ground: "x"}.With(ctx), Terminate{}, "Ground"},
	} {
		field, _ := reflect.TypeOf(c.in).FieldByName(c.field)
		_, err := Decider.Decide(given(t, c.given...).State(), c.when)
		require.ErrorIs(t, err, domain.Code("value-unknown"), c.field)
		require.ErrorContains(t, err, "is one of "+strings.ReplaceAll(field.Tag.Get("enum"), ",", ", "), c.field)
	}
}
