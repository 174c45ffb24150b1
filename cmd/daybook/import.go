package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"daybook.example/cmd/daybook/adventureworks"
	"daybook.example/commands"
	"daybook.example/eventstore"
)

func (m *Main) importing() *cobra.Command {
	return group("import", "Bring in real data; a repeated import adds nothing", &cobra.Command{
		Use:   "adventureworks FOLDER",
		Short: "Import people, pay, sales and purchases of the AdventureWorks sample from its CSV files",
		Long: `Imports the AdventureWorks sample company: 290 people with departments, managers and pay, 1,566
sales orders and 3,689 complete purchase orders as balanced entries in the book adventureworks.

It talks to the server that runs on --dir, or starts one for the time of the import. It may be
repeated at any time, also after it was interrupted: what is there already is not added again.`,
		Example: "  daybook import adventureworks ./adventureworks",
		Args:    one("FOLDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := adventureworks.Read(args[0])
			if err != nil {
				return hint(err, "name the folder that has hr, person, sales and purchasing in it")
			}
			plan, err := source.Plan()
			if err != nil {
				return err
			}
			d, err := openDir(m.flags.dir)
			if err != nil {
				return err
			}
			return m.withServerOf(cmd.Context(), d, func(ctx context.Context, api *client) error {
				return m.importPlan(ctx, api, plan)
			})
		},
	})
}

// importPlan sends the plan step by step, waits for the read models and prints
// the report.
func (m *Main) importPlan(ctx context.Context, api *client, plan adventureworks.Plan) error {
	started := time.Now()
	run := importRun{api: api, progress: m.progress("import", len(plan.Lines)), outcome: adventureworks.NewOutcome(plan)}
	for _, lines := range plan.Steps() {
		if err := run.send(ctx, lines); err != nil {
			run.progress.end()
			return hint(err, "repeat the import: it goes on where it stopped")
		}
	}
	run.progress.done()
	if err := api.waitForReadModels(ctx, run.last); err != nil {
		return err
	}
	totals, err := adventureworks.Totals(ctx, api.get)
	if err != nil {
		return fmt.Errorf("read the control totals: %w", err)
	}
	report := run.outcome.Report(totals, time.Since(started))
	if err := m.printReport(report); err != nil {
		return err
	}
	if !report.Agrees() {
		return hint(errors.New("the import does not agree with the control totals"), "see the lines marked DIFFERS above")
	}
	return nil
}

func (m *Main) printReport(report adventureworks.Report) error {
	if m.flags.output == "json" {
		return json.NewEncoder(m.Stdout).Encode(report)
	}
	return report.Print(m.Stdout)
}

type importRun struct {
	api      *client
	progress *progress
	outcome  *adventureworks.Outcome
	last     eventstore.Position
}

// send streams lines as NDJSON and takes the answers while it does.
func (r *importRun) send(ctx context.Context, lines []adventureworks.Line) error {
	if len(lines) == 0 {
		return nil
	}
	reader, writer := io.Pipe()
	go func() {
		buffered := bufio.NewWriterSize(writer, 64<<10)
		enc := json.NewEncoder(buffered)
		for _, line := range lines {
			if err := enc.Encode(line); err != nil {
				writer.CloseWithError(err)
				return
			}
		}
		writer.CloseWithError(buffered.Flush())
	}()
	body, err := r.api.send(ctx, http.MethodPost, "/v1/imports", reader, "application/x-ndjson")
	if err != nil {
		return err
	}
	defer body.Close()
	answers, dec := 0, json.NewDecoder(body)
	for ; ; answers++ {
		var answer commands.ImportAnswer
		if err := dec.Decode(&answer); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("the import was cut off after %d of %d answers: %w", answers, len(lines), err)
		}
		if err := r.take(answer); err != nil {
			return err
		}
	}
	if answers != len(lines) {
		return fmt.Errorf("the import was cut off after %d of %d answers", answers, len(lines))
	}
	return ctx.Err()
}

// take notes an answer. A refusal by a rule leaves the row aside; anything else
// ends the import.
func (r *importRun) take(a commands.ImportAnswer) error {
	r.progress.step()
	switch {
	case a.Error == nil:
		position, err := eventstore.ParsePosition(a.Position)
		if err != nil {
			return err
		}
		if r.last.Less(position) {
			r.last = position
		}
		r.outcome.Accepted(a.Key, a.Repeated)
	case a.Status == http.StatusUnprocessableEntity && a.Error.Code != "idempotency-key-reused":
		r.outcome.Refused(a.Key, a.Error.Code, a.Error.Detail)
	default:
		return fmt.Errorf("%s: %w", a.Key, a.Error)
	}
	return nil
}

// waitForReadModels returns when every read model has passed a position, in the
// version that is read: others may be run by nobody.
func (c *client) waitForReadModels(ctx context.Context, last eventstore.Position) error {
	for {
		var list struct {
			Items []struct {
				Name     string              `json:"name"`
				Phase    string              `json:"phase"`
				State    string              `json:"state"`
				Position eventstore.Position `json:"position"`
			} `json:"items"`
		}
		if err := c.get(ctx, "/v1/projections", nil, &list); err != nil {
			return err
		}
		behind := len(list.Items) == 0
		for _, p := range list.Items {
			if p.Phase != "active" {
				continue
			}
			switch p.State {
			case "halted":
				return hint(fmt.Errorf("the read model %s is halted", p.Name), "daybook projections list shows the event at fault")
			case "paused":
				return hint(fmt.Errorf("the read model %s is paused", p.Name), "daybook projections resume "+p.Name+" lets it go on")
			}
			behind = behind || p.Position.Less(last)
		}
		if !behind {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
