package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"text/tabwriter"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

func (m *Main) processes() *cobra.Command {
	cmd := group("processes", "See what follows by itself from what was recorded, and step in", m.processList(), m.processShow(),
		m.processAct("retry", "Have a process try again what was refused",
			`An instance needs a human after a command of its own was refused, or could not be undone. Mend the
cause first (daybook processes show names the rule), then have it retried: it looks at where
things stand and asks anew for what is still missing.`),
		m.processAct("takeover", "Take an instance from its process, for good",
			`From then on the process does nothing more in this instance: commands that are not answered are
not sent again, and deadlines are cancelled. What is left to be done is yours, by hand.`))
	cmd.Long = `A process manager acts where one fact has consequences for other records:

  manager-leaves   when an employment ends, each report goes to the manager's manager from the day
                   after the last day on; rescinding the end undoes that. One instance a manager.
  probation-ends   reminds two weeks before a probation ends, and calls for a person on its last
                   day when nobody has confirmed or extended it. One instance an employee.

An instance is named by its process and the employee's ID. Its states: running (something is asked
for or awaited), needs-human (it cannot go on by itself), finished, taken-over. They run in a
process with role processes (daybook serve has it by default), and only for what was recorded
after they first ran.`
	return cmd
}

func (m *Main) processList() *cobra.Command {
	var name, state string
	limit := 20
	cmd := &cobra.Command{
		Use: "list", Short: "List the instances with their states", Args: none,
		Example: "  daybook processes list --state needs-human\n  daybook processes list --name manager-leaves --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			for key, value := range map[string]string{"name": name, "state": state} {
				if value != "" {
					query.Set(key, value)
				}
			}
			return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
				return m.list(ctx, api, "/v1/processes", query, limit, []string{"name", "id", "state", "outcome", "needs", "reminders", "next_deadline", "pending"})
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "only this process, such as manager-leaves")
	cmd.Flags().StringVar(&state, "state", "", "only those in this state: running, needs-human, finished or taken-over")
	cmd.Flags().IntVar(&limit, "limit", limit, "how many")
	return cmd
}

// instance takes the two arguments that name an instance.
func instance(cmd *cobra.Command, args []string) error {
	if len(args) == 2 && uuid.Validate(args[1]) == nil {
		return nil
	}
	return hint(fmt.Errorf("%s takes the NAME of a process and the ID of an instance", cmd.CommandPath()), "daybook processes list shows both")
}

func instancePath(args []string) string {
	return "/v1/processes/" + url.PathEscape(args[0]) + "/" + url.PathEscape(args[1])
}

func (m *Main) processShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME ID", Short: "Show an instance: what it heard, asked for and awaits", Args: instance,
		Example: "  daybook processes show manager-leaves 0b7c...",
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
				var record json.RawMessage
				if err := api.get(ctx, instancePath(args), nil, &record); err != nil {
					return err
				}
				if m.flags.output == "json" {
					_, err := fmt.Fprintf(m.Stdout, "%s\n", record)
					return err
				}
				return m.showInstance(record)
			})
		},
	}
}

func (m *Main) showInstance(record json.RawMessage) error {
	var parts struct{ Deadlines, Commands, History []json.RawMessage }
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(record, &parts); err != nil {
		return err
	}
	if err := json.Unmarshal(record, &fields); err != nil {
		return err
	}
	for _, name := range []string{"name", "id", "state", "outcome", "needs", "reminders", "taken_over_by", "version"} {
		if value := cell(fields[name]); value != "-" && value != "[]" {
			fmt.Fprintf(m.Stdout, "%-14s %s\n", name, value)
		}
	}
	for _, part := range []struct {
		title   string
		columns []string
		rows    []json.RawMessage
	}{
		{"DEADLINES", []string{"at", "key", "state"}, parts.Deadlines},
		{"COMMANDS", []string{"requested_at", "command", "intent", "answer", "code", "undoes", "id"}, parts.Commands},
		{"HISTORY", []string{"recorded_at", "event_type", "actor_id", "data"}, parts.History},
	} {
		if len(part.rows) == 0 {
			continue
		}
		fmt.Fprintln(m.Stdout, part.title)
		table := tabwriter.NewWriter(m.Stdout, 0, 4, 2, ' ', 0)
		for _, row := range part.rows {
			if err := m.row(table, row, part.columns); err != nil {
				return err
			}
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// processAct is a person's word to an instance.
func (m *Main) processAct(verb, short, long string) *cobra.Command {
	reason := ""
	cmd := &cobra.Command{
		Use: verb + " NAME ID", Short: short, Long: long, Args: instance,
		Example: "  daybook processes " + verb + " manager-leaves 0b7c... --reason mended-by-hand",
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason == "" {
				return hint(fmt.Errorf("%s needs a reason", cmd.CommandPath()), "give --reason, a code such as mended-by-hand")
			}
			return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
				var answer struct {
					Events []struct{ Type string }
				}
				if err := api.post(ctx, instancePath(args)+"/"+verb, map[string]string{"reason_code": reason}, &answer); err != nil {
					return err
				}
				word := "nothing to do: it is so already"
				if len(answer.Events) > 0 {
					word = "recorded; daybook processes show tells what follows"
				}
				_, err := fmt.Fprintln(m.Stdout, word)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, as a code such as mended-by-hand; it stays on record, so it names nobody")
	return cmd
}
