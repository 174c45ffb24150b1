// Package employeetest writes the events of a small company, as they would be
// recorded, for the tests of whatever reads them.
package employeetest

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/employee"
	"daybook.example/domain/organisation"
	"daybook.example/domain/orgunit"
	"daybook.example/eventstore/seal"
	"daybook.example/projections"
	"daybook.example/projections/projtest"
)

// A Company writes the events that a projection is given: decided by the
// domain, sealed with real keys, on a clock that the test sets.
type Company struct {
	t      testing.TB
	LogID  uuid.UUID
	Keys   *seal.Keyring
	now    time.Time
	Events []projections.Event

	log   *projtest.Log
	staff map[uuid.UUID]employee.State
}

// Found begins a company on 2 January 2025.
func Found(t testing.TB) *Company {
	t.Helper()
	keys, err := seal.Create(filepath.Join(t.TempDir(), "keys"))
	require.NoError(t, err)
	log := projtest.NewLog(t)
	log.Seal = keys.Seal
	return &Company{
		t: t, LogID: projtest.LogID, Keys: keys, now: Instant("2025-01-02"),
		log: log, staff: map[uuid.UUID]employee.State{},
	}
}

// Instant is noon of a day.
func Instant(day string) time.Time { return domain.MustDate(day).Time().Add(12 * time.Hour) }

func date(text string) domain.Date { return domain.MustDate(text) }

// On sets the clock.
func (c *Company) On(day string) *Company {
	c.now = Instant(day)
	return c
}

// Record stores an event and returns its ID.
func (c *Company) Record(stream string, event domain.Named) uuid.UUID {
	c.t.Helper()
	e := c.log.Append(c.now, stream, event)[0]
	c.Events = c.log.Events()
	return e.ID
}

// Tell sends an employee's stream a command and returns the IDs of its events.
func (c *Company) Tell(who uuid.UUID, command employee.Command) (ids []uuid.UUID) {
	c.t.Helper()
	subject := domain.Derive(who.String(), "subject")
	decided, err := employee.Decider.Decide(c.staff[who], command.With(employee.Context{Self: who, Subject: subject, Today: domain.DateOf(c.now)}))
	require.NoError(c.t, err)
	require.NotEmpty(c.t, decided)
	for _, event := range decided {
		id := c.Record(employee.Stream(who), event)
		recording := domain.Recording{ID: id, Revision: c.Events[len(c.Events)-1].Revision, RecordedAt: c.now}
		c.staff[who] = employee.Decider.Evolve(c.staff[who], domain.Recorded[employee.Event]{Recording: recording, Event: event})
		ids = append(ids, id)
	}
	return ids
}

// Hire hires somebody into a department, at a monthly pay.
func (c *Company) Hire(no string, department uuid.UUID, day, pay string) (who uuid.UUID, ids []uuid.UUID) {
	c.t.Helper()
	who = domain.Derive("employee", no)
	return who, c.Tell(who, employee.Hire{
		PersonalData: employee.PersonalData{
			LegalName:  employee.PersonName{Given: "Sally" + no, Family: "Canary-family"},
			BirthDate:  date("1990-05-17"),
			NationalID: employee.NationalID{Scheme: "SSN", Value: "canary-national"},
			WorkEmail:  "canary-work@example.org", PrivateEmail: "canary-private@example.org", Phone: "+49 canary-phone",
			HomeAddress: employee.Address{Line1: "canary-street 1", City: "Berlin", Country: "DE"},
		},
		Engagement: employee.Engagement{
			EmployeeNo: no, LegalEntityID: domain.Derive("entity"), HireDate: date(day), EmploymentType: employee.Permanent,
			Position: &employee.ChangePosition{
				PositionID: domain.Derive("position", no), OrgUnitID: department, JobTitle: "Clerk",
				LocationID: domain.Derive("location"), CostCenter: "100",
			},
			Compensation: Pays(pay, ""),
		},
	})
}

// Pays is a monthly pay from a day on.
func Pays(amount, day string) *employee.ChangeCompensation {
	change := &employee.ChangeCompensation{PayBasis: employee.Monthly, Amount: domain.NewMoney(amount, "EUR"), PayFrequency: employee.PaidMonthly, ChangeReason: "raise"}
	if day != "" {
		change.EffectiveFrom = date(day)
	}
	return change
}

