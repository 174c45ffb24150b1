package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"daybook.example/commands"
	"daybook.example/domain/operation"
)

func (m *Main) projectionsPause() *cobra.Command {
	return m.operateVerb(&cobra.Command{
		Use: "pause NAME", Short: "Let a read model stand still until it is resumed",
		Long: `Lets a read model stand still. When the verb returns, the batch under way is committed and nothing
more will be, in whichever process the projector runs, across restarts, until "resume". Readers get
answers from where it stands, with the header Daybook-Projection-State: paused.`,
		Example: "  daybook projections pause employee_fact",
	}, nil, func(o ProjectionOperated) string {
		return fmt.Sprintf("%s is paused at %s; daybook projections resume %s lets it go on", o.Name, o.Position, o.Name)
	})
}

func (m *Main) projectionsResume() *cobra.Command {
	return m.operateVerb(&cobra.Command{
		Use: "resume NAME", Short: "Let a paused read model go on",
		Example: "  daybook projections resume employee_fact",
	}, nil, func(o ProjectionOperated) string {
		return fmt.Sprintf("%s goes on from %s", o.Name, o.Position)
	})
}

func (m *Main) projectionsTakeover() *cobra.Command {
	return m.operateVerb(&cobra.Command{
		Use: "takeover NAME", Short: "Take a read model from the process that owns it, so that one that stands by gets it",
		Long: `Ends the connection by which a process owns a read model, as where that process hangs. A process
that stands by gets it within seconds; where there is none, the same one comes back. Nothing is lost
and nothing is applied twice: what the owner did not commit is applied again.`,
		Example: "  daybook projections list\n  daybook projections takeover employee_fact",
	}, nil, func(o ProjectionOperated) string {
		next := "no process stands by, so it comes back by itself"
		if len(o.Standby) > 0 {
			next = "next is " + strings.Join(o.Standby, " or ")
		}
		return fmt.Sprintf("%s was taken from %s; %s", o.Name, o.TakenFrom, next)
	})
}

// operateVerb posts a body, if there is more to say than the name, to the route of
// the same name and says what came of it.
func (m *Main) operateVerb(cmd *cobra.Command, body func() any, says func(ProjectionOperated) string) *cobra.Command {
	cmd.Args = one("NAME")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
			var out ProjectionOperated
			var payload any = struct{}{}
			if body != nil {
				payload = body()
			}
			if err := api.post(ctx, projectionPath(args[0], cmd.Name()), payload, &out); err != nil {
				return err
			}
			return m.say(out, says(out))
		})
	}
	return cmd
}

func projectionPath(name, what string) string {
	return "/v1/projections/" + url.PathEscape(name) + "/" + what
}

// say prints a sentence, or what it is about as JSON.
func (m *Main) say(about any, sentence string) error {
	if m.flags.output == "json" {
		return json.NewEncoder(m.Stdout).Encode(about)
	}
	_, err := fmt.Fprintln(m.Stdout, sentence)
	return err
}

func (m *Main) projectionsWaive() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "waive NAME EVENT_ID", Short: "Let a read model pass the event that it is halted at, on record",
		Long: `Puts on record that a read model may pass the event that it is halted at: with the reason and with
who wanted it, for auditors to see. The event stays in the log; the read model lacks it. Mend the
cause instead where you can: a projector tries the event again whenever it starts.`,
		Example: `  daybook projections list      # names the event at fault
  daybook projections waive journal_line 6f1e... --reason "posted by a faulty import, reversed since"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return hint(fmt.Errorf("%s takes NAME and EVENT_ID, and got %d arguments", cmd.CommandPath(), len(args)), cmd.CommandPath()+" --help shows examples")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			event, err := uuid.Parse(args[1])
			if err != nil {
				return hint(errors.New("EVENT_ID is no UUID"), "daybook projections list names the event that a read model is halted at")
			}
			return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
				var out commands.Answer
				if err := api.post(ctx, projectionPath(args[0], "waivers"), operation.WaiveEvent{EventID: event, Reason: reason}, &out); err != nil {
					return err
				}
				sentence := fmt.Sprintf("it is on record: %s passes event %s in a moment", args[0], event)
				if len(out.Events) == 0 {
					sentence = "that was on record already"
				}
				return m.say(out, sentence)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, in words about the event; name nobody")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

func (m *Main) projectionsWaivers() *cobra.Command {
	return &cobra.Command{
		Use: "waivers NAME", Short: "List the events that a read model was let pass", Args: one("NAME"),
		Example: "  daybook projections waivers journal_line",
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
				return m.list(ctx, api, projectionPath(args[0], "waivers"), nil, -1, []string{"recorded_at", "operator", "event_id", "reason"})
			})
		},
	}
}
