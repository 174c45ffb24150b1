package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8/decor"

	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/projections"
	"daybook.example/readapi"
)

// ProjectionRebuild begins a new version of a read model.
type ProjectionRebuild struct {
	Promote bool `json:"promote,omitempty" doc:"Let it take the place of the one that is read as soon as it is verified."`
}

// ProjectionPromotion says which version is to be read.
type ProjectionPromotion struct {
	Version    int  `json:"version,omitempty" doc:"Default: the newest that waits for it."`
	Unverified bool `json:"unverified,omitempty" doc:"Also one that differs from the version that is read, or could not be compared with it."`
}

// ProjectionDrop names the version to take away.
type ProjectionDrop struct {
	Version int `json:"version"`
}

// rebuildRoutes are those that change what versions of read models there are.
func (h *house) rebuildRoutes(api *edge.API) {
	b := projections.NewRebuilder(h.pool, h.store.Reader, readModels(h.keys)...)
	operate(h, api, "rebuild", "Build a read model anew beside the one that is read",
		"A process with role projections fills new tables, verifies them at the position of those that are read, and says in the list how far it is. A repeat finds the one that is being built.",
		changing(h, func(ctx context.Context, name string, body ProjectionRebuild) (int, error) {
			v, err := b.Start(ctx, name, body.Promote)
			return v.Version, err
		}))
	operate(h, api, "promote", "Let another version of a read model be read",
		"The views change their names in one short transaction. Answers never go back in time. The former version is kept, and kept up to date.",
		changing(h, func(ctx context.Context, name string, body ProjectionPromotion) (int, error) {
			done, err := b.Promote(ctx, name, projections.PromoteOptions{Version: body.Version, Unverified: body.Unverified})
			return done.To, err
		}))
	operate(h, api, "rollback", "Let the version be read that was read before", "",
		changing(h, func(ctx context.Context, name string, _ struct{}) (int, error) {
			done, err := b.Rollback(ctx, name)
			return done.To, err
		}))
	operate(h, api, "drop", "Take away a version that is not read, with its tables",
		"Also ends its building. It is refused while somebody's own views depend on it.",
		changing(h, func(ctx context.Context, name string, body ProjectionDrop) (int, error) {
			return 0, b.Drop(ctx, name, body.Version)
		}))
}

// changing does so unless it is a dry run, and answers where the version stands.
func changing[B any](h *house, do func(context.Context, string, B) (int, error)) func(context.Context, *operateInput, B) (ProjectionOperated, error) {
	return func(ctx context.Context, in *operateInput, body B) (out ProjectionOperated, err error) {
		version := 0
		if !in.DryRun {
			if version, err = do(ctx, in.Name, body); err != nil {
				return out, refused(err)
			}
			if h.projectors != nil {
				h.projectors.Wake()
			}
		}
		out.Standing, err = projections.Stand(ctx, h.pool, in.Name, version)
		return out, err
	}
}

// refused turns a refusal of the rebuilder into an answer.
func refused(err error) error {
	of := func(kind domain.Kind, code string) error {
		return &domain.Error{Kind: kind, Code: code, Message: err.Error()}
	}
	switch {
	case errors.Is(err, projections.ErrUnknown):
		return of(domain.NotFound, "projection-unknown")
	case errors.Is(err, projections.ErrNoVersion):
		return of(domain.NotFound, "version-unknown")
	case errors.Is(err, projections.ErrNotVerified):
		return of(domain.Conflict, "version-not-verified")
	case errors.Is(err, projections.ErrBehind):
		return of(domain.Conflict, "version-behind")
	case errors.Is(err, projections.ErrInUse):
		return of(domain.Conflict, "version-in-use")
	case errors.Is(err, projections.ErrDepended):
		return of(domain.Conflict, "version-depended-on")
	case errors.Is(err, projections.ErrBusy):
		return edge.NewProblem(http.StatusServiceUnavailable, "views-busy", err.Error()).RetryAfter(time.Second)
	}
	return err
}

func (m *Main) projectionsRebuild() *cobra.Command {
	var body ProjectionRebuild
	var detach bool
	cmd := &cobra.Command{
		Use: "rebuild NAME", Short: "Build a read model anew beside the one that is read", Args: one("NAME"),
		Long: `Fills new tables from the whole log, without indexes at first, makes the indexes, catches up, and
compares the rows with those that are read, both at one position. Readers notice nothing. Ctrl-C leaves
the building to the server, which goes on with it also after a restart; "drop" ends it.

A version that is "ready" waits for "promote"; one that "differs" says in which tables, and is promoted
only with --unverified. The version that was read is kept up to date, for "rollback", until "drop".`,
		Example: `  daybook projections rebuild employee_fact
  daybook projections rebuild employee_fact --promote`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
				var out ProjectionOperated
				if err := api.post(ctx, projectionPath(args[0], cmd.Name()), body, &out); err != nil {
					return err
				}
				if detach {
					return m.say(out, fmt.Sprintf("version %d of %s is being built; daybook projections list shows how far it is", out.Version, out.Name))
				}
				built, err := m.watchBuild(ctx, api, out.Name, out.Version, body.Promote)
				if err != nil {
					return err
				}
				return m.say(built, builtSentence(built))
			})
		},
	}
	cmd.Flags().BoolVar(&body.Promote, "promote", false, "let it be read as soon as it is verified")
	cmd.Flags().BoolVar(&detach, "detach", false, "do not wait for it")
	return cmd
}

