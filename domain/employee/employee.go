// Package employee decides what may happen in an employee's working life.
//
// Every fact has two times: from when it holds (effective date) and when it was
// recorded. Rules hold on the folded timeline of all days: a command that would
// make any later day illegal is refused with the first such day.
//
// Commands are what the wire brings. What decide needs besides is a Context,
// made by the edge and handed over by Command.With; no wire form reaches it.
// Members that are absent from a command are zero. In a new fact that is an
// omission; in a correction it means "as it was". So no member is required by
// its type: decide names what is missing.
package employee

import (
	"cmp"
	"encoding/binary"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"

	"daybook.example/domain"
)

// Category is the category of an employee's stream.
const Category = "employee"

// Stream is the stream of one employee.
func Stream(id uuid.UUID) string { return Category + "-" + id.String() }

// Decider is the employee's behaviour.
var Decider = domain.Decider[Command, State, Event]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, fact domain.Recorded[Event]) State { return fact.Event.evolve(s, fact.Recording) },
	Claims: Claims,
}

// A Command is one intent towards an employee.
type Command interface {
	With(Context) Command // the same command, with what the wire does not bring
	decide(State) ([]Event, error)
}

// A Context is what a command is decided with, beside its wire form.
type Context struct {
	Self              uuid.UUID         // the employee, as in the stream's name
	Subject           uuid.UUID         // domain.SubjectID of the command; a hire needs it
	Today             domain.Date       // in the organisation's zone: the effective date of a change without one
	Import            bool              // a hire may leave out the name
	AllowedCurrencies []domain.Currency // of the legal entity; none = any
}

// State is all that was recorded, in order. After a rescinded hire nothing but
// another hire is possible.
type State struct {
	subject uuid.UUID
	facts   []Assertion
}

func (s State) recorded(r domain.Recording, event Event) State {
	s.facts = append(s.facts, Assertion{Recording: r, Event: event})
	return s
}

// supposing is what would have been recorded with these events: a copy, under
// placeholder recordings.
func (s State) supposing(events ...Event) []Assertion {
	supposed := slices.Clip(s.facts)
	for _, event := range events {
		next := uint64(len(supposed))
		placeholder := uuid.UUID{0: 0xff}
		binary.BigEndian.PutUint64(placeholder[8:], next)
		supposed = append(supposed, Assertion{Recording: domain.Recording{ID: placeholder, Revision: next}, Event: event})
	}
	return supposed
}

// propose refuses events after which some day would break a rule.
func (s State) propose(field string, events ...Event) ([]Event, error) {
	if broken := fold(s.supposing(events...)).broken; broken != nil {
		return nil, refuse(broken.code, field, "on %s: %s", broken.day, broken.rule)
	}
	return events, nil
}

// hired refuses everything but a hire before there is one.
func (s State) hired() error {
	if !slices.ContainsFunc(beliefs(s.facts), begins) {
		return refuse("not-hired", "", "this employee is not hired, or the hire was rescinded: hire first")
	}
	return nil
}

func begins(b belief) bool {
	_, ok := b.event.(beginning)
	return ok
}

// said reports whether the last word on this day is this statement already:
// then there is nothing to do.
func (s State) said(now statement) bool {
	var last statement
	for _, b := range beliefs(s.facts) {
		if b.day == now.day() && b.event.EventType() == now.EventType() {
			last = b.event
		}
	}
	return last != nil && reflect.DeepEqual(last, now)
}

// state decides a statement beside those already made.
func (s State) state(ctx Context, field string, now statement) ([]Event, error) {
	if err := cmp.Or(s.hired(), now.check("", ctx)); err != nil {
		return nil, err
	}
	if s.said(now) {
		return nil, nil
	}
	return s.propose(field, now)
}

// Claims names the employee numbers that an event takes or gives back.
func Claims(s State, event Event) []domain.Claim {
	switch event.(type) {
	case EmployeeHired, EmployeeRehired, FactCorrected, FactRescinded:
	default:
		return nil
	}
	before, after := numbers(s.facts), numbers(s.supposing(event))
	var claims []domain.Claim
	for _, number := range after {
		if !slices.Contains(before, number) {
			claims = append(claims, domain.Claim{Set: "employee_no", Value: number})
		}
	}
	for _, number := range before {
		if !slices.Contains(after, number) {
			claims = append(claims, domain.Claim{Set: "employee_no", Value: number, Release: true})
		}
	}
	return claims
}

