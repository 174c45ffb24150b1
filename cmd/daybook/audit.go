package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func (m *Main) audit() *cobra.Command {
	return group("audit", "See who changed what, when and why", m.auditLog(), m.auditHistory())
}

func (m *Main) auditLog() *cobra.Command {
	filters := map[string]*string{}
	limit := 20
	cmd := &cobra.Command{
		Use: "log", Short: "List the audited events, oldest first, with old and new values", Args: none,
		Example: "  daybook audit log --actor finance-desk --from 2025-01-01T00:00:00Z --limit 10\n  daybook audit log --document S-2024-06-1 --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"limit": {strconv.Itoa(min(max(limit, 1), 500))}}
			for name, value := range filters {
				if *value != "" {
					query.Set(name, *value)
				}
			}
			return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
				return m.list(ctx, api, "/v1/audit/events", query, limit,
					[]string{"recorded_at", "actor_id", "event_type", "entity_id", "effective_at", "document_no", "changes"})
			})
		},
	}
	for name, use := range map[string]string{
		"actor": "principal who acted", "entity": "ID of the employee, entry, book and so on", "type": "event type", "document": "document number",
		"from": "recorded at or after, RFC 3339", "to": "recorded before, RFC 3339",
	} {
		filters[name] = cmd.Flags().String(name, "", use)
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "how many")
	return cmd
}

// auditHistory prints the grid of an employee's facts: what was believed of
// which days, and since when.
func (m *Main) auditHistory() *cobra.Command {
	attribute := ""
	cmd := &cobra.Command{
		Use: "history EMPLOYEE", Short: "Show what was believed of an employee, and from when to when", Args: one("EMPLOYEE"),
		Example: "  daybook audit history 0b7c...  --attribute compensation",
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if attribute != "" {
				query.Set("attribute", attribute)
			}
			return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
				var facts struct {
					Items []json.RawMessage `json:"items"`
				}
				if err := api.get(ctx, "/v1/employees/"+url.PathEscape(args[0])+"/facts", query, &facts); err != nil {
					return err
				}
				columns := []string{"attribute", "valid_from", "valid_to", "recorded_from", "recorded_to", "cause", "value"}
				table := tabwriter.NewWriter(m.Stdout, 0, 4, 2, ' ', 0)
				if m.flags.output == "table" {
					fmt.Fprintln(table, "ATTRIBUTE\tVALID FROM\tVALID TO\tBELIEVED FROM\tBELIEVED TO\tCAUSE\tVALUE")
				}
				for _, item := range facts.Items {
					if err := m.row(table, item, columns); err != nil {
						return err
					}
				}
				return table.Flush()
			})
		},
	}
	cmd.Flags().StringVar(&attribute, "attribute", "", "only this attribute, such as compensation")
	return cmd
}