const watchEvery = 250 * time.Millisecond

// watchBuild shows how far a version is until it is built, and promoted if that
// was asked for.
func (m *Main) watchBuild(ctx context.Context, api *client, name string, version int, promote bool) (readapi.Projector, error) {
	speed, remaining := "", ""
	meter := m.meter(fmt.Sprintf("build %s, version %d", name, version), decor.CountersKibiByte(" % .0f / % .0f"), decor.Percentage(),
		decor.Any(func(decor.Statistics) string { return " " + speed }))
	defer meter.end()
	for {
		var list readapi.Projectors
		if err := api.get(ctx, "/v1/projections", nil, &list); err != nil {
			return readapi.Projector{}, err
		}
		found := readapi.Projector{}
		for _, p := range list.Items {
			if p.Name == name && p.Version == version {
				found = p
			}
		}
		switch {
		case found.Name == "":
			return found, hint(fmt.Errorf("version %d of %s was dropped while it was built", version, name), "daybook projections list shows those there are")
		case found.Phase == string(projections.Building) && found.State == string(projections.Halted):
			return found, hint(fmt.Errorf("version %d of %s is halted while it is built: %s", version, name, found.Failure), "mend the cause, or daybook projections drop "+name+" "+strconv.Itoa(version))
		case found.Phase == string(projections.Building), promote && found.Phase == string(projections.Ready):
		default:
			return found, nil
		}
		if b := found.Building; b != nil {
			speed, remaining = fmt.Sprintf("%.0f events/s", b.EventsPerSecond), time.Duration(b.RemainingSeconds*float64(time.Second)).Round(time.Second).String()
			done, total := int64(b.DoneBytes), int64(b.TotalBytes)
			meter.show(done, total, func() string {
				return fmt.Sprintf("build %s, version %d: %d of %d MiB, %s, %s left", name, version, done/mib, total/mib, speed, remaining)
			})
		}
		select {
		case <-ctx.Done():
			return found, hint(ctx.Err(), "the server goes on with it; daybook projections list shows how far it is")
		case <-time.After(watchEvery):
		}
	}
}

func builtSentence(p readapi.Projector) string {
	switch projections.Phase(p.Phase) {
	case projections.Ready:
		return fmt.Sprintf("version %d of %s is ready: %s; daybook projections promote %s lets it be read", p.Version, p.Name, verifiedSentence(p), p.Name)
	case projections.Differs:
		return fmt.Sprintf("version %d of %s is built, but differs: %s; look why, then daybook projections promote %s --unverified, or drop %s %d", p.Version, p.Name, verifiedSentence(p), p.Name, p.Name, p.Version)
	}
	return fmt.Sprintf("version %d of %s is %s: %s", p.Version, p.Name, p.Phase, verifiedSentence(p))
}

func verifiedSentence(p readapi.Projector) string {
	if p.Verification == nil {
		return "not compared"
	}
	return p.Verification.Summary
}

func (m *Main) projectionsPromote() *cobra.Command {
	var body ProjectionPromotion
	cmd := m.operateVerb(&cobra.Command{
		Use: "promote NAME", Short: "Let a version that was built be read",
		Long: `Lets the newest version that waits for it be read, or the one that --version names. Views change their
names in one short transaction, which waits for queries under way; no reader sees an error or an older
answer. What others made of the views stays on the former version: make it again afterwards.`,
		Example: "  daybook projections promote employee_fact\n  daybook projections promote employee_fact --version 3",
	}, func() any { return body }, func(o ProjectionOperated) string {
		return fmt.Sprintf("version %d of %s is read, at %s; daybook projections rollback %s goes back", o.Version, o.Name, o.Position, o.Name)
	})
	cmd.Flags().IntVar(&body.Version, "version", 0, "which one; default: the newest that waits")
	cmd.Flags().BoolVar(&body.Unverified, "unverified", false, "also one that differs, or could not be compared")
	return cmd
}

func (m *Main) projectionsRollback() *cobra.Command {
	return m.operateVerb(&cobra.Command{
		Use: "rollback NAME", Short: "Let the version be read that was read before",
		Example: "  daybook projections rollback employee_fact",
	}, nil, func(o ProjectionOperated) string {
		return fmt.Sprintf("version %d of %s is read again, at %s", o.Version, o.Name, o.Position)
	})
}

func (m *Main) projectionsDrop() *cobra.Command {
	return &cobra.Command{
		Use: "drop NAME VERSION", Short: "Take away a version that is not read, or end its building",
		Example: "  daybook projections list\n  daybook projections drop employee_fact 1",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return hint(fmt.Errorf("%s takes NAME and VERSION, and got %d arguments", cmd.CommandPath(), len(args)), cmd.CommandPath()+" --help shows examples")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			version, err := strconv.Atoi(args[1])
			if err != nil {
				return hint(errors.New("VERSION is no number"), "daybook projections list shows the versions")
			}
			return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
				var out ProjectionOperated
				if err := api.post(ctx, projectionPath(args[0], cmd.Name()), ProjectionDrop{version}, &out); err != nil {
					return err
				}
				return m.say(out, fmt.Sprintf("version %d of %s is gone; version %d is read", version, args[0], out.Version))
			})
		},
	}
}
