package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"daybook.example/domain/access"
)

func (m *Main) tokens() *cobra.Command {
	return group("token", "Issue, list and revoke access tokens", m.tokenIssue(), m.tokenList(), m.tokenRevoke())
}

func (m *Main) tokenIssue() *cobra.Command {
	var role, principal, employeeID string
	life := tokenLife
	cmd := &cobra.Command{
		Use: "issue", Short: "Issue a token; it is shown once, alone on the last line", Args: none,
		Long: `Issues an access token for a role: employee, hr, payroll, finance, auditor, integrator, operator or
admin. Without a running server no token is needed: who can read the folder is its operator.`,
		Example: "  daybook token issue --role auditor --for 720h\n  TOKEN=$(daybook token issue --role integrator | tail -1)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			issue := access.Issue{Role: access.Role(role), Principal: principal}
			if issue.Principal == "" {
				issue.Principal = role
			}
			if employeeID != "" {
				id, err := uuid.Parse(employeeID)
				if err != nil {
					return hint(errors.New("--employee is no UUID"), "name the employee by the ID of /v1/employees")
				}
				issue.EmployeeID = id
			}
			return m.issueToken(cmd.Context(), issue, life)
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "role of the bearer")
	cmd.Flags().StringVar(&principal, "principal", "", "opaque ID of the bearer, no name (default: the role)")
	cmd.Flags().StringVar(&employeeID, "employee", "", "ID of the employee, for role employee")
	cmd.Flags().DurationVar(&life, "for", life, "how long it is valid")
	_ = cmd.MarkFlagRequired("role")
	return cmd
}

// issueToken asks the running server, or else the event store itself: who can
// read the folder is its operator, also when the operator's token has expired.
func (m *Main) issueToken(ctx context.Context, issue access.Issue, life time.Duration) error {
	d, err := openDir(m.flags.dir)
	if err != nil {
		return err
	}
	a, running := d.running()
	var token string
	if _, err := d.operatorToken(); running && (m.flags.token != "" || err == nil) {
		token, err = m.issueOver(ctx, d, a, issue, life)
		if m.flags.token == "" && isUnauthorized(err) {
			token, err = m.issueAlone(ctx, d, issue, life)
		}
		return m.printToken(token, err)
	}
	token, err = m.issueAlone(ctx, d, issue, life)
	return m.printToken(token, err)
}

func (m *Main) printToken(token string, err error) error {
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(m.Stdout, token)
	return err
}

// issueOver issues a token through the running server.
func (m *Main) issueOver(ctx context.Context, d dir, a addresses, issue access.Issue, life time.Duration) (string, error) {
	api, err := m.clientOf(d, a.HTTP)
	if err != nil {
		return "", err
	}
	issue.Expires = time.Now().Add(life).UTC()
	var answer struct {
		Token string `json:"token"`
	}
	err = api.post(ctx, "/v1/tokens", issue, &answer)
	return answer.Token, err
}

// issueAlone needs the event store only, be it another process's.
func (m *Main) issueAlone(ctx context.Context, d dir, issue access.Issue, life time.Duration) (token string, err error) {
	m.flags.keepToThemselves()
	e, err := m.openEngine(ctx, d, !d.locked())
	if err != nil {
		return "", err
	}
	defer func() { err = cmp.Or(err, e.close()) }()
	if err := e.begin(ctx); err != nil {
		return "", err
	}
	return e.issue(ctx, issue, life)
}

func (m *Main) tokenList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all tokens ever issued, without their secrets", Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
				return m.list(ctx, api, "/v1/tokens", url.Values{}, -1, []string{"id", "role", "principal", "employee_id", "expires", "revoked"})
			})
		},
	}
}

func (m *Main) tokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke TOKEN-ID", Short: "End a token at once", Args: one("TOKEN-ID"),
		Example: "  daybook token list\n  daybook token revoke 0b7c...",
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.withServer(cmd.Context(), func(ctx context.Context, api *client) error {
				var answer struct{}
				if err := api.post(ctx, "/v1/tokens/"+url.PathEscape(args[0])+"/revocation", struct{}{}, &answer); err != nil {
					return err
				}
				_, err := fmt.Fprintf(m.Stdout, "%s opens nothing any more\n", args[0])
				return err
			})
		},
	}
}
