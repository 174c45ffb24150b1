package commands

import (
	"context"

	"github.com/google/uuid"

	"daybook.example/commands/edge"
	"daybook.example/domain/orgunit"
)

func (w *writes) orgUnitRoutes() {
	const path = "/v1/org-units/{id}/"
	add(w, write{path: "/v1/org-units", action: edge.CreateOrgUnit, summary: "Create an org unit", creating: true, makes: true, located: true}, w.createOrgUnit)
	add(w, write{path: path + "names", action: edge.RenameOrgUnit, summary: "Give an org unit another name"}, orgUnitChange[orgunit.Rename](w))
	add(w, write{path: path + "parents", action: edge.MoveOrgUnit, summary: "Put an org unit under another one"}, orgUnitChange[orgunit.Move](w))
	add(w, write{path: path + "closures", action: edge.CloseOrgUnit, summary: "Close an org unit"}, orgUnitChange[orgunit.Close](w))
}

func (w *writes) createOrgUnit(ctx context.Context, c call, body orgunit.Create) (pending, error) {
	return w.orgUnit(ctx, c, c.entity(), body)
}

// orgUnitChange runs a command towards an org unit that exists.
func orgUnitChange[C orgunit.Command](w *writes) func(context.Context, call, C) (pending, error) {
	return func(ctx context.Context, c call, body C) (pending, error) {
		id, err := c.id("id")
		if err != nil {
			return nil, err
		}
		return w.orgUnit(ctx, c, id, body)
	}
}

func (w *writes) orgUnit(ctx context.Context, c call, id uuid.UUID, command orgunit.Command) (pending, error) {
	today, err := w.Today(ctx)
	if err != nil {
		return nil, err
	}
	command = command.With(orgunit.Context{Self: id, Today: today})
	return w.OrgUnits.submit(ctx, orgunit.Stream(id), c.Request, command).of(id.String()), nil
}
