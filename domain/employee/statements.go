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
	states(origin) map[Attribute]any    // what holds from that day on
	check(at string, ctx Context) error // the rules that one statement can break alone
}

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

func (e PositionAssigned) on(day domain.Date) statement    { e.EffectiveFrom = day; return e }
func (e ManagerAssigned) on(day domain.Date) statement     { e.EffectiveFrom = day; return e }
func (e CompensationChanged) on(day domain.Date) statement { e.EffectiveFrom = day; return e }
func (e WorkingTimeChanged) on(day domain.Date) statement  { e.EffectiveFrom = day; return e }
func (e PersonalDataChanged) on(day domain.Date) statement { e.EffectiveFrom = day; return e }
func (e BankAccountChanged) on(day domain.Date) statement  { e.EffectiveFrom = day; return e }

func (e EmployeeHired) begins() (Terms, bool)   { return e.Terms, true }
func (e EmployeeRehired) begins() (Terms, bool) { return e.Terms, false }

func (e EmploymentTerminated) ends() Ending {
	return Ending{LastDay: e.LastDay, Ground: e.Ground, EligibleForRehire: &e.EligibleForRehire, after: Terminated}
}

func (e EmployeeRetired) ends() Ending {
	return Ending{LastDay: e.LastDay, Scheme: e.Scheme, after: Retired}
}

func (e EmployeeHired) states(o origin) map[Attribute]any { return e.Terms.states(e.Person.states(o)) }
func (e EmployeeRehired) states(o origin) map[Attribute]any {
	return e.Terms.states(e.Person.states(o))
}

func (t Terms) states(said map[Attribute]any) map[Attribute]any {
	said[AttrLegalEntity] = LegalEntity{t.LegalEntityID}
	said[AttrFTE] = WorkingTime{FTE: t.FTE}
	return said
}

func (e PositionAssigned) states(origin) map[Attribute]any {
	if e.Kind == Secondary {
		return map[Attribute]any{SecondaryPosition(e.PositionID): e.Assignment}
	}
	return map[Attribute]any{AttrPosition: e.Assignment}
}

func (e ManagerAssigned) states(origin) map[Attribute]any {
	return map[Attribute]any{AttrManager: Manager{e.ManagerEmployeeID}}
}

func (e CompensationChanged) states(o origin) map[Attribute]any {
	return map[Attribute]any{AttrCompensation: Compensation{
		PayBasis:     e.PayBasis,
		Amount:       refer(o, "/amount", e.Amount),
		PayFrequency: e.PayFrequency,
		Components:   refer(o, "/components", e.Components),
		ChangeReason: e.ChangeReason,
	}}
}

func (e WorkingTimeChanged) states(origin) map[Attribute]any {
	return map[Attribute]any{AttrFTE: e.WorkingTime}
}

func (e PersonalDataChanged) states(o origin) map[Attribute]any { return e.Person.states(o) }

func (p Person) states(o origin) map[Attribute]any {
	said := map[Attribute]any{}
	for attribute, reference := range map[Attribute]*domain.Reference{
		AttrLegalName:     refer(o, "/legal_name", p.LegalName),
		AttrPreferredName: refer(o, "/preferred_name", p.PreferredName),
		AttrBirthDate:     refer(o, "/birth_date", p.BirthDate),
		AttrNationalID:    refer(o, "/national_id", p.NationalID),
		AttrNationality:   refer(o, "/nationality", p.Nationality),
		AttrWorkEmail:     refer(o, "/work_email", p.WorkEmail),
		AttrPrivateEmail:  refer(o, "/private_email", p.PrivateEmail),
		AttrPhone:         refer(o, "/phone", p.Phone),
		AttrHomeAddress:   refer(o, "/home_address", p.HomeAddress),
	} {
		if reference != nil {
			said[attribute] = reference
		}
	}
	return said
}

func (e BankAccountChanged) states(o origin) map[Attribute]any {
	return map[Attribute]any{AttrBank: BankAccount{
		IBAN:   refer(o, "/iban", e.IBAN),
		BIC:    refer(o, "/bic", e.BIC),
		Holder: refer(o, "/holder", e.Holder),
	}}
}

// Ends of a spell state nothing from their last day on: the fold reads ends().
func (e EmploymentTerminated) states(origin) map[Attribute]any { return nil }
func (e EmployeeRetired) states(origin) map[Attribute]any      { return nil }
