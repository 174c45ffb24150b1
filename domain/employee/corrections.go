package employee

import (
	"reflect"
	"slices"

	"github.com/google/uuid"

	"daybook.example/domain"
)

// Correct says what the record of a fact should have been. Exactly one member
// states the kind of fact it is; what is absent in it stays as it was. A hire
// moved to another day takes along what began with it.
type Correct struct {
	Context         Context             `json:"-"`
	CorrectsEventID uuid.UUID           `json:"corrects_event_id,omitzero"`
	ReasonText      string              `json:"reason_text,omitempty"`
	Hire            *Hire               `json:"hire,omitempty"`
	Rehire          *Rehire             `json:"rehire,omitempty"`
	Position        *ChangePosition     `json:"position,omitempty"`
	Manager         *ChangeManager      `json:"manager,omitempty"`
	Compensation    *ChangeCompensation `json:"compensation,omitempty"`
	WorkingTime     *ChangeWorkingTime  `json:"working_time,omitempty"`
	PersonalData    *ChangePersonalData `json:"personal_data,omitempty"`
	BankAccount     *ChangeBankAccount  `json:"bank_account,omitempty"`
	Termination     *Terminate          `json:"termination,omitempty"`
	Retirement      *Retire             `json:"retirement,omitempty"`
	Confirmation    *ConfirmProbation   `json:"probation_confirmation,omitempty"`
	Extension       *ExtendProbation    `json:"probation_extension,omitempty"`
}

// With hands the context over.
func (c Correct) With(ctx Context) Command { c.Context = ctx; return c }

func (c Correct) decide(s State) ([]Event, error) {
	named, err := c.named()
	if err != nil {
		return nil, err
	}
	reason, err := s.because(c.ReasonText)
	if err != nil {
		return nil, err
	}
	was, err := s.correctable(c.CorrectsEventID)
	if err != nil {
		return nil, err
	}
	now, ok := named.amend(was, s.subject)
	if !ok {
		return nil, refuse("correction-other-type", named.pointer, "the event named is of type %s", was.EventType())
	}
	if reflect.DeepEqual(now, was) {
		return nil, nil
	}
	if err := restatable(now, "/corrects_event_id"); err != nil {
		return nil, err
	}
	if err := now.check(named.pointer, c.asRecorded(was)); err != nil {
		return nil, err
	}
	corrected := FactCorrected{c.CorrectsEventID, Replacement{now}, reason}
	return s.proposeMoved(named.pointer, corrected, reason)
}

// asRecorded is the context in which a fact is corrected: a hire that was
// imported without a name may stay without one.
func (c Correct) asRecorded(was statement) Context {
	if hired, ok := was.(EmployeeHired); ok && hired.LegalName == nil {
		c.Context.Import = true
	}
	return c.Context
}

// A member is the one fact that a correction states.
type member struct {
	pointer string
	amend   func(was statement, subject uuid.UUID) (statement, bool)
}

func (c Correct) named() (member, error) {
	var given []member
	given = restate(given, "/hire", c.Hire, Hire.over)
	given = restate(given, "/rehire", c.Rehire, Rehire.over)
	given = restate(given, "/position", c.Position, ChangePosition.over)
	given = restate(given, "/manager", c.Manager, ChangeManager.over)
	given = restate(given, "/compensation", c.Compensation, ChangeCompensation.over)
	given = restate(given, "/working_time", c.WorkingTime, ChangeWorkingTime.over)
	given = restate(given, "/personal_data", c.PersonalData, ChangePersonalData.over)
	given = restate(given, "/bank_account", c.BankAccount, ChangeBankAccount.over)
	given = restate(given, "/termination", c.Termination, Terminate.over)
	given = restate(given, "/retirement", c.Retirement, Retire.over)
	given = restate(given, "/probation_confirmation", c.Confirmation, ConfirmProbation.over)
	given = restate(given, "/probation_extension", c.Extension, ExtendProbation.over)
	if len(given) != 1 {
		return member{}, refuse("correction-one-member", "", "state exactly one fact, such as position or compensation")
	}
	return given[0], c.startsNothing(given[0].pointer)
}

// restate adds the member that a command was given for: over lays the command
// over what was.
func restate[C any, E statement](members []member, pointer string, command *C, over func(C, E, uuid.UUID) E) []member {
	if command == nil {
		return members
	}
	return append(members, member{pointer, func(was statement, subject uuid.UUID) (statement, bool) {
		e, ok := was.(E)
		return over(*command, e, subject), ok
	}})
}

// startsNothing refuses what belongs to a hire but is a fact of its own.
func (c Correct) startsNothing(at string) error {
	var start Engagement
	switch {
	case c.Hire != nil:
		start = c.Hire.Engagement
	case c.Rehire != nil:
		start = c.Rehire.Engagement
	}
	switch {
	case start.Position != nil:
		at += "/position"
	case start.ManagerEmployeeID != uuid.Nil:
		at += "/manager_employee_id"
	case start.Compensation != nil:
		at += "/compensation"
	default:
		return nil
	}
	return refuse("correction-other-type", at, "correct the event that states it")
}

