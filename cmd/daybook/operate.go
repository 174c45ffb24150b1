package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/projections"
	"daybook.example/readapi"
)

// OperateParams are what every operation on a read model takes.
type OperateParams struct {
	Name   string `path:"name" maxLength:"64"`
	DryRun bool   `query:"dry_run" doc:"Say what would be so, but do nothing."`
}

type operateInput struct {
	OperateParams
	RawBody []byte `contentType:"application/json"`
}

// ProjectionVersion names a version of a read model.
type ProjectionVersion struct {
	Version int `json:"version,omitempty" doc:"Default: the one that is read."`
}

// ProjectionTakeover says from whom a read model is taken.
type ProjectionTakeover struct {
	ProjectionVersion
	Owner string `json:"owner,omitempty" doc:"Only from this process: a repeat does not take it from the next one. Default: whoever has it."`
}

// ProjectionOperated is where a read model stands after an operation.
type ProjectionOperated struct {
	projections.Standing
	TakenFrom string `json:"taken_from,omitempty" doc:"The process that owned it before."`
}

type operateAnswer struct{ Body ProjectionOperated }

const operateWithin = 50 * time.Second // a pause waits for the batch under way

// operateRoutes are those that change how read models are run. They leave no
// event: they change nothing of what is known.
func (h *house) operateRoutes(api *edge.API) {
	operate(h, api, "pause", "Let a read model stand still, until it is resumed",
		"When it answers, the batch under way is committed and nothing more will be, in whichever process, across restarts.", h.pause)
	operate(h, api, "resume", "Let a paused read model go on", "", h.resume)
	operate(h, api, "takeover", "Take a read model from the process that owns it, so that another one gets it",
		"Nothing is lost and nothing is applied twice. Where no other process stands by, the same one comes back after some seconds.", h.takeOver)
	h.rebuildRoutes(api)
}

func operate[B any](h *house, api *edge.API, verb, summary, description string, do func(context.Context, *operateInput, B) (ProjectionOperated, error)) {
	edge.Register(api, edge.Operation{
		Method: http.MethodPost, Path: "/v1/projections/{name}/" + verb, Tag: "projections", Action: edge.OperateProjections,
		Summary: summary, Description: description, Body: edge.SchemaOf[B](api), Within: operateWithin,
		Places: map[string]*huma.Schema{},
	}, func(ctx context.Context, in *operateInput) (*operateAnswer, error) {
		body, err := edge.Decode[B](in.RawBody)
		if err != nil {
			return nil, err
		}
		out, err := do(ctx, in, body)
		if err != nil {
			return nil, h.unavailable(err)
		}
		if principal, _ := edge.PrincipalFrom(ctx); !in.DryRun {
			h.logger.Warn("an operator has changed how a read model is run", "verb", verb, "projection", out.Name, "version", out.Version, "by", principal.ID)
		}
		return &operateAnswer{out}, nil
	})
}

// unavailable tells a caller to come again where the database is away.
func (h *house) unavailable(err error) error {
	var refusal *domain.Error
	if errors.As(err, &refusal) || !readapi.DatabaseAway(err) {
		return err
	}
	h.logger.Warn("the database does not answer", "error", err)
	return edge.NewProblem(http.StatusServiceUnavailable, "database-unavailable", "the database does not answer just now; send the same request again").RetryAfter(time.Second)
}

func (h *house) pause(ctx context.Context, in *operateInput, body ProjectionVersion) (out ProjectionOperated, err error) {
	out.Standing, err = projections.Stand(ctx, h.pool, in.Name, body.Version)
	if err == nil && !in.DryRun {
		principal, _ := edge.PrincipalFrom(ctx)
		out.Standing, err = projections.Pause(ctx, h.pool, out.Standing, principal.ID)
	}
	return out, err
}

func (h *house) resume(ctx context.Context, in *operateInput, body ProjectionVersion) (out ProjectionOperated, err error) {
	out.Standing, err = projections.Stand(ctx, h.pool, in.Name, body.Version)
	if err == nil && !in.DryRun {
		out.Standing, err = projections.Resume(ctx, h.pool, out.Standing)
	}
	return out, err
}

func (h *house) takeOver(ctx context.Context, in *operateInput, body ProjectionTakeover) (out ProjectionOperated, err error) {
	if out.Standing, err = projections.Stand(ctx, h.pool, in.Name, body.Version); err != nil || in.DryRun {
		return out, err
	}
	out.TakenFrom = cmp.Or(body.Owner, out.Owner)
	if out.Owner == out.TakenFrom {
		if err = projections.Takeover(ctx, h.pool, out.Standing); err != nil {
			return out, err
		}
	}
	out.Standing, err = projections.Stand(ctx, h.pool, in.Name, out.Version)
	return out, err
}

// haltedAt is for the commands, which know no tables.
func (h *house) haltedAt(ctx context.Context, projection string) (uuid.UUID, error) {
	event, err := projections.HaltedAt(ctx, h.pool, projection)
	return event, h.unavailable(err)
}

// watchHealth looks after all read models, in whichever process they run.
func (h *house) watchHealth(api *edge.API) {
	health := projections.NewHealth(projections.HealthOptions{Pool: h.pool, Store: h.store.Reader, Registry: h.registry})
	api.HealthyWhen("read models", health.Check)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); health.Watch(ctx) }()
	h.onClose(func(context.Context) error { stop(); <-done; return nil })
}
