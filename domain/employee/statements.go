package employee

import (
	"github.com/google/uuid"

	"daybook.example/domain"
)

// A statement is an event that says itself what is so; corrections and
// rescissions only speak about statements.
type statement interface {
	Event
	day() domain.Date                   // its effective date
	states(origin, voice)               // what holds from that day on
	check(at string, ctx Context) error // the rules that one statement can break alone
}

// A voice takes one value of one attribute.
type voice func(Attribute, any)

// dated statements can be moved to another day; a spell's begin and end cannot.
type dated interface {
	statement
	on(day domain.Date) statement
}

// beginning statements begin a spell; first says that it is the hire.
type beginning interface {
	statement
	begins() (terms Terms, first bool)
}

// end statements end a spell.
type end interface {
	statement
	ends() Ending
}

// origin is where the personal parts of a statement are stored.
type origin struct {
	event  uuid.UUID
	prefix string
}

func refer[P domain.Purpose, T any](o origin, field string, p *domain.Personal[P, T]) *domain.Reference {
	return p.Reference(o.event, o.prefix+field)
}

func (e EmployeeHired) day() domain.Date        { return e.HireDate }
func (e EmployeeRehired) day() domain.Date      { return e.HireDate }
func (e PositionAssigned) day() domain.Date     { return e.EffectiveFrom }
func (e ManagerAssigned) day() domain.Date      { return e.EffectiveFrom }
func (e CompensationChanged) day() domain.Date  { return e.EffectiveFrom }
func (e WorkingTimeChanged) day() domain.Date   { return e.EffectiveFrom }
func (e PersonalDataChanged) day() domain.Date  { return e.EffectiveFrom }
func (e BankAccountChanged) day() domain.Date   { return e.EffectiveFrom }
func (e EmploymentTerminated) day() domain.Date { return e.LastDay }
func (e EmployeeRetired) day() domain.Date      { return e.LastDay }
func (e ProbationConfirmed) day() domain.Date   { return e.On }
func (e ProbationExtended) day() domain.Date    { return e.EffectiveFrom }

func (e PositionAssigned) on(day domain.Date) statement    { e.EffectiveFrom = day; return e }
func (e ManagerAssigned) on(day domain.Date) statement     { e.EffectiveFrom = day; return e }
func (e CompensationChanged) on(day domain.Date) statement { e.EffectiveFrom = day; return e }
func (e WorkingTimeChanged) on(day domain.Date) statement  { e.EffectiveFrom = day; return e }
func (e PersonalDataChanged) on(day domain.Date) statement { e.EffectiveFrom = day; return e }
func (e BankAccountChanged) on(day domain.Date) statement  { e.EffectiveFrom = day; return e }
func (e ProbationConfirmed) on(day domain.Date) statement  { e.On = day; return e }
func (e ProbationExtended) on(day domain.Date) statement   { e.EffectiveFrom = day; return e }

func (e EmployeeHired) begins() (Terms, bool)   { return e.Terms, true }
func (e EmployeeRehired) begins() (Terms, bool) { return e.Terms, false }

func (e EmploymentTerminated) ends() Ending {
	return Ending{LastDay: e.LastDay, Ground: e.Ground, EligibleForRehire: &e.EligibleForRehire, after: Terminated}
}

func (e EmployeeRetired) ends() Ending {
	return Ending{LastDay: e.LastDay, Scheme: e.Scheme, after: Retired}
}

func (e EmployeeHired) states(o origin, say voice) {
	e.Terms.states(say)
	e.Person.states(o, say)
}

func (e EmployeeRehired) states(o origin, say voice) {
	e.Terms.states(say)
	e.Person.states(o, say)
}

func (t Terms) states(say voice) {
	say(AttrLegalEntity, LegalEntity{t.LegalEntityID})
	say(AttrFTE, WorkingTime{FTE: t.FTE})
}

func (e PositionAssigned) states(_ origin, say voice) {
	if e.Kind == Secondary {
		say(SecondaryPosition(e.PositionID), e.Assignment)
	} else {
		say(AttrPosition, e.Assignment)
	}
}

func (e ManagerAssigned) states(_ origin, say voice) { say(AttrManager, Manager{e.ManagerEmployeeID}) }

func (e CompensationChanged) states(o origin, say voice) {
	say(AttrCompensation, Compensation{
		PayBasis:     e.PayBasis,
		Amount:       refer(o, "/amount", e.Amount),
		PayFrequency: e.PayFrequency,
		Components:   refer(o, "/components", e.Components),
		ChangeReason: e.ChangeReason,
	})
}

func (e WorkingTimeChanged) states(_ origin, say voice) { say(AttrFTE, e.WorkingTime) }

func (e PersonalDataChanged) states(o origin, say voice) { e.Person.states(o, say) }

func (p Person) states(o origin, say voice) {
	sayPersonal(say, o, AttrLegalName, p.LegalName)
	sayPersonal(say, o, AttrPreferredName, p.PreferredName)
	sayPersonal(say, o, AttrBirthDate, p.BirthDate)
	sayPersonal(say, o, AttrNationalID, p.NationalID)
	sayPersonal(say, o, AttrNationality, p.Nationality)
	sayPersonal(say, o, AttrWorkEmail, p.WorkEmail)
	sayPersonal(say, o, AttrPrivateEmail, p.PrivateEmail)
	sayPersonal(say, o, AttrPhone, p.Phone)
	sayPersonal(say, o, AttrHomeAddress, p.HomeAddress)
}

// sayPersonal refers to a personal field: it has the name of its attribute.
func sayPersonal[P domain.Purpose, T any](say voice, o origin, attribute Attribute, p *domain.Personal[P, T]) {
	if p != nil {
		say(attribute, refer(o, "/"+string(attribute), p))
	}
}

func (e BankAccountChanged) states(o origin, say voice) {
	say(AttrBank, BankAccount{
		IBAN:   refer(o, "/iban", e.IBAN),
		BIC:    refer(o, "/bic", e.BIC),
		Holder: refer(o, "/holder", e.Holder),
	})
}

func (e ProbationConfirmed) states(_ origin, say voice) {
	say(AttrProbation, Probation{Status: Confirmed})
}

func (e ProbationExtended) states(_ origin, say voice) {
	say(AttrProbation, Probation{Extended, e.ProbationEnd, e.ReasonCode})
}

// Ends of a spell state nothing of the days after: the fold reads ends().
func (e EmploymentTerminated) states(origin, voice) {}
func (e EmployeeRetired) states(origin, voice)      {}
