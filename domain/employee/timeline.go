package employee

import (
	"cmp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"daybook.example/domain"
)

// An Assertion is a recorded event of one employee. RecordedAt may be zero and
// Revision may be any number that grows in the order of recording: the order of
// a slice of assertions is what counts.
type Assertion = domain.Recorded[Event]

// An Attribute is one thing that is so or otherwise on any given day.
type Attribute string

// The attributes. The first seven belong to a spell of employment and end with
// it, as do secondary positions; all others belong to the person and do not: a
// former employee keeps name, address and the account for the last pay.
const (
	AttrEmployment   Attribute = "employment" // also says that a spell has ended, until the next
	AttrLegalEntity  Attribute = "legal_entity"
	AttrPosition     Attribute = "position" // the primary one
	AttrManager      Attribute = "manager"
	AttrCompensation Attribute = "compensation"
	AttrFTE          Attribute = "fte"       // with weekly hours and schedule, where known
	AttrProbation    Attribute = "probation" // what was decided about it; how it began stands in employment

	AttrLegalName     Attribute = "legal_name"
	AttrPreferredName Attribute = "preferred_name"
	AttrBirthDate     Attribute = "birth_date"
	AttrNationalID    Attribute = "national_id"
	AttrNationality   Attribute = "nationality"
	AttrWorkEmail     Attribute = "work_email"
	AttrPrivateEmail  Attribute = "private_email"
	AttrPhone         Attribute = "phone"
	AttrHomeAddress   Attribute = "home_address"
	AttrBank          Attribute = "bank"
)

const secondaryPrefix = "secondary_position:"

// SecondaryPosition is the attribute of one secondary position: there may be
// any number of them at a time.
func SecondaryPosition(position uuid.UUID) Attribute {
	return Attribute(secondaryPrefix + position.String())
}

// OfSpell reports whether the attribute ends with the spell of employment.
func (a Attribute) OfSpell() bool {
	switch a {
	case AttrEmployment, AttrLegalEntity, AttrPosition, AttrManager, AttrCompensation, AttrFTE, AttrProbation:
		return true
	}
	return strings.HasPrefix(string(a), secondaryPrefix)
}

// A Cause is by which of the three verbs of change a belief came to be.
type Cause string

// The causes.
const (
	Changed   Cause = "changed"
	Corrected Cause = "corrected"
	Rescinded Cause = "rescinded"
)

// CauseOf is the verb of an event: what a rectangle opened by it is labelled with.
func CauseOf(event Event) Cause {
	switch event.(type) {
	case FactCorrected:
		return Corrected
	case FactRescinded:
		return Rescinded
	}
	return Changed
}

// A Fact is what is believed of one attribute from one day to another.
//
// Value is ready for encoding/json and holds nothing personal: the member names
// are those of the stored events, and each personal part is a
// *domain.Reference, whose path is a JSON pointer into the data of the event it
// names. A correction's parts lie under /replacement/data. Attributes of one
// personal value are the reference itself.
type Fact struct {
	Attribute Attribute
	Value     any
	From      domain.Date
	To        domain.Date // exclusive; zero: until further notice
	EventID   uuid.UUID   // the event by which it is believed: the head of a chain of corrections
	Cause     Cause       // Changed, or Corrected where that event is a correction
}

// Holds reports whether the fact is so on a day.
func (f Fact) Holds(day domain.Date) bool {
	return !day.Before(f.From) && (f.To.IsZero() || day.Before(f.To))
}

// Employment is the value of AttrEmployment. LastDay and what comes after it
// are known from the moment an end is recorded.
type Employment struct {
	EmployeeNo            string         `json:"employee_no"`
	EmploymentType        EmploymentType `json:"employment_type"`
	HireDate              domain.Date    `json:"hire_date"`
	ContinuousServiceDate domain.Date    `json:"continuous_service_date"`
	ContractEnd           domain.Date    `json:"contract_end,omitzero"`
	ProbationEnd          domain.Date    `json:"probation_end,omitzero"`
	ApplicationID         uuid.UUID      `json:"application_id,omitzero"`
	Status                Status         `json:"status"`
	Ending
}

// An Ending is how a spell ends.
type Ending struct {
	LastDay           domain.Date `json:"last_day,omitzero"`
	Ground            Ground      `json:"ground,omitempty"`
	Scheme            string      `json:"scheme,omitempty"`
	EligibleForRehire *bool       `json:"eligible_for_rehire,omitempty"`
	after             Status
}

// A Status is where somebody stands on a day.
type Status string

// The statuses. Before the first spell there is none.
const (
	Active     Status = "active"
	Terminated Status = "terminated"
	Retired    Status = "retired"
)

// LegalEntity is the value of AttrLegalEntity.
type LegalEntity struct {
	LegalEntityID uuid.UUID `json:"legal_entity_id"`
}

// Manager is the value of AttrManager.
type Manager struct {
	ManagerEmployeeID uuid.UUID `json:"manager_employee_id"`
}

