package commands

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/employee"
)

const sally = `{"legal_name": {"given": "Sally", "family": "Canary"}, "birth_date": "1990-05-17", "work_email": "sally@canary.example",
	"employee_no": "E-1", "legal_entity_id": "00000000-0000-4000-8000-00000000000d", "hire_date": "2024-01-01", "employment_type": "permanent",
	"position": {"position_id": "00000000-0000-4000-8000-00000000000f", "org_unit_id": "00000000-0000-4000-8000-000000000001", "location_id": "00000000-0000-4000-8000-00000000000e", "job_title": "clerk", "cost_center": "100"}}`

// hireOf is the command of a hire with its request, as the edge makes them.
func hireOf(t testing.TB, body string) (stream string, r Request, command employee.Command) {
	t.Helper()
	var hire employee.Hire
	require.NoError(t, json.Unmarshal([]byte(body), &hire))
	r = creating(request("hire"))
	id := domain.EntityID(r.CommandID)
	return employee.Stream(id), r, hire.With(employee.Context{Self: id, Subject: domain.SubjectID(r.CommandID), Today: domain.MustDate("2024-06-01")})
}

func employeesOf(c *Core) *Handler[employee.Command, employee.State, employee.Event] {
	return NewHandler(c, employee.Decider, employee.Catalog, employee.Category)
}

func TestAnEmployeeIsHiredOnceAndHerPersonalDataSealed(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	stream, r, hire := hireOf(t, sally)
	first, err := employeesOf(house.process()).Handle(t.Context(), stream, r, hire)
	require.NoError(t, err)
	require.Equal(t, "employee-hired", first.Events[0].Type)

	again, err := employeesOf(house.process()).Handle(t.Context(), stream, r, hire)
	require.NoError(t, err)
	again.Repeated = false
	require.Equal(t, first, again)

	otherStream, otherRequest, other := hireOf(t, sally)
	_, err = employeesOf(house.process()).Handle(t.Context(), otherStream, otherRequest, other)
	require.Equal(t, domain.Taken, kindOf(t, err), "the employee number is Sally's")
	for _, event := range house.events(stream) {
		require.NotContains(t, strings.ToLower(string(event.Data)+string(event.Metadata)), "canary")
	}
	require.Equal(t, []uuid.UUID{domain.SubjectID(r.CommandID)}, house.metadata(house.events(stream)[0]).SubjectIDs)
}

func TestARescindedHireFreesItsNumber(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handler := employeesOf(house.process())
	stream, r, hire := hireOf(t, sally)
	hired, err := handler.Handle(t.Context(), stream, r, hire)
	require.NoError(t, err)

	rescind := employee.Rescind{RescindsEventID: hired.Events[0].ID, ReasonText: "never came"}
	_, err = handler.Handle(t.Context(), stream, request("rescind"), rescind.With(employee.Context{Today: domain.MustDate("2024-06-01")}))
	require.NoError(t, err)

	stream, r, hire = hireOf(t, sally)
	_, err = handler.Handle(t.Context(), stream, r, hire)
	require.NoError(t, err)
}

func TestPayChangedByManyAtOnceIsDecidedInOneOrder(t *testing.T) {
	t.Parallel()
	house := newHouse(t)
	handlers := []*Handler[employee.Command, employee.State, employee.Event]{employeesOf(house.process()), employeesOf(house.process())}
	stream, r, hire := hireOf(t, sally)
	_, err := handlers[0].Handle(t.Context(), stream, r, hire)
	require.NoError(t, err)
	before := len(house.events(stream))

	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			change := employee.ChangeCompensation{PayBasis: "annual", Amount: domain.NewMoney("50000.00", "EUR"), PayFrequency: "monthly", EffectiveFrom: domain.MustDate("2024-02-01").AddDays(i), ChangeReason: "review"}
			_, err := handlers[i%2].Handle(t.Context(), stream, request("pay"), change.With(employee.Context{Today: domain.MustDate("2024-06-01")}))
			require.NoError(t, err)
		})
	}
	all.Wait()

	require.Len(t, house.events(stream), before+12)
}
