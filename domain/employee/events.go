package employee

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"daybook.example/domain"
)

// Event is one fact in an employee's stream. The types below are the stored
// format: fields may be added, never renamed or reused; a changed meaning is a
// new event. testdata/stored.golden pins every shape.
type Event interface {
	domain.Named
	evolve(State, domain.Recording) State
}

// Catalog decodes every event of an employee's stream.
var Catalog = domain.NewCatalog(
	domain.Is(asEvent[EmployeeHired]),
	domain.Is(asEvent[EmployeeRehired]),
	domain.Is(asEvent[PositionAssigned]),
	domain.Is(asEvent[ManagerAssigned]),
	domain.Is(asEvent[CompensationChanged]),
	domain.Is(asEvent[WorkingTimeChanged]),
	domain.Is(asEvent[PersonalDataChanged]),
	domain.Is(asEvent[BankAccountChanged]),
	domain.Is(asEvent[EmploymentTerminated]),
	domain.Is(asEvent[EmployeeRetired]),
	domain.Is(asEvent[ProbationConfirmed]),
	domain.Is(asEvent[ProbationExtended]),
	domain.Is(asEvent[FactCorrected]),
	domain.Is(asEvent[FactRescinded]),
)

func asEvent[E Event](event E) Event { return event }

// Person holds what identifies a person and reaches them. Members are absent
// where nothing was said.
type Person struct {
	LegalName     *domain.Identity[PersonName]  `json:"legal_name,omitempty"`
	PreferredName *domain.Identity[string]      `json:"preferred_name,omitempty"`
	BirthDate     *domain.Identity[domain.Date] `json:"birth_date,omitempty"`
	NationalID    *domain.Identity[NationalID]  `json:"national_id,omitempty"`
	Nationality   *domain.Identity[string]      `json:"nationality,omitempty"`
	WorkEmail     *domain.Contact[string]       `json:"work_email,omitempty"`
	PrivateEmail  *domain.Contact[string]       `json:"private_email,omitempty"`
	Phone         *domain.Contact[string]       `json:"phone,omitempty"`
	HomeAddress   *domain.Contact[Address]      `json:"home_address,omitempty"`
}

// Terms are what a spell of employment begins with.
type Terms struct {
	EmployeeNo            string         `json:"employee_no"`
	LegalEntityID         uuid.UUID      `json:"legal_entity_id"`
	HireDate              domain.Date    `json:"hire_date"`
	ContinuousServiceDate domain.Date    `json:"continuous_service_date"`
	EmploymentType        EmploymentType `json:"employment_type"`
	ContractEnd           domain.Date    `json:"contract_end,omitzero"`
	ProbationEnd          domain.Date    `json:"probation_end,omitzero"`
	FTE                   domain.Decimal `json:"fte"`
	ApplicationID         uuid.UUID      `json:"application_id,omitzero"`
}

// EmployeeHired begins the first spell.
type EmployeeHired struct {
	SubjectID uuid.UUID `json:"subject_id"`
	Person
	Terms
}

// EmployeeRehired begins a later spell of the same person.
type EmployeeRehired struct {
	Person
	Terms
}

// Assignment is a place in the organisation.
type Assignment struct {
	PositionID   uuid.UUID      `json:"position_id"`
	OrgUnitID    uuid.UUID      `json:"org_unit_id"`
	JobTitle     string         `json:"job_title"`
	Grade        string         `json:"grade,omitempty"`
	LocationID   uuid.UUID      `json:"location_id"`
	CostCenter   string         `json:"cost_center"`
	Kind         AssignmentKind `json:"assignment_kind"`
	ChangeReason PositionReason `json:"change_reason"`
}

// PositionAssigned puts the employee into a position. The next primary one ends
// a primary one; a secondary one lasts until the next word about its position.
type PositionAssigned struct {
	Assignment
	EffectiveFrom domain.Date `json:"effective_from"`
}

// ManagerAssigned names whom the employee reports to.
type ManagerAssigned struct {
	ManagerEmployeeID uuid.UUID   `json:"manager_employee_id"`
	EffectiveFrom     domain.Date `json:"effective_from"`
}

// CompensationChanged states the whole pay from a day on.
type CompensationChanged struct {
	PayBasis      PayBasis                      `json:"pay_basis"`
	Amount        *domain.Payroll[domain.Money] `json:"amount"`
	PayFrequency  PayFrequency                  `json:"pay_frequency"`
	Components    *domain.Payroll[[]Component]  `json:"components,omitempty"`
	EffectiveFrom domain.Date                   `json:"effective_from"`
	ChangeReason  string                        `json:"change_reason"`
}

