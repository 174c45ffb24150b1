package commands

import (
	"context"

	"daybook.example/commands/edge"
	"daybook.example/domain/organisation"
)

func (w *writes) organisationRoutes() {
	add(w, write{path: "/v1/organisation", action: edge.NameOrganisation, summary: "Name the organisation and its zone", creating: true}, w.nameOrganisation)
	add(w, write{path: "/v1/organisation/legal-entities", action: edge.AddLegalEntity, summary: "Make a legal entity known", creating: true, makes: true}, w.addLegalEntity)
	add(w, write{path: "/v1/organisation/locations", action: edge.AddLocation, summary: "Make a location known", creating: true, makes: true}, w.addLocation)
}

func (w *writes) nameOrganisation(ctx context.Context, c call, body organisation.Name) (pending, error) {
	named := w.organisation(ctx, c, body, organisation.Category)
	return func() (Answer, error) {
		defer w.renamed()
		return named()
	}, nil
}

func (w *writes) addLegalEntity(ctx context.Context, c call, body organisation.AddLegalEntity) (pending, error) {
	body.ID = c.entity()
	return w.organisation(ctx, c, body, body.ID.String()), nil
}

func (w *writes) addLocation(ctx context.Context, c call, body organisation.AddLocation) (pending, error) {
	body.ID = c.entity()
	return w.organisation(ctx, c, body, body.ID.String()), nil
}

func (w *writes) organisation(ctx context.Context, c call, command organisation.Command, id string) pending {
	return w.Organisation.submit(ctx, organisation.Stream, c.Request, command).of(id)
}