// numbers are the employee numbers of all spells: an old one stays taken.
func numbers(facts []Assertion) []string {
	var all []string
	for _, b := range beliefs(facts) {
		if hire, ok := b.event.(beginning); ok {
			terms, _ := hire.begins()
			all = append(all, employeeNumber(terms.EmployeeNo))
		}
	}
	return all
}

// PersonalData are the personal fields that commands bring.
type PersonalData struct {
	LegalName     PersonName  `json:"legal_name,omitzero"`
	PreferredName string      `json:"preferred_name,omitempty"`
	BirthDate     domain.Date `json:"birth_date,omitzero"`
	NationalID    NationalID  `json:"national_id,omitzero"`
	Nationality   string      `json:"nationality,omitempty"`
	WorkEmail     string      `json:"work_email,omitempty"`
	PrivateEmail  string      `json:"private_email,omitempty"`
	Phone         string      `json:"phone,omitempty"`
	HomeAddress   Address     `json:"home_address,omitzero"`
}

// over lays what is given over what was.
func (d PersonalData) over(p Person, subject uuid.UUID) Person {
	return Person{
		LegalName:     given(p.LegalName, subject, d.LegalName),
		PreferredName: given(p.PreferredName, subject, d.PreferredName),
		BirthDate:     given(p.BirthDate, subject, d.BirthDate),
		NationalID:    given(p.NationalID, subject, d.NationalID),
		Nationality:   given(p.Nationality, subject, d.Nationality),
		WorkEmail:     given(p.WorkEmail, subject, d.WorkEmail),
		PrivateEmail:  given(p.PrivateEmail, subject, d.PrivateEmail),
		Phone:         given(p.Phone, subject, d.Phone),
		HomeAddress:   given(p.HomeAddress, subject, d.HomeAddress),
	}
}

// given is the personal value that a command brings, or else what it was.
func given[P domain.Purpose, T comparable](was *domain.Personal[P, T], subject uuid.UUID, value T) *domain.Personal[P, T] {
	var none T
	if value == none {
		return was
	}
	return domain.Personal[P, T]{}.Of(subject, value)
}

// Engagement is what a hire and a rehire both bring.
type Engagement struct {
	EmployeeNo            string              `json:"employee_no,omitempty"`
	LegalEntityID         uuid.UUID           `json:"legal_entity_id,omitzero"`
	HireDate              domain.Date         `json:"hire_date,omitzero"`
	ContinuousServiceDate domain.Date         `json:"continuous_service_date,omitzero"` // default: the hire date
	EmploymentType        EmploymentType      `json:"employment_type,omitempty" enum:"permanent,fixed_term,apprentice,contractor"`
	ContractEnd           domain.Date         `json:"contract_end,omitzero"`
	ProbationEnd          domain.Date         `json:"probation_end,omitzero"`
	FTE                   domain.Decimal      `json:"fte,omitzero"` // default: 1
	ApplicationID         uuid.UUID           `json:"application_id,omitzero"`
	Position              *ChangePosition     `json:"position,omitempty"` // the first one, from the hire date
	ManagerEmployeeID     uuid.UUID           `json:"manager_employee_id,omitzero"`
	Compensation          *ChangeCompensation `json:"compensation,omitempty"`
}

