package employee_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/domaintest"
	. "daybook.example/domain/employee"
)

var (
	self    = uuid.MustParse("00000000-0000-4000-8000-00000000000a")
	boss    = uuid.MustParse("00000000-0000-4000-8000-00000000000b")
	subject = uuid.MustParse("00000000-0000-4000-8000-00000000000c")
	entity  = uuid.MustParse("00000000-0000-4000-8000-00000000000d")
	office  = uuid.MustParse("00000000-0000-4000-8000-00000000000e")
	sales   = uuid.MustParse("00000000-0000-4000-8000-000000000001")

	ctx = Context{Self: self, Subject: subject, Today: day("2024-06-01"), AllowedCurrencies: []domain.Currency{"EUR", "USD"}}
)

func day(text string) domain.Date { return domain.MustDate(text) }

func fact(i int) uuid.UUID { return domaintest.FactID(i) }

// given begins a specification with what was recorded.
func given(t testing.TB, events ...Event) domaintest.Spec[Command, State, Event] {
	return domaintest.For(t, Decider).Given(events...)
}

// Sally was hired on 1 January 2024 as clerk.
func hireOfSally() Hire {
	position := clerk("2024-01-01")
	position.EffectiveFrom, position.ChangeReason = domain.Date{}, ""
	return Hire{
		PersonalData: PersonalData{
			LegalName: PersonName{Given: "Sally", Family: "Miller"},
			BirthDate: day("1990-05-17"),
			WorkEmail: "sally@example.com",
		},
		Engagement: Engagement{
			EmployeeNo:     "E-1",
			LegalEntityID:  entity,
			HireDate:       day("2024-01-01"),
			EmploymentType: Permanent,
			Position:       &position,
		},
	}
}

func hired(from string) EmployeeHired {
	return EmployeeHired{
		SubjectID: subject,
		Person: Person{
			LegalName: domain.Identity[PersonName]{}.Of(subject, PersonName{Given: "Sally", Family: "Miller"}),
			BirthDate: domain.Identity[domain.Date]{}.Of(subject, day("1990-05-17")),
			WorkEmail: domain.Contact[string]{}.Of(subject, "sally@example.com"),
		},
		Terms: Terms{
			EmployeeNo:            "E-1",
			LegalEntityID:         entity,
			HireDate:              day(from),
			ContinuousServiceDate: day(from),
			EmploymentType:        Permanent,
			FTE:                   domain.MustDecimal("1"),
		},
	}
}

func clerk(from string) ChangePosition {
	return ChangePosition{
		PositionID: uuid.MustParse("00000000-0000-4000-8000-000000000011"), OrgUnitID: sales, JobTitle: "Clerk",
		LocationID: office, CostCenter: "4711", EffectiveFrom: day(from), ChangeReason: ForTransfer,
	}
}

func asClerk(from string, reason PositionReason) PositionAssigned {
	return PositionAssigned{
		Assignment: Assignment{
			PositionID: clerk(from).PositionID, OrgUnitID: sales, JobTitle: "Clerk",
			LocationID: office, CostCenter: "4711", Kind: Primary, ChangeReason: reason,
		},
		EffectiveFrom: day(from),
	}
}

func asLead(from string) PositionAssigned {
	lead := asClerk(from, ForPromotion)
	lead.PositionID, lead.JobTitle = uuid.MustParse("00000000-0000-4000-8000-000000000012"), "Lead"
	return lead
}

func pay(amount, from string) ChangeCompensation {
	return ChangeCompensation{
		PayBasis: Monthly, Amount: domain.NewMoney(amount, "EUR"), PayFrequency: PaidMonthly,
		EffectiveFrom: day(from), ChangeReason: "review",
	}
}

func paid(amount, from string) CompensationChanged {
	return CompensationChanged{
		PayBasis: Monthly, Amount: domain.Payroll[domain.Money]{}.Of(subject, domain.NewMoney(amount, "EUR")),
		PayFrequency: PaidMonthly, EffectiveFrom: day(from), ChangeReason: "review",
	}
}

func because(text string) *domain.Note[string] { return domain.Note[string]{}.Of(subject, text) }

// employed is the record of Sally: event 0 hired her, event 1 gave her a position.
func employed(more ...Event) []Event {
	return slices.Clip(append([]Event{hired("2024-01-01"), asClerk("2024-01-01", ForHire)}, more...))
}

// onProbation is the record of Sally on probation until the end of June.
func onProbation(more ...Event) []Event {
	all := employed(more...)
	all[0] = triedUntil("2024-06-30")
	return all
}

func triedUntil(end string) EmployeeHired {
	e := hired("2024-01-01")
	e.ProbationEnd = day(end)
	return e
}

func extended(from, end string) ProbationExtended {
	return ProbationExtended{day(end), "absence", day(from)}
}

func left(lastDay string) EmploymentTerminated {
	return EmploymentTerminated{LastDay: day(lastDay), Ground: Resignation, EligibleForRehire: true}
}

func TestHireCarriesTheFirstPosition(t *testing.T) {
	t.Parallel()
	given(t).
		When(hireOfSally().With(ctx)).
		Then(hired("2024-01-01"), asClerk("2024-01-01", ForHire))
}

func TestHireCarriesManagerAndPay(t *testing.T) {
	t.Parallel()
	hire, amount := hireOfSally(), pay("6000", "2024-02-01")
	hire.ManagerEmployeeID, hire.Compensation = boss, &amount
	given(t).
		When(hire.With(ctx)).
		Then(hired("2024-01-01"), asClerk("2024-01-01", ForHire), ManagerAssigned{boss, day("2024-01-01")}, paid("6000", "2024-02-01"))
}

