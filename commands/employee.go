package commands

import (
	"context"
	"errors"
	"math"

	"github.com/google/uuid"

	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/domain/employee"
	"daybook.example/eventstore"
)

func (w *writes) employeeRoutes() {
	add(w, write{path: "/v1/employees", action: edge.HireEmployee, summary: "Hire an employee", creating: true, makes: true, located: true}, w.hire)
	add(w, write{path: employeePath + "positions", action: edge.ChangePosition, summary: "Put an employee into a position"}, changing[employee.ChangePosition](w))
	add(w, write{path: employeePath + "managers", action: edge.ChangeManager, summary: "Name whom an employee reports to"}, changing[employee.ChangeManager](w))
	add(w, write{path: employeePath + "compensations", action: edge.ChangeCompensation, summary: "State an employee's pay"}, changing[employee.ChangeCompensation](w))
	add(w, write{path: employeePath + "working-times", action: edge.ChangeWorkingTime, summary: "State an employee's working time"}, changing[employee.ChangeWorkingTime](w))
	add(w, write{path: employeePath + "personal-data", action: edge.ChangePersonalData, summary: "Change personal data"}, changing[employee.ChangePersonalData](w))
	add(w, write{path: employeePath + "bank-accounts", action: edge.ChangeBankAccount, summary: "Name the account that pay goes to"}, changing[employee.ChangeBankAccount](w))
	add(w, write{path: employeePath + "terminations", action: edge.TerminateEmployee, summary: "Terminate an employment"}, changing[employee.Terminate](w))
	add(w, write{path: employeePath + "retirements", action: edge.RetireEmployee, summary: "Retire an employee"}, changing[employee.Retire](w))
	add(w, write{path: employeePath + "probation/confirmations", action: edge.ConfirmProbation, summary: "Confirm that a probation is passed"}, changing[employee.ConfirmProbation](w))
	add(w, write{path: employeePath + "probation/extensions", action: edge.ExtendProbation, summary: "Put off the end of a probation"}, changing[employee.ExtendProbation](w))
	add(w, write{path: employeePath + "rehires", action: edge.RehireEmployee, summary: "Rehire an employee"}, w.rehire)
	add(w, write{path: employeePath + "corrections", action: edge.CorrectEmployee, summary: "Correct the record of a fact"}, w.correct)
	add(w, write{path: employeePath + "rescissions", action: edge.RescindEmployee, summary: "Rescind a fact that never was"}, w.rescind)
}

// changing runs a command towards an employee who exists.
func changing[C employee.Command](w *writes) func(context.Context, call, C) (pending, error) {
	return func(ctx context.Context, c call, body C) (pending, error) {
		id, err := c.id("id")
		if err != nil {
			return nil, err
		}
		return w.employee(ctx, c, id, body)
	}
}

// employee hands a command over with what the wire does not bring.
func (w *writes) employee(ctx context.Context, c call, id uuid.UUID, command employee.Command) (pending, error) {
	today, err := w.Today(ctx)
	if err != nil {
		return nil, err
	}
	command = command.With(employee.Context{Self: id, Subject: domain.SubjectID(c.CommandID), Today: today, Import: c.importing})
	return w.Employees.submit(ctx, employee.Stream(id), c.Request, command).of(id.String()), nil
}

func (w *writes) hire(ctx context.Context, c call, body employee.Hire) (pending, error) {
	if err := c.mayPay(body.Engagement, uuid.Nil); err != nil {
		return nil, err
	}
	return w.employee(ctx, c, c.entity(), body)
}

func (w *writes) rehire(ctx context.Context, c call, body employee.Rehire) (pending, error) {
	id, err := c.id("id")
	if err == nil {
		err = c.mayPay(body.Engagement, id)
	}
	if err != nil {
		return nil, err
	}
	return w.employee(ctx, c, id, body)
}

// mayPay refuses pay within an engagement from who may not set pay: one command
// must not do what two separate ones would not be allowed to.
func (c call) mayPay(e employee.Engagement, id uuid.UUID) error {
	if e.Compensation == nil {
		return nil
	}
	return c.may(edge.ChangeCompensation, id)
}