// over lays what is given over what was. Continuous service that began with the
// hire follows the hire date.
func (g Engagement) over(t Terms) Terms {
	hireDate := cmp.Or(g.HireDate, t.HireDate)
	service := t.ContinuousServiceDate
	if service == t.HireDate {
		service = hireDate
	}
	return Terms{
		EmployeeNo:            cmp.Or(g.EmployeeNo, t.EmployeeNo),
		LegalEntityID:         cmp.Or(g.LegalEntityID, t.LegalEntityID),
		HireDate:              hireDate,
		ContinuousServiceDate: cmp.Or(g.ContinuousServiceDate, service),
		EmploymentType:        cmp.Or(g.EmploymentType, t.EmploymentType),
		ContractEnd:           cmp.Or(g.ContractEnd, t.ContractEnd),
		ProbationEnd:          cmp.Or(g.ProbationEnd, t.ProbationEnd),
		FTE:                   cmp.Or(g.FTE, t.FTE, domain.MustDecimal("1")),
		ApplicationID:         cmp.Or(g.ApplicationID, t.ApplicationID),
	}
}

// first are the statements that begin with a spell.
func (g Engagement) first(ctx Context, subject uuid.UUID, from domain.Date) ([]Event, error) {
	if g.Position == nil {
		return nil, refuse("required", "/position", "a spell begins with a primary position")
	}
	position := g.Position.over(PositionAssigned{Assignment{ChangeReason: ForHire}, from}, subject)
	if position.Kind != Primary || position.EffectiveFrom != from {
		return nil, refuse("primary-position-missing", "/position/effective_from", "the first position is a primary one, from the hire date %s on", from)
	}
	first := []Event{position}
	err := position.check("/position", ctx)
	if g.ManagerEmployeeID != uuid.Nil {
		manager := ManagerAssigned{g.ManagerEmployeeID, from}
		first, err = append(first, manager), cmp.Or(err, manager.check("", ctx))
	}
	if g.Compensation != nil {
		pay := g.Compensation.over(CompensationChanged{EffectiveFrom: from, ChangeReason: "hire"}, subject)
		early := notBefore("effective-before-hire", "/compensation/effective_from", pay.EffectiveFrom, from)
		first, err = append(first, pay), cmp.Or(err, pay.check("/compensation", ctx), early)
	}
	return first, err
}

// Hire takes somebody on, with their first position.
type Hire struct {
	Context Context `json:"-"`
	PersonalData
	Engagement
}

func (c Hire) decide(s State) ([]Event, error) {
	if s.hired() == nil {
		return nil, refuse("already-hired", "", "this employee is hired already; a later spell is a rehire")
	}
	if c.Context.Subject == uuid.Nil {
		return nil, errNoContext
	}
	hired := c.over(EmployeeHired{SubjectID: c.Context.Subject}, c.Context.Subject)
	if err := hired.check("", c.Context); err != nil {
		return nil, err
	}
	first, err := c.first(c.Context, hired.SubjectID, hired.HireDate)
	if err != nil {
		return nil, err
	}
	return s.propose("/hire_date", append([]Event{hired}, first...)...)
}

func (c Hire) over(e EmployeeHired, subject uuid.UUID) EmployeeHired {
	return EmployeeHired{e.SubjectID, c.PersonalData.over(e.Person, subject), c.Engagement.over(e.Terms)}
}

// Rehire begins another spell. Number, legal entity, employment type and fte
// stay those of the last spell where they are not given.
type Rehire struct {
	Context Context `json:"-"`
	PersonalData
	Engagement
}

func (c Rehire) decide(s State) ([]Event, error) {
	spells := fold(s.facts).spells
	if len(spells) == 0 {
		return nil, s.hired()
	}
	last := spells[len(spells)-1].terms
	rehired := c.over(EmployeeRehired{Terms: Terms{
		EmployeeNo:     last.EmployeeNo,
		LegalEntityID:  last.LegalEntityID,
		EmploymentType: last.EmploymentType,
		FTE:            last.FTE,
	}}, s.subject)
	if err := rehired.check("", c.Context); err != nil {
		return nil, err
	}
	if s.said(rehired) {
		return nil, nil
	}
	first, err := c.first(c.Context, s.subject, rehired.HireDate)
	if err != nil {
		return nil, err
	}
	return s.propose("/hire_date", append([]Event{rehired}, first...)...)
}

func (c Rehire) over(e EmployeeRehired, subject uuid.UUID) EmployeeRehired {
	return EmployeeRehired{c.PersonalData.over(e.Person, subject), c.Engagement.over(e.Terms)}
}

