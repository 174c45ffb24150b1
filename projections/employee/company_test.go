package employee_test

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/employee"
	"daybook.example/domain/organisation"
	"daybook.example/domain/orgunit"
	"daybook.example/eventstore"
	"daybook.example/eventstore/seal"
	"daybook.example/projections"
)

// A company writes the events that a projection is given: decided by the
// domain, sealed with real keys, on a clock that the test sets.
type company struct {
	t      testing.TB
	keys   *seal.Keyring
	now    time.Time
	events []projections.Event

	revisions map[string]uint64
	staff     map[uuid.UUID]employee.State
	subjects  map[uuid.UUID]uuid.UUID
}

func found(t testing.TB) *company {
	t.Helper()
	keys, err := seal.Create(filepath.Join(t.TempDir(), "keys"))
	require.NoError(t, err)
	return &company{
		t: t, keys: keys, now: instant("2025-01-02"),
		revisions: map[string]uint64{}, staff: map[uuid.UUID]employee.State{}, subjects: map[uuid.UUID]uuid.UUID{},
	}
}

// instant is noon of a day.
func instant(day string) time.Time { return domain.MustDate(day).Time().Add(12 * time.Hour) }

func date(text string) domain.Date { return domain.MustDate(text) }

// on sets the clock.
func (c *company) on(day string) *company {
	c.now = instant(day)
	return c
}

// record stores an event and returns its ID.
func (c *company) record(stream string, event domain.Named) uuid.UUID {
	c.t.Helper()
	id := domain.Derive("test", strconv.Itoa(len(c.events)))
	data, err := domain.Encode(event)
	require.NoError(c.t, err)
	data, err = c.keys.Seal(stream, id, data)
	require.NoError(c.t, err)
	meta := domain.Metadata{RecordedAt: c.now, SchemaVersion: domain.SchemaVersion(event), Actor: domain.Actor{ID: "tester", Kind: domain.User}, SubjectIDs: domain.Subjects(event)}
	metadata, err := json.Marshal(meta)
	require.NoError(c.t, err)
	position := uint64(100 * (len(c.events) + 1))
	e := projections.Event{
		Recorded: eventstore.Recorded{
			ID: id, Stream: stream, Revision: c.revisions[stream], Position: eventstore.Position{Commit: position, Prepare: position},
			Type: event.EventType(), ContentType: "application/json", Data: data, Metadata: metadata, Created: c.now,
		},
		Meta: meta, Label: c.now,
	}
	e.Decoded, err = decode(e.Type, meta.SchemaVersion, data) // as sealed: projections have no keys
	require.NoError(c.t, err)
	c.revisions[stream]++
	c.events = append(c.events, e)
	return id
}

func decode(name string, version int, data []byte) (domain.Named, error) {
	if event, err := employee.Catalog.Decode(name, version, data); err == nil {
		return event, nil
	}
	if event, err := orgunit.Catalog.Decode(name, version, data); err == nil {
		return event, nil
	}
	return organisation.Catalog.Decode(name, version, data)
}

// tell sends an employee's stream a command and returns the IDs of its events.
func (c *company) tell(who uuid.UUID, command employee.Command) (ids []uuid.UUID) {
	c.t.Helper()
	subject := domain.Derive(who.String(), "subject")
	decided, err := employee.Decider.Decide(c.staff[who], command.With(employee.Context{Self: who, Subject: subject, Today: domain.DateOf(c.now)}))
	require.NoError(c.t, err)
	require.NotEmpty(c.t, decided)
	for _, event := range decided {
		stream := employee.Stream(who)
		revision := c.revisions[stream]
		id := c.record(stream, event)
		recording := domain.Recording{ID: id, Revision: revision, RecordedAt: c.now}
		c.staff[who] = employee.Decider.Evolve(c.staff[who], domain.Recorded[employee.Event]{Recording: recording, Event: event})
		ids = append(ids, id)
	}
	return ids
}

// hire hires somebody into a department, at a monthly pay.
func (c *company) hire(no string, department uuid.UUID, day, pay string) (who uuid.UUID, ids []uuid.UUID) {
	c.t.Helper()
	who = domain.Derive("employee", no)
	return who, c.tell(who, employee.Hire{
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
			Compensation: pays(pay, ""),
		},
	})
}

// pays is a monthly pay from a day on.
func pays(amount, day string) *employee.ChangeCompensation {
	change := &employee.ChangeCompensation{PayBasis: employee.Monthly, Amount: domain.NewMoney(amount, "EUR"), PayFrequency: employee.PaidMonthly, ChangeReason: "raise"}
	if day != "" {
		change.EffectiveFrom = date(day)
	}
	return change
}
