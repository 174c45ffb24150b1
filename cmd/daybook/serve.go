package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"daybook.example/domain/operation"
)

// roles of a process: which parts of the house run in it.
type roles struct{ node, api, projections, processes bool }

var allRoles = roles{node: true, api: true, projections: true, processes: true}

func parseRoles(text string) (r roles, err error) {
	for name := range strings.SplitSeq(text, ",") {
		switch strings.TrimSpace(name) {
		case "node":
			r.node = true
		case "api":
			r.api = true
		case "projections":
			r.projections = true
		case "processes":
			r.processes = true
		default:
			return r, hint(fmt.Errorf("unknown role %q", name), "give some of node,api,projections,processes")
		}
	}
	return r, nil
}

func (m *Main) serve() *cobra.Command {
	var names string
	var continueDemo bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the event store, the API and the projectors in --dir until Ctrl-C",
		Long: `Runs the roles of this process until Ctrl-C or SIGTERM: the embedded event store (node), the
HTTP API (api), the projectors (projections) and the process managers (processes). Nothing needs to be installed but Postgres binaries.

Several processes may share one folder, each with some of the roles; one of them has role node. Of
those with role projections one owns each read model, and the others stand by and take over when it
is gone. A process without role api answers for its health and its metrics where --listen is given.

On an empty log one admin token is issued, valid for 24 hours, into DIR/admin.token.`,
		Example: `  daybook serve
  daybook serve --dir ./books --listen 127.0.0.1:9000
  daybook serve --roles node,api
  daybook serve --roles projections --listen 127.0.0.1:9001
  DAYBOOK_EVENTSTORE='esdb://host:2113?tls=true' daybook serve`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := parseRoles(names)
			if err != nil {
				return err
			}
			d, err := openDir(m.flags.dir)
			if err != nil {
				return err
			}
			return m.serveUntilDone(cmd.Context(), d, r, continueDemo)
		},
	}
	cmd.Flags().StringVar(&names, "roles", "node,api,projections,processes", "roles of this process")
	cmd.Flags().BoolVar(&continueDemo, "demo", false, "serve a folder that holds a demo")
	return cmd
}

func (m *Main) serveUntilDone(ctx context.Context, d dir, r roles, demo bool) error {
	h, err := m.open(ctx, d, r)
	if err != nil {
		return err
	}
	return cmp.Or(h.serve(ctx, m.Stdout, demo), h.close())
}

func (h *house) serve(ctx context.Context, out io.Writer, demo bool) error {
	if err := h.begin(ctx); err != nil {
		return err
	}
	if err := h.notADemo(ctx, demo); err != nil {
		return err
	}
	if err := h.stay(ctx); err != nil {
		return err
	}
	h.announce(out)
	return h.wait(ctx)
}

// notADemo refuses to mix a made-up company with a real one.
func (h *house) notADemo(ctx context.Context, demo bool) error {
	state, _, _, err := h.handlers.Operations.State(ctx, operation.Stream)
	if err != nil {
		return err
	}
	if _, is := state.Demo(); is && !demo {
		return hint(fmt.Errorf("%s holds a demo", h.dir), "serve it with --demo, or name another folder with --dir")
	}
	return nil
}