// ChangePosition puts the employee into a position from a day on.
type ChangePosition struct {
	Context       Context        `json:"-"`
	PositionID    uuid.UUID      `json:"position_id,omitzero"`
	OrgUnitID     uuid.UUID      `json:"org_unit_id,omitzero"`
	JobTitle      string         `json:"job_title,omitempty"`
	Grade         string         `json:"grade,omitempty"`
	LocationID    uuid.UUID      `json:"location_id,omitzero"`
	CostCenter    string         `json:"cost_center,omitempty"`
	EffectiveFrom domain.Date    `json:"effective_from,omitzero"`
	Kind          AssignmentKind `json:"assignment_kind,omitempty" enum:"primary,secondary"` // default: primary
	ChangeReason  PositionReason `json:"change_reason,omitempty" enum:"promotion,transfer,demotion,reorganisation,hire"`
}

func (c ChangePosition) decide(s State) ([]Event, error) {
	return s.state(c.Context, "/effective_from", c.over(PositionAssigned{EffectiveFrom: c.Context.Today}, s.subject))
}

func (c ChangePosition) over(e PositionAssigned, _ uuid.UUID) PositionAssigned {
	return PositionAssigned{
		Assignment: Assignment{
			PositionID:   cmp.Or(c.PositionID, e.PositionID),
			OrgUnitID:    cmp.Or(c.OrgUnitID, e.OrgUnitID),
			JobTitle:     cmp.Or(c.JobTitle, e.JobTitle),
			Grade:        cmp.Or(c.Grade, e.Grade),
			LocationID:   cmp.Or(c.LocationID, e.LocationID),
			CostCenter:   cmp.Or(c.CostCenter, e.CostCenter),
			Kind:         cmp.Or(c.Kind, e.Kind, Primary),
			ChangeReason: cmp.Or(c.ChangeReason, e.ChangeReason),
		},
		EffectiveFrom: cmp.Or(c.EffectiveFrom, e.EffectiveFrom),
	}
}

// ChangeManager names whom the employee reports to from a day on.
type ChangeManager struct {
	Context           Context     `json:"-"`
	ManagerEmployeeID uuid.UUID   `json:"manager_employee_id,omitzero"`
	EffectiveFrom     domain.Date `json:"effective_from,omitzero"`
}

func (c ChangeManager) decide(s State) ([]Event, error) {
	return s.state(c.Context, "/effective_from", c.over(ManagerAssigned{EffectiveFrom: c.Context.Today}, s.subject))
}

func (c ChangeManager) over(e ManagerAssigned, _ uuid.UUID) ManagerAssigned {
	return ManagerAssigned{cmp.Or(c.ManagerEmployeeID, e.ManagerEmployeeID), cmp.Or(c.EffectiveFrom, e.EffectiveFrom)}
}

// ChangeCompensation states the whole pay from a day on.
type ChangeCompensation struct {
	Context       Context      `json:"-"`
	PayBasis      PayBasis     `json:"pay_basis,omitempty" enum:"annual,monthly,hourly"`
	Amount        domain.Money `json:"amount,omitzero"`
	PayFrequency  PayFrequency `json:"pay_frequency,omitempty" enum:"monthly,fortnightly,weekly"`
	Components    []Component  `json:"components,omitempty"`
	EffectiveFrom domain.Date  `json:"effective_from,omitzero"`
	ChangeReason  string       `json:"change_reason,omitempty"`
}

func (c ChangeCompensation) decide(s State) ([]Event, error) {
	return s.state(c.Context, "/effective_from", c.over(CompensationChanged{EffectiveFrom: c.Context.Today}, s.subject))
}

func (c ChangeCompensation) over(e CompensationChanged, subject uuid.UUID) CompensationChanged {
	if len(c.Components) > 0 {
		e.Components = domain.Payroll[[]Component]{}.Of(subject, c.Components)
	}
	return CompensationChanged{
		PayBasis:      cmp.Or(c.PayBasis, e.PayBasis),
		Amount:        given(e.Amount, subject, c.Amount),
		PayFrequency:  cmp.Or(c.PayFrequency, e.PayFrequency),
		Components:    e.Components,
		EffectiveFrom: cmp.Or(c.EffectiveFrom, e.EffectiveFrom),
		ChangeReason:  cmp.Or(c.ChangeReason, e.ChangeReason),
	}
}