func (w *writes) correct(ctx context.Context, c call, body employee.Correct) (pending, error) {
	id, err := c.id("id")
	if err != nil {
		return nil, err
	}
	for action, given := range map[edge.Action]bool{
		edge.HireEmployee:       body.Hire != nil,
		edge.RehireEmployee:     body.Rehire != nil,
		edge.ChangePosition:     body.Position != nil,
		edge.ChangeManager:      body.Manager != nil,
		edge.ChangeCompensation: body.Compensation != nil,
		edge.ChangeWorkingTime:  body.WorkingTime != nil,
		edge.ChangePersonalData: body.PersonalData != nil,
		edge.ChangeBankAccount:  body.BankAccount != nil,
		edge.TerminateEmployee:  body.Termination != nil,
		edge.RetireEmployee:     body.Retirement != nil,
		edge.ConfirmProbation:   body.Confirmation != nil,
		edge.ExtendProbation:    body.Extension != nil,
	} {
		if given {
			err = errors.Join(err, c.may(action, id))
		}
	}
	if err != nil {
		return nil, err
	}
	return w.employee(ctx, c, id, body)
}

// actionOf says by which action a fact came to be: who may not have stated it may
// not rescind it either.
var actionOf = map[string]edge.Action{
	employee.EmployeeHired{}.EventType():        edge.HireEmployee,
	employee.EmployeeRehired{}.EventType():      edge.RehireEmployee,
	employee.PositionAssigned{}.EventType():     edge.ChangePosition,
	employee.ManagerAssigned{}.EventType():      edge.ChangeManager,
	employee.CompensationChanged{}.EventType():  edge.ChangeCompensation,
	employee.WorkingTimeChanged{}.EventType():   edge.ChangeWorkingTime,
	employee.PersonalDataChanged{}.EventType():  edge.ChangePersonalData,
	employee.BankAccountChanged{}.EventType():   edge.ChangeBankAccount,
	employee.EmploymentTerminated{}.EventType(): edge.TerminateEmployee,
	employee.EmployeeRetired{}.EventType():      edge.RetireEmployee,
	employee.ProbationConfirmed{}.EventType():   edge.ConfirmProbation,
	employee.ProbationExtended{}.EventType():    edge.ExtendProbation,
}

func (w *writes) rescind(ctx context.Context, c call, body employee.Rescind) (pending, error) {
	id, err := c.id("id")
	if err != nil {
		return nil, err
	}
	if err := w.mayRescind(ctx, c, id, body.RescindsEventID); err != nil {
		return nil, err
	}
	return w.employee(ctx, c, id, body)
}

// mayRescind looks up what kind of fact is meant, unless the principal may state
// all kinds. A fact that does not exist is the domain's to refuse.
func (w *writes) mayRescind(ctx context.Context, c call, id, fact uuid.UUID) error {
	all := true
	for _, action := range actionOf {
		all = all && edge.May(c.principal, action, id)
	}
	if all {
		return nil
	}
	events, err := w.Core.Store.ReadStream(ctx, employee.Stream(id), 0, eventstore.Forwards, math.MaxInt64)
	if err != nil && !errors.Is(err, eventstore.ErrStreamNotFound) {
		return err
	}
	for _, event := range events {
		if event.ID != fact {
			continue
		}
		if action, known := actionOf[statedBy(event)]; known {
			return c.may(action, id)
		}
	}
	return nil
}

// statedBy is the type of a fact; of a correction, that of what it states.
func statedBy(event eventstore.Recorded) string {
	if event.Type != (employee.FactCorrected{}).EventType() {
		return event.Type
	}
	var corrected struct {
		Replacement struct {
			Type string `json:"type"`
		} `json:"replacement"`
	}
	if domain.Unmarshal(event.Data, &corrected) != nil {
		return event.Type
	}
	return corrected.Replacement.Type
}