// Rescind says that a recorded fact never was. A rescinded hire takes with it
// whatever was recorded of the employee, a rescinded rehire whatever belongs to
// its spell: each by a rescission of its own.
type Rescind struct {
	Context         Context   `json:"-"`
	RescindsEventID uuid.UUID `json:"rescinds_event_id,omitzero"`
	ReasonText      string    `json:"reason_text,omitempty"`
}

// With hands the context over.
func (c Rescind) With(ctx Context) Command { c.Context = ctx; return c }

func (c Rescind) decide(s State) ([]Event, error) {
	reason, err := s.because(c.ReasonText)
	if err != nil {
		return nil, err
	}
	if _, _, err := s.target(c.RescindsEventID, "/rescinds_event_id"); err != nil {
		return nil, err
	}
	dependent, err := s.dependent(c.RescindsEventID)
	if err != nil {
		return nil, err
	}
	if len(dependent) == 0 {
		return s.proposeMoved("/rescinds_event_id", FactRescinded{c.RescindsEventID, reason}, reason)
	}
	var events []Event
	for _, id := range append([]uuid.UUID{c.RescindsEventID}, dependent...) {
		events = append(events, FactRescinded{id, reason})
	}
	return s.propose("/rescinds_event_id", events...)
}

// dependent are the facts that stand and fall with a hire or rehire.
func (s State) dependent(hire uuid.UUID) ([]uuid.UUID, error) {
	spells := fold(s.facts).spells
	var all []uuid.UUID
	for i, sp := range spells {
		if sp.hire.root != hire {
			continue
		}
		if i == 0 && len(spells) > 1 {
			return nil, refuse("rehire-depends", "/rescinds_event_id", "a rehire on %s builds on this hire: rescind that first", spells[1].from)
		}
		for _, b := range beliefs(s.facts) {
			if b.root != hire && (i == 0 || b.ofSpell() && sp.holds(b.day)) {
				all = append(all, b.root)
			}
		}
	}
	return all, nil
}

// because is the reason that every correction and rescission must give.
func (s State) because(text string) (*domain.Note[string], error) {
	if err := need("/reason_text", text); err != nil {
		return nil, err
	}
	return domain.Note[string]{}.Of(s.subject, text), prose("/reason_text", text)
}

// target finds a live event that a correction or a rescission may name.
func (s State) target(id uuid.UUID, field string) (chains, int, error) {
	c := chainsOf(s.facts)
	i := slices.IndexFunc(s.facts, func(a Assertion) bool { return a.ID == id })
	if i < 0 {
		return c, 0, refuse("fact-unknown", field, "this employee has no event with this ID")
	}
	if _, ok := s.facts[i].Event.(FactRescinded); ok {
		return c, 0, refuse("not-correctable", field, "the event named is a rescission, which is final: record the fact anew")
	}
	if !c.live(i) {
		return c, 0, refuse("not-live", field, "the event named, or what it corrects, is rescinded")
	}
	return c, i, nil
}

// correctable is what is believed now of the event that a correction names.
func (s State) correctable(id uuid.UUID) (statement, error) {
	const field = "/corrects_event_id"
	c, i, err := s.target(id, field)
	if err != nil {
		return nil, err
	}
	if c.head(c.root(i)) != c.head(i) {
		return nil, refuse("superseded", field, "a later correction took the place of this one: correct the first event of the chain")
	}
	return c.belief(i).event, nil
}

// restatable refuses to write again what is erased.
func restatable(event statement, field string) error {
	if _, err := domain.Encode(event); err != nil {
		return refuse("erased", field, "a personal part of %s is erased or cannot be opened, so it cannot be stated again", event.EventType())
	}
	return nil
}

// proposeMoved proposes a change of the record. Where that moves the first day
// of a spell, what began on that day moves along: otherwise no hire date could
// ever be mended, for each step alone would break a rule.
func (s State) proposeMoved(field string, change Event, reason *domain.Note[string]) ([]Event, error) {
	events := []Event{change}
	supposed := beliefs(s.supposing(change))
	for _, before := range beliefs(s.facts) {
		for _, after := range supposed {
			if _, ok := after.event.(beginning); !ok || after.root != before.root || after.day == before.day {
				continue
			}
			along, err := moved(supposed, before.day, after.day, reason, field)
			if err != nil {
				return nil, err
			}
			events = append(events, along...)
		}
	}
	return s.propose(field, events...)
}

func moved(supposed []belief, from, to domain.Date, reason *domain.Note[string], field string) ([]Event, error) {
	var along []Event
	for _, b := range supposed {
		fact, ok := b.event.(dated)
		if !ok || fact.day() != from {
			continue
		}
		now := fact.on(to)
		if err := restatable(now, field); err != nil {
			return nil, err
		}
		along = append(along, FactCorrected{b.root, Replacement{now}, reason})
	}
	return along, nil
}
