package commands

import (
	"context"

	"github.com/google/uuid"

	"daybook.example/commands/edge"
	"daybook.example/domain/operation"
)

func (w *writes) operationRoutes() {
	add(w, write{path: "/v1/projections/{name}/waivers", action: edge.WaiveEvent,
		summary: "Let a read model pass the event that it is halted at, on record", creating: true, makes: true}, w.waive)
	delete(w.imported, string(edge.WaiveEvent)) // who looks at an event waives it, no file
}

func (w *writes) waive(ctx context.Context, c call, body operation.WaiveEvent) (pending, error) {
	at := uuid.Nil
	if w.HaltedAt != nil {
		var err error
		if at, err = w.HaltedAt(ctx, c.at["name"]); err != nil {
			return nil, err
		}
	}
	body.Projection, body.HaltedAt, body.Operator = c.at["name"], at, c.Principal
	return w.Operations.submit(ctx, operation.Stream, c.Request, body).of(body.EventID.String()), nil
}