// BusyYear is a company in which everything happens that the projection knows.
func BusyYear(t testing.TB) *Company {
	c := Found(t)
	c.Record(organisation.Stream, organisation.OrganisationNamed{Name: "Harbour", Zone: "Europe/Berlin", Country: "DE"})
	c.Record(organisation.Stream, organisation.LegalEntityAdded{ID: domain.Derive("entity"), Name: "Harbour GmbH"})
	c.Record(organisation.Stream, organisation.LocationAdded{ID: domain.Derive("location"), Name: "Berlin"})
	sales, tools := domain.Derive("sales"), domain.Derive("tools")
	c.Record(orgunit.Stream(sales), orgunit.OrgUnitCreated{Name: "Sales", EffectiveFrom: date("2024-01-01")})
	c.Record(orgunit.Stream(tools), orgunit.OrgUnitCreated{Name: "Tools", Parent: sales, EffectiveFrom: date("2024-01-01")})
	sally, hired := c.Hire("1", sales, "2025-01-01", "6017.31")
	hugo, _ := c.Hire("2", tools, "2025-01-15", "5017.31")
	mistake, wrong := c.Hire("3", tools, "2025-01-15", "4017.31")
	raise := c.On("2025-03-15").Tell(sally, *Pays("6517.31", "2025-02-15"))[0]
	c.Tell(sally, employee.Correct{CorrectsEventID: raise, ReasonText: "canary-reason", Compensation: &employee.ChangeCompensation{Amount: domain.NewMoney("6617.31", "EUR")}})
	c.Tell(sally, employee.Correct{CorrectsEventID: hired[0], ReasonText: "canary-reason", Hire: &employee.Hire{Engagement: employee.Engagement{HireDate: date("2024-12-01")}}})
	c.Tell(hugo, employee.ChangeManager{ManagerEmployeeID: sally, EffectiveFrom: date("2025-02-01")})
	c.Tell(hugo, employee.ChangeBankAccount{IBAN: "DE89370400440532013000", BIC: "COBADEFFXXX", Holder: "canary-holder", EffectiveFrom: date("2025-02-01")})
	c.Tell(hugo, employee.ChangePersonalData{PersonalData: employee.PersonalData{PreferredName: "canary-preferred"}, EffectiveFrom: date("2025-03-01")})
	c.Tell(hugo, employee.ChangeWorkingTime{FTE: domain.MustDecimal("0.5"), EffectiveFrom: date("2025-03-01")})
	c.On("2025-04-01").Tell(mistake, employee.Rescind{RescindsEventID: wrong[0], ReasonText: "canary-reason"})
	c.Record(organisation.Stream, organisation.OrganisationNamed{Name: "Harbour Works", Zone: "Pacific/Auckland", Country: "NZ"})
	c.Record(orgunit.Stream(tools), orgunit.OrgUnitRenamed{Name: "Tool Design", EffectiveFrom: date("2025-03-01")})
	c.Record(orgunit.Stream(tools), orgunit.OrgUnitMoved{EffectiveFrom: date("2025-03-01")})
	c.Tell(hugo, employee.ChangePosition{PositionID: domain.Derive("position", "9"), OrgUnitID: sales, JobTitle: "Lead", LocationID: domain.Derive("location"), CostCenter: "100", ChangeReason: employee.ForTransfer, EffectiveFrom: date("2025-06-01")})
	c.Record(orgunit.Stream(tools), orgunit.OrgUnitClosed{EffectiveFrom: date("2025-07-01")})
	c.Tell(sally, employee.Retire{LastDay: date("2025-08-31"), Scheme: "statutory"})
	c.comeAndGo("4", sales)
	return c
}

// comeAndGo is somebody who is there twice: the first time in two positions, the
// second on probation.
func (c *Company) comeAndGo(no string, department uuid.UUID) {
	c.t.Helper()
	who, _ := c.On("2025-04-02").Hire(no, department, "2025-10-01", "3017.31")
	position := employee.ChangePosition{PositionID: domain.Derive("position", "second"), OrgUnitID: department, JobTitle: "Fire warden", LocationID: domain.Derive("location"), CostCenter: "100"}
	second := position
	second.Kind, second.ChangeReason, second.EffectiveFrom = employee.Secondary, employee.ForReorganisation, date("2025-10-10")
	c.Tell(who, second)
	c.Tell(who, employee.Terminate{LastDay: date("2025-10-31"), Ground: employee.Resignation, GroundDetail: "canary-ground", Note: "canary-note"})
	c.Tell(who, employee.Rehire{Engagement: employee.Engagement{HireDate: date("2025-12-01"), ProbationEnd: date("2026-02-28"), Position: &position}})
	c.Tell(who, employee.ExtendProbation{ProbationEnd: date("2026-05-31"), ReasonCode: "absence", EffectiveFrom: date("2026-02-16")})
	passed := c.Tell(who, employee.ConfirmProbation{On: date("2026-05-31")})[0]
	c.On("2025-04-03").Tell(who, employee.Correct{CorrectsEventID: passed, ReasonText: "canary-reason", Confirmation: &employee.ConfirmProbation{On: date("2026-05-15")}})
}