func TestChanges(t *testing.T) {
	t.Parallel()
	sally := given(t, employed()...)
	sally.When(clerk("2024-03-01").With(ctx)).Then(asClerk("2024-03-01", ForTransfer))
	sally.When(ChangeManager{ManagerEmployeeID: boss}.With(ctx)).Then(ManagerAssigned{boss, ctx.Today})
	sally.When(pay("6000", "2024-01-01").With(ctx)).Then(paid("6000", "2024-01-01"))
	sally.When(ChangePersonalData{PersonalData: PersonalData{Phone: "+49 30 1"}, EffectiveFrom: day("2024-02-01")}.With(ctx)).
		Then(PersonalDataChanged{Person{Phone: domain.Contact[string]{}.Of(subject, "+49 30 1")}, day("2024-02-01")})
	sally.When(ChangeWorkingTime{FTE: domain.MustDecimal("0.8"), EffectiveFrom: day("2024-02-01")}.With(ctx)).
		Then(WorkingTimeChanged{WorkingTime{FTE: domain.MustDecimal("0.8")}, day("2024-02-01")})
	sally.When(ChangeBankAccount{IBAN: "de89 3704 0044 0532 0130 00", Holder: "Sally Miller", EffectiveFrom: day("2024-02-01")}.With(ctx)).
		Then(BankAccountChanged{
			IBAN:   domain.Bank[string]{}.Of(subject, "DE89370400440532013000"),
			Holder: domain.Bank[string]{}.Of(subject, "Sally Miller"), EffectiveFrom: day("2024-02-01"),
		})
	sally.When(Terminate{LastDay: day("2024-06-30"), Ground: Resignation}.With(ctx)).Then(left("2024-06-30"))
	sally.When(Retire{LastDay: day("2024-06-30"), Scheme: "statutory"}.With(ctx)).Then(EmployeeRetired{day("2024-06-30"), "statutory"})
}

func TestAProbationIsExtendedUntilItIsConfirmed(t *testing.T) {
	t.Parallel()
	extend := func(from, end string) Command {
		return ExtendProbation{ProbationEnd: day(end), ReasonCode: "absence", EffectiveFrom: day(from)}.With(ctx)
	}
	sally := given(t, onProbation()...)
	sally.When(ConfirmProbation{}.With(ctx)).Then(ProbationConfirmed{ctx.Today})
	sally.When(ConfirmProbation{On: day("2024-08-01")}.With(ctx)).Then(ProbationConfirmed{day("2024-08-01")}) // late, but better than never
	sally.When(ExtendProbation{ProbationEnd: day("2024-09-30"), ReasonCode: "absence"}.With(ctx)).Then(ProbationExtended{day("2024-09-30"), "absence", ctx.Today})
	sally.When(extend("2024-06-30", "2024-09-30")).Then(extended("2024-06-30", "2024-09-30")) // on the last day

	sally = given(t, onProbation(extended("2024-06-01", "2024-09-30"))...)
	sally.When(extend("2024-06-01", "2024-09-30")).Then() // nothing new
	sally.When(extend("2024-06-01", "2024-10-31")).Then(extended("2024-06-01", "2024-10-31"))
	sally.When(extend("2024-09-30", "2024-10-31")).Then(extended("2024-09-30", "2024-10-31"))
	sally.When(ConfirmProbation{On: day("2024-06-01")}.With(ctx)).Then(ProbationConfirmed{day("2024-06-01")})
	given(t, onProbation(ProbationConfirmed{day("2024-06-01")})...).When(ConfirmProbation{On: day("2024-06-01")}.With(ctx)).Then()
	given(t, onProbation(ProbationConfirmed{day("2024-06-01")}, rescinded(2))...).When(ConfirmProbation{On: day("2024-06-15")}.With(ctx)).Then(ProbationConfirmed{day("2024-06-15")})
}

func TestARehireMayBringAProbationOfItsOwn(t *testing.T) {
	t.Parallel()
	again := rehiredOn("2024-09-01")
	again.ProbationEnd = day("2024-12-31")
	sally := given(t, onProbation(ProbationConfirmed{day("2024-04-01")}, left("2024-05-31"), again, asClerk("2024-09-01", ForHire))...)
	sally.When(ConfirmProbation{On: day("2024-12-31")}.With(ctx)).Then(ProbationConfirmed{day("2024-12-31")})
	sally.When(rescission(4)).Then(rescinded(4), rescinded(5))
}

func TestImportedHireMayLackAName(t *testing.T) {
	t.Parallel()
	nameless := hired("2024-01-01")
	nameless.LegalName = nil
	imported := hireOfSally()
	imported.LegalName = PersonName{}
	importing := ctx
	importing.Import = true
	given(t).When(imported.With(importing)).Then(nameless, asClerk("2024-01-01", ForHire))

	c := correction(0)
	c.Hire = &Hire{PersonalData: PersonalData{Phone: "1"}}
	reachable := nameless
	reachable.Phone = domain.Contact[string]{}.Of(subject, "1")
	given(t, nameless, asClerk("2024-01-01", ForHire)).When(c.With(ctx)).Then(corrected(0, reachable))
}

func TestDecideLeavesStatesThatGrewFromItAlone(t *testing.T) {
	t.Parallel()
	before := given(t, employed(paid("6000", "2024-02-01"))...).State()
	after := Decider.Evolve(before, Assertion{Recording: domain.Recording{ID: fact(3), Revision: 3}, Event: left("2024-06-30")})
	_, err := Decider.Decide(before, asked(clerk("2024-03-01")))
	require.NoError(t, err)
	_, err = Decider.Decide(after, asked(clerk("2024-07-01")))
	require.ErrorIs(t, err, domain.Code("outside-spell"))
}

func asked(c Command) Command { return c.With(ctx) }