// ChangeWorkingTime states the working time from a day on.
type ChangeWorkingTime struct {
	Context       Context        `json:"-"`
	FTE           domain.Decimal `json:"fte,omitzero"`
	WeeklyHours   domain.Decimal `json:"weekly_hours,omitzero"`
	ScheduleID    uuid.UUID      `json:"schedule_id,omitzero"`
	EffectiveFrom domain.Date    `json:"effective_from,omitzero"`
}

func (c ChangeWorkingTime) decide(s State) ([]Event, error) {
	return s.state(c.Context, "/effective_from", c.over(WorkingTimeChanged{EffectiveFrom: c.Context.Today}, s.subject))
}

func (c ChangeWorkingTime) over(e WorkingTimeChanged, _ uuid.UUID) WorkingTimeChanged {
	return WorkingTimeChanged{
		WorkingTime: WorkingTime{
			FTE:         cmp.Or(c.FTE, e.FTE),
			WeeklyHours: cmp.Or(c.WeeklyHours, e.WeeklyHours),
			ScheduleID:  cmp.Or(c.ScheduleID, e.ScheduleID),
		},
		EffectiveFrom: cmp.Or(c.EffectiveFrom, e.EffectiveFrom),
	}
}

// ChangePersonalData states anew the personal fields that it brings; it may
// take effect after the employment, too.
type ChangePersonalData struct {
	Context Context `json:"-"`
	PersonalData
	EffectiveFrom domain.Date `json:"effective_from,omitzero"`
}

func (c ChangePersonalData) decide(s State) ([]Event, error) {
	return s.state(c.Context, "/effective_from", c.over(PersonalDataChanged{EffectiveFrom: c.Context.Today}, s.subject))
}

func (c ChangePersonalData) over(e PersonalDataChanged, subject uuid.UUID) PersonalDataChanged {
	return PersonalDataChanged{c.PersonalData.over(e.Person, subject), cmp.Or(c.EffectiveFrom, e.EffectiveFrom)}
}

// ChangeBankAccount names the account that pay goes to from a day on.
type ChangeBankAccount struct {
	Context       Context     `json:"-"`
	IBAN          string      `json:"iban,omitempty"` // blanks are left out
	BIC           string      `json:"bic,omitempty"`
	Holder        string      `json:"holder,omitempty"`
	EffectiveFrom domain.Date `json:"effective_from,omitzero"`
}

func (c ChangeBankAccount) decide(s State) ([]Event, error) {
	return s.state(c.Context, "/effective_from", c.over(BankAccountChanged{EffectiveFrom: c.Context.Today}, s.subject))
}

func (c ChangeBankAccount) over(e BankAccountChanged, subject uuid.UUID) BankAccountChanged {
	return BankAccountChanged{
		IBAN:          given(e.IBAN, subject, strings.ToUpper(strings.ReplaceAll(c.IBAN, " ", ""))),
		BIC:           given(e.BIC, subject, strings.ToUpper(c.BIC)),
		Holder:        given(e.Holder, subject, c.Holder),
		EffectiveFrom: cmp.Or(c.EffectiveFrom, e.EffectiveFrom),
	}
}

// Terminate ends the employment after its last day.
type Terminate struct {
	Context           Context     `json:"-"`
	LastDay           domain.Date `json:"last_day,omitzero"`
	Ground            Ground      `json:"ground,omitempty" enum:"resignation,dismissal,redundancy,end_of_contract,mutual,other"`
	GroundDetail      string      `json:"ground_detail,omitempty"`
	EligibleForRehire *bool       `json:"eligible_for_rehire,omitempty"` // default: true
	Note              string      `json:"note,omitempty"`
}

func (c Terminate) decide(s State) ([]Event, error) {
	return s.state(c.Context, "/last_day", c.over(EmploymentTerminated{EligibleForRehire: true}, s.subject))
}