// Probation is the value of AttrProbation. Nothing is said before the first
// decision: until then the probation ends as the terms of the spell say.
type Probation struct {
	Status       ProbationStatus `json:"status"`
	ProbationEnd domain.Date     `json:"probation_end,omitzero"` // of an extended one
	ReasonCode   string          `json:"reason_code,omitempty"`
}

// A ProbationStatus is what was decided about a probation.
type ProbationStatus string

// The decisions.
const (
	Extended  ProbationStatus = "extended"
	Confirmed ProbationStatus = "confirmed"
)

// Compensation is the value of AttrCompensation.
type Compensation struct {
	PayBasis     PayBasis          `json:"pay_basis"`
	Amount       *domain.Reference `json:"amount"`
	PayFrequency PayFrequency      `json:"pay_frequency"`
	Components   *domain.Reference `json:"components,omitempty"`
	ChangeReason string            `json:"change_reason"`
}

// BankAccount is the value of AttrBank.
type BankAccount struct {
	IBAN   *domain.Reference `json:"iban"`
	BIC    *domain.Reference `json:"bic,omitempty"`
	Holder *domain.Reference `json:"holder"`
}

// Timeline folds the assertions of one employee, in the order of their
// recording, into what is believed after the last of them: the facts by
// attribute and day. It is total: whatever it is given, no two facts of one
// attribute share a day. Employment comes first, then the other attributes by
// name, each by day. decide refuses what would leave a gap or a stray fact;
// the projections and the tests fold with this function too.
//
//   - What a rescission names is dropped, and its corrections with it.
//   - The last recorded live correction takes the place of what it corrects, at
//     its own place in the order of recording.
//   - An assertion holds from its effective date until the next of its
//     attribute; of two on one day the later recorded one wins.
//   - The end of a spell cuts what belongs to the spell.
func Timeline(assertions []Assertion) []Fact { return fold(assertions).facts }

// folded is a timeline with what decisions need beside the facts.
type folded struct {
	spells []spell
	facts  []Fact
	broken *violation // the earliest
}

// A spell is one time of employment; the last day is its last, zero while open.
type spell struct {
	hire    *belief
	from    domain.Date
	lastDay domain.Date
	terms   Terms
	ending  Ending
	end     *belief // nil while open
}

func (s spell) holds(day domain.Date) bool {
	return !day.Before(s.from) && (s.lastDay.IsZero() || !day.After(s.lastDay))
}

// until is the first day after the spell.
func (s spell) until() domain.Date {
	if s.lastDay.IsZero() {
		return domain.Date{}
	}
	return s.lastDay.AddDays(1)
}

// A violation is a rule that a timeline breaks, and the first day of it.
type violation struct {
	code string
	day  domain.Date
	rule string
}

func fold(assertions []Assertion) folded {
	var f folded
	believed := beliefs(assertions)
	f.spell(believed)
	if len(f.spells) == 0 {
		return f
	}
	said := asserts(believed)
	f.facts = make([]Fact, 0, len(said)+2*len(f.spells))
	f.employment()
	for first := 0; first < len(said); {
		next := first + 1
		for next < len(said) && said[next].attribute == said[first].attribute {
			next++
		}
		if said[first].attribute.OfSpell() {
			f.cut(said[first:next])
		} else {
			f.carry(said[first:next])
		}
		if said[first].attribute == AttrProbation {
			f.requireProbation(said[first:next])
		}
		first = next
	}
	f.requirePosition()
	return f
}

// spell reads the spells from the begins and ends, which must alternate.
func (f *folded) spell(believed []belief) {
	for i := range believed {
		switch event := believed[i].event.(type) {
		case beginning:
			f.begin(&believed[i], event)
		case end:
			f.end(&believed[i], event)
		}
	}
}

// open is the spell that has no end yet, if any.
func (f *folded) open() *spell {
	if n := len(f.spells); n > 0 && f.spells[n-1].end == nil {
		return &f.spells[n-1]
	}
	return nil
}

func (f *folded) begin(b *belief, event beginning) {
	terms, first := event.begins()
	switch {
	case f.open() != nil:
		f.violate("spell-overlap", b.day, "an earlier spell of employment is not over")
		return
	case first != (len(f.spells) == 0):
		f.violate("effective-before-hire", b.day, "the first spell begins with the hire")
	}
	f.spells = append(f.spells, spell{hire: b, from: b.day, terms: terms})
}

func (f *folded) end(b *belief, event end) {
	last := f.open()
	switch {
	case last != nil:
		last.lastDay, last.ending, last.end = b.day, event.ends(), b
	case len(f.spells) == 0:
		f.violate("last-day-before-hire", b.day, "the last day lies before the hire")
	default:
		f.violate("already-ended", b.day, "the employment has ended already")
	}
}