// WorkingTime is how much somebody works.
type WorkingTime struct {
	FTE         domain.Decimal `json:"fte"`
	WeeklyHours domain.Decimal `json:"weekly_hours,omitzero"`
	ScheduleID  uuid.UUID      `json:"schedule_id,omitzero"`
}

// WorkingTimeChanged states the working time from a day on.
type WorkingTimeChanged struct {
	WorkingTime
	EffectiveFrom domain.Date `json:"effective_from"`
}

// PersonalDataChanged states anew those personal fields that it holds.
type PersonalDataChanged struct {
	Person
	EffectiveFrom domain.Date `json:"effective_from"`
}

// BankAccountChanged names the account that pay goes to.
type BankAccountChanged struct {
	IBAN          *domain.Bank[string] `json:"iban"`
	BIC           *domain.Bank[string] `json:"bic,omitempty"`
	Holder        *domain.Bank[string] `json:"holder"`
	EffectiveFrom domain.Date          `json:"effective_from"`
}

// EmploymentTerminated ends a spell after its last day.
type EmploymentTerminated struct {
	LastDay           domain.Date            `json:"last_day"`
	Ground            Ground                 `json:"ground"`
	GroundDetail      *domain.Health[string] `json:"ground_detail,omitempty"`
	EligibleForRehire bool                   `json:"eligible_for_rehire"`
	Note              *domain.Note[string]   `json:"note,omitempty"`
}

// EmployeeRetired ends a spell after its last day. Scheme is a code: it stands in
// clear, and words could tell of somebody's health.
type EmployeeRetired struct {
	LastDay domain.Date `json:"last_day"`
	Scheme  string      `json:"scheme"`
}

// ProbationConfirmed says that the probation of a spell is passed, from a day on.
type ProbationConfirmed struct {
	On domain.Date `json:"on"`
}

// ProbationExtended puts off the end of a spell's probation, as agreed on a day.
type ProbationExtended struct {
	ProbationEnd  domain.Date `json:"probation_end"`
	ReasonCode    string      `json:"reason_code"`
	EffectiveFrom domain.Date `json:"effective_from"`
}

// FactCorrected says that the record of a fact was wrong and what is right.
type FactCorrected struct {
	CorrectsEventID uuid.UUID            `json:"corrects_event_id"`
	Replacement     Replacement          `json:"replacement"`
	ReasonText      *domain.Note[string] `json:"reason_text"`
}

// FactRescinded says that a recorded fact never was.
type FactRescinded struct {
	RescindsEventID uuid.UUID            `json:"rescinds_event_id"`
	ReasonText      *domain.Note[string] `json:"reason_text"`
}

// A Replacement is the event that should have been recorded.
type Replacement struct{ Event Event }

type storedReplacement struct {
	Type          string          `json:"type"`
	SchemaVersion int             `json:"schema_version"`
	Data          json.RawMessage `json:"data"`
}

// MarshalJSON writes the event as `{type, schema_version, data}`.
func (r Replacement) MarshalJSON() ([]byte, error) {
	if r.Event == nil {
		return nil, fmt.Errorf("a replacement holds no event")
	}
	data, err := domain.Encode(r.Event)
	if err != nil {
		return nil, err
	}
	return domain.Marshal(storedReplacement{r.Event.EventType(), domain.SchemaVersion(r.Event), data})
}

// UnmarshalJSON reads the event through the Catalog. A correction cannot
// replace a correction: chains are made of events.
func (r *Replacement) UnmarshalJSON(data []byte) error {
	var stored storedReplacement
	if err := domain.Unmarshal(data, &stored); err != nil {
		return err
	}
	event, err := Catalog.Decode(stored.Type, stored.SchemaVersion, stored.Data)
	if err != nil {
		return err
	}
	if _, ok := event.(statement); !ok {
		return fmt.Errorf("%s is no replacement", stored.Type)
	}
	r.Event = event
	return nil
}

// EventType returns the stored name.
func (EmployeeHired) EventType() string { return "employee-hired" }

// EventType returns the stored name.
func (EmployeeRehired) EventType() string { return "employee-rehired" }

// EventType returns the stored name.
func (PositionAssigned) EventType() string { return "employee-position-assigned" }

// EventType returns the stored name.
func (ManagerAssigned) EventType() string { return "employee-manager-assigned" }

