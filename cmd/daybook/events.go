package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

func (m *Main) events() *cobra.Command {
	return group("events", "Read and follow the events", m.eventsRead(), m.eventsTail())
}

// filter adds the flags that both verbs have.
func filter(cmd *cobra.Command) func() url.Values {
	names := map[string]*string{
		"from":     cmd.Flags().String("from", "", "begin behind this position"),
		"category": cmd.Flags().String("category", "", "only streams of this category, such as employee"),
		"type":     cmd.Flags().String("type", "", "only events of this type, such as employee-hired"),
	}
	return func() url.Values {
		query := url.Values{}
		for name, value := range names {
			if *value != "" {
				query.Set(name, *value)
			}
		}
		return query
	}
}

func (m *Main) eventsRead() *cobra.Command {
	limit := 20
	cmd := &cobra.Command{
		Use: "read", Short: "Print events in the order of the log", Args: none,
		Example: "  daybook events read --category journal --limit 3\n  daybook events read --from 4711/4711 --output json",
	}
	query := filter(cmd)
	cmd.Flags().IntVar(&limit, "limit", limit, "how many")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
			asked := query()
			for left := limit; left > 0; {
				asked.Set("limit", strconv.Itoa(min(left, 500)))
				var page struct {
					Items []json.RawMessage `json:"items"`
					Next  string            `json:"next"`
				}
				if err := api.get(ctx, "/v1/events", asked, &page); err != nil {
					return err
				}
				for _, item := range page.Items {
					if err := m.event(item); err != nil {
						return err
					}
				}
				if left -= len(page.Items); page.Next == "" {
					return nil
				}
				asked.Set("from", page.Next)
			}
			return nil
		})
	}
	return cmd
}

func (m *Main) eventsTail() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tail", Short: "Print events as they are recorded, until Ctrl-C", Args: none,
		Long:    "Prints the events after --from (default: from now on) and goes on with those to come, until Ctrl-C.",
		Example: "  daybook events tail --category employee",
	}
	query := filter(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
			asked := query()
			if asked.Get("from") == "" {
				var list struct {
					Head string `json:"head"`
				}
				if err := api.get(ctx, "/v1/projections", nil, &list); err != nil {
					return err
				}
				asked.Set("from", list.Head)
			}
			err := api.follow(ctx, "/v1/events", asked, func(data []byte) error { return m.event(data) })
			if ctx.Err() != nil {
				return nil
			}
			return err
		})
	}
	return cmd
}

// event prints one event on one line.
func (m *Main) event(item json.RawMessage) error {
	if m.flags.output == "json" {
		_, err := fmt.Fprintf(m.Stdout, "%s\n", item)
		return err
	}
	var e struct {
		Position   string          `json:"position"`
		Stream     string          `json:"stream"`
		Revision   uint64          `json:"revision"`
		Type       string          `json:"type"`
		RecordedAt string          `json:"recorded_at"`
		Data       json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(item, &e); err != nil {
		return err
	}
	_, err := fmt.Fprintf(m.Stdout, "%s  %s  %s@%d  %s  %s\n", e.Position, e.RecordedAt, e.Stream, e.Revision, e.Type, e.Data)
	return err
}