// employment states the spells, and what is said of the time after each.
func (f *folded) employment() {
	for i, s := range f.spells {
		value := Employment{
			s.terms.EmployeeNo, s.terms.EmploymentType, s.terms.HireDate, s.terms.ContinuousServiceDate,
			s.terms.ContractEnd, s.terms.ProbationEnd, s.terms.ApplicationID, Active, s.ending,
		}
		f.add(asserted{AttrEmployment, s.from, value, s.hire}, s.until())
		if s.lastDay.IsZero() {
			continue
		}
		value.Status = s.ending.after
		var next domain.Date
		if i+1 < len(f.spells) {
			next = f.spells[i+1].from
		}
		f.add(asserted{AttrEmployment, s.until(), value, s.end}, next)
	}
}

// cut lets each assertion hold until the next one in its spell, or the spell's end.
func (f *folded) cut(said []asserted) {
	for i, a := range said {
		at := slices.IndexFunc(f.spells, func(s spell) bool { return s.holds(a.from) })
		if at < 0 {
			f.stray(a.from)
			continue
		}
		until := f.spells[at].until()
		if i+1 < len(said) && f.spells[at].holds(said[i+1].from) {
			until = said[i+1].from
		}
		f.add(a, until)
	}
}

// carry lets each assertion hold until the next one.
func (f *folded) carry(said []asserted) {
	for i, a := range said {
		if a.from.Before(f.spells[0].from) {
			f.stray(a.from)
		}
		var until domain.Date
		if i+1 < len(said) {
			until = said[i+1].from
		}
		f.add(a, until)
	}
}

func (f *folded) add(a asserted, until domain.Date) {
	if a.from == until {
		return // another one on the same day took its place
	}
	f.facts = append(f.facts, Fact{a.attribute, a.value, a.from, until, a.by.ID, CauseOf(a.by.recorded)})
}

func (f *folded) stray(day domain.Date) {
	if day.Before(f.spells[0].from) {
		f.violate("effective-before-hire", day, "nothing can be said of the time before the hire")
	} else {
		f.violate("outside-spell", day, "the employment does not last on that day")
	}
}

// requirePosition is SAP's time constraint 1: exactly one on every day. The
// fold gives at most one without a gap, so only its beginning can be missing.
func (f *folded) requirePosition() {
	for _, s := range f.spells {
		starts := func(fact Fact) bool { return fact.Attribute == AttrPosition && fact.From == s.from }
		if !slices.ContainsFunc(f.facts, starts) {
			f.violate("primary-position-missing", s.from, "a spell needs a primary position from its first day on")
		}
	}
}

// requireProbation goes through what was decided in each spell: a probation is
// extended while it lasts, each time to a later end, until it is confirmed.
func (f *folded) requireProbation(said []asserted) {
	for _, s := range f.spells {
		end, confirmed := s.terms.ProbationEnd, false
		for _, a := range said {
			decided := a.value.(Probation)
			switch {
			case !s.holds(a.from):
			case end.IsZero():
				f.violate("probation-missing", a.from, "this spell of employment began without a probation")
			case confirmed:
				f.violate("probation-confirmed", a.from, "the probation is confirmed already; correct or rescind the confirmation")
			case decided.Status == Confirmed:
				confirmed = true
			case a.from.After(end):
				f.violate("probation-over", a.from, "the probation ended on "+end.String())
			case !decided.ProbationEnd.After(end):
				f.violate("probation-not-later", a.from, "the probation lasts until "+end.String()+" already")
			default:
				end = decided.ProbationEnd
			}
		}
	}
}

func (f *folded) violate(code string, day domain.Date, rule string) {
	if f.broken == nil || day.Before(f.broken.day) {
		f.broken = &violation{code, day, rule}
	}
}

// asserted is one value of one attribute from a day on.
type asserted struct {
	attribute Attribute
	from      domain.Date
	value     any
	by        *belief
}

// asserts sorts what the beliefs say by attribute; of one attribute it stays in
// the beliefs' order.
func asserts(believed []belief) []asserted {
	all := make([]asserted, 0, 2*len(believed)+8)
	for i := range believed {
		b := &believed[i]
		b.event.states(b.origin(), func(attribute Attribute, value any) {
			all = append(all, asserted{attribute, b.day, value, b})
		})
	}
	slices.SortStableFunc(all, func(a, b asserted) int { return cmp.Compare(a.attribute, b.attribute) })
	return all
}

// beliefs are the live statements, each as the head of its chain says it, by
// day and then by the order of recording; what ends a spell comes last on its day.
func beliefs(assertions []Assertion) []belief {
	c := chainsOf(assertions)
	all := make([]belief, 0, len(assertions))
	for i, a := range assertions {
		if _, ok := a.Event.(statement); ok && c.live(i) {
			all = append(all, c.belief(i))
		}
	}
	slices.SortStableFunc(all, func(a, b belief) int {
		return cmp.Or(a.day.Compare(b.day), a.after-b.after, a.order-b.order)
	})
	return all
}