func (c Terminate) over(e EmploymentTerminated, subject uuid.UUID) EmploymentTerminated {
	if c.EligibleForRehire != nil {
		e.EligibleForRehire = *c.EligibleForRehire
	}
	return EmploymentTerminated{
		LastDay:           cmp.Or(c.LastDay, e.LastDay),
		Ground:            cmp.Or(c.Ground, e.Ground),
		GroundDetail:      given(e.GroundDetail, subject, c.GroundDetail),
		EligibleForRehire: e.EligibleForRehire,
		Note:              given(e.Note, subject, c.Note),
	}
}

// Retire ends the employment after its last day, under a pension scheme.
type Retire struct {
	Context Context     `json:"-"`
	LastDay domain.Date `json:"last_day,omitzero"`
	Scheme  string      `json:"scheme,omitempty"`
}

func (c Retire) decide(s State) ([]Event, error) {
	return s.state(c.Context, "/last_day", c.over(EmployeeRetired{}, s.subject))
}

func (c Retire) over(e EmployeeRetired, _ uuid.UUID) EmployeeRetired {
	return EmployeeRetired{cmp.Or(c.LastDay, e.LastDay), cmp.Or(c.Scheme, e.Scheme)}
}

// ConfirmProbation says that the probation is passed.
type ConfirmProbation struct {
	Context Context     `json:"-"`
	On      domain.Date `json:"on,omitzero"` // default: today
}

func (c ConfirmProbation) decide(s State) ([]Event, error) {
	return s.state(c.Context, "/on", c.over(ProbationConfirmed{c.Context.Today}, s.subject))
}

func (c ConfirmProbation) over(e ProbationConfirmed, _ uuid.UUID) ProbationConfirmed {
	return ProbationConfirmed{cmp.Or(c.On, e.On)}
}

// ExtendProbation puts off the end of a probation that is not over.
type ExtendProbation struct {
	Context       Context     `json:"-"`
	ProbationEnd  domain.Date `json:"probation_end,omitzero"`
	ReasonCode    string      `json:"reason_code,omitempty"`
	EffectiveFrom domain.Date `json:"effective_from,omitzero"` // when it was agreed; default: today
}

func (c ExtendProbation) decide(s State) ([]Event, error) {
	return s.state(c.Context, "/probation_end", c.over(ProbationExtended{EffectiveFrom: c.Context.Today}, s.subject))
}

func (c ExtendProbation) over(e ProbationExtended, _ uuid.UUID) ProbationExtended {
	return ProbationExtended{
		ProbationEnd:  cmp.Or(c.ProbationEnd, e.ProbationEnd),
		ReasonCode:    cmp.Or(c.ReasonCode, e.ReasonCode),
		EffectiveFrom: cmp.Or(c.EffectiveFrom, e.EffectiveFrom),
	}
}

// With hands the context over.
func (c Hire) With(ctx Context) Command { c.Context = ctx; return c }

// With hands the context over.
func (c Rehire) With(ctx Context) Command { c.Context = ctx; return c }

// With hands the context over.
func (c ChangePosition) With(ctx Context) Command { c.Context = ctx; return c }

// With hands the context over.
func (c ChangeManager) With(ctx Context) Command { c.Context = ctx; return c }

// With hands the context over.
func (c ChangeCompensation) With(ctx Context) Command { c.Context = ctx; return c }

// With hands the context over.
func (c ChangeWorkingTime) With(ctx Context) Command { c.Context = ctx; return c }

// With hands the context over.
func (c ChangePersonalData) With(ctx Context) Command { c.Context = ctx; return c }

// With hands the context over.
func (c ChangeBankAccount) With(ctx Context) Command { c.Context = ctx; return c }

// With hands the context over.
func (c Terminate) With(ctx Context) Command { c.Context = ctx; return c }

// With hands the context over.
func (c Retire) With(ctx Context) Command { c.Context = ctx; return c }

// With hands the context over.
func (c ConfirmProbation) With(ctx Context) Command { c.Context = ctx; return c }

// With hands the context over.
func (c ExtendProbation) With(ctx Context) Command { c.Context = ctx; return c }