// EventType returns the stored name.
func (CompensationChanged) EventType() string { return "employee-compensation-changed" }

// EventType returns the stored name.
func (WorkingTimeChanged) EventType() string { return "employee-working-time-changed" }

// EventType returns the stored name.
func (PersonalDataChanged) EventType() string { return "employee-personal-data-changed" }

// EventType returns the stored name.
func (BankAccountChanged) EventType() string { return "employee-bank-account-changed" }

// EventType returns the stored name.
func (EmploymentTerminated) EventType() string { return "employee-employment-terminated" }

// EventType returns the stored name.
func (EmployeeRetired) EventType() string { return "employee-retired" }

// EventType returns the stored name.
func (ProbationConfirmed) EventType() string { return "employee-probation-confirmed" }

// EventType returns the stored name.
func (ProbationExtended) EventType() string { return "employee-probation-extended" }

// EventType returns the stored name.
func (FactCorrected) EventType() string { return "employee-fact-corrected" }

// EventType returns the stored name.
func (FactRescinded) EventType() string { return "employee-fact-rescinded" }

// EffectiveAt is the first day of the spell.
func (e EmployeeHired) EffectiveAt() string { return e.HireDate.String() }

// EffectiveAt is the first day of the spell.
func (e EmployeeRehired) EffectiveAt() string { return e.HireDate.String() }

// EffectiveAt is the first day in the position.
func (e PositionAssigned) EffectiveAt() string { return e.EffectiveFrom.String() }

// EffectiveAt is the first day under the manager.
func (e ManagerAssigned) EffectiveAt() string { return e.EffectiveFrom.String() }

// EffectiveAt is the first day of the pay.
func (e CompensationChanged) EffectiveAt() string { return e.EffectiveFrom.String() }

// EffectiveAt is the first day of the working time.
func (e WorkingTimeChanged) EffectiveAt() string { return e.EffectiveFrom.String() }

// EffectiveAt is the first day on which the data hold.
func (e PersonalDataChanged) EffectiveAt() string { return e.EffectiveFrom.String() }

// EffectiveAt is the first day of the account.
func (e BankAccountChanged) EffectiveAt() string { return e.EffectiveFrom.String() }

// EffectiveAt is the last day of the spell.
func (e EmploymentTerminated) EffectiveAt() string { return e.LastDay.String() }

// EffectiveAt is the last day of the spell.
func (e EmployeeRetired) EffectiveAt() string { return e.LastDay.String() }

// EffectiveAt is the first day after the probation.
func (e ProbationConfirmed) EffectiveAt() string { return e.On.String() }

// EffectiveAt is the day on which the later end was agreed.
func (e ProbationExtended) EffectiveAt() string { return e.EffectiveFrom.String() }

// EffectiveAt is the effective date of what the record should have said.
func (e FactCorrected) EffectiveAt() string {
	if effective, ok := e.Replacement.Event.(domain.Effective); ok {
		return effective.EffectiveAt()
	}
	return ""
}

func (e EmployeeHired) evolve(s State, r domain.Recording) State {
	s.subject = e.SubjectID
	return s.recorded(r, e)
}

func (e EmployeeRehired) evolve(s State, r domain.Recording) State      { return s.recorded(r, e) }
func (e PositionAssigned) evolve(s State, r domain.Recording) State     { return s.recorded(r, e) }
func (e ManagerAssigned) evolve(s State, r domain.Recording) State      { return s.recorded(r, e) }
func (e CompensationChanged) evolve(s State, r domain.Recording) State  { return s.recorded(r, e) }
func (e WorkingTimeChanged) evolve(s State, r domain.Recording) State   { return s.recorded(r, e) }
func (e PersonalDataChanged) evolve(s State, r domain.Recording) State  { return s.recorded(r, e) }
func (e BankAccountChanged) evolve(s State, r domain.Recording) State   { return s.recorded(r, e) }
func (e EmploymentTerminated) evolve(s State, r domain.Recording) State { return s.recorded(r, e) }
func (e EmployeeRetired) evolve(s State, r domain.Recording) State      { return s.recorded(r, e) }
func (e ProbationConfirmed) evolve(s State, r domain.Recording) State   { return s.recorded(r, e) }
func (e ProbationExtended) evolve(s State, r domain.Recording) State    { return s.recorded(r, e) }
func (e FactCorrected) evolve(s State, r domain.Recording) State        { return s.recorded(r, e) }
func (e FactRescinded) evolve(s State, r domain.Recording) State        { return s.recorded(r, e) }
