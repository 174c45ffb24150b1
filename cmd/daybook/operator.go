package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"

	"daybook.example/commands"
	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/domain/operation"
)

const tokenLife = 24 * time.Hour

// announce tells the operator where things are.
func (h *house) announce(w io.Writer) {
	fmt.Fprintf(w, "daybook %s is ready\n", version)
	if h.server != nil {
		fmt.Fprintf(w, "  API          %s   (%s/docs)\n", h.server.URL(), h.server.URL())
	}
	if h.node != nil {
		fmt.Fprintf(w, "  event store  esdb://%s?tls=false   (reads; writes go through the API)\n", h.node.Addr())
	}
	fmt.Fprintf(w, "  folder       %s\n", h.dir)
	if h.roles.node || h.roles.api {
		fmt.Fprintf(w, "  addresses    %s   (with the database for dashboards)\n", h.dir.addressesFile())
	}
	if _, err := os.Stat(h.dir.adminToken()); err == nil && h.server != nil {
		fmt.Fprintf(w, "  admin token  %s   (valid for 24 hours from the first start)\n", h.dir.adminToken())
	}
	fmt.Fprintln(w, "Ctrl-C stops it; a second one at once.")
}

// notADemo refuses to mix a made-up company with a real one.
func (h *house) notADemo(ctx context.Context, demo bool) error {
	state, _, _, err := h.operations.State(ctx, operation.Stream)
	if err != nil {
		return err
	}
	if _, is := state.Demo(); is && !demo {
		return hint(fmt.Errorf("%s holds a demo", h.dir), "serve it with --demo, or name another folder with --dir")
	}
	return nil
}

// firstToken issues the admin token of an empty log into DIR/admin.token.
func (h *house) firstToken(ctx context.Context) error {
	_, _, exists, err := h.handlers.Tokens.State(ctx, access.Stream)
	if err != nil || exists {
		return err
	}
	token, err := h.issue(ctx, access.Issue{Role: access.Admin, Principal: "admin"}, tokenLife)
	if err != nil {
		return err
	}
	return writeSecret(h.dir.adminToken(), token+"\n")
}

// ownToken is the folder's operator token while it opens, else one for the time
// of a verb: asking a question leaves no trace in the log if that can be helped.
func (h *house) ownToken(ctx context.Context) (string, error) {
	if token, err := h.dir.operatorToken(); err == nil {
		if _, err := h.tokens.Check(token, time.Now().Add(time.Minute), true); err == nil {
			return token, nil
		}
	}
	return h.issue(ctx, access.Issue{Role: access.Admin, Principal: "operator", LoopbackOnly: true}, time.Hour)
}

// issue makes a token; real time counts, also where the clock is simulated.
func (e *engine) issue(ctx context.Context, with access.Issue, life time.Duration) (token string, err error) {
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return "", err
	}
	token = edge.TokenOf(secret)
	command := uuid.New()
	with.TokenID, with.Hash, with.IssuedBy = domain.EntityID(command), edge.HashToken(token), system
	with.Now = time.Now()
	with.Expires = with.Now.Add(life)
	_, err = e.handlers.Tokens.Handle(ctx, access.Stream, commands.Request{
		CommandID: command, CorrelationID: command, CausationID: command, Principal: system, Kind: domain.Service, Creating: true, Fresh: true,
	}, with)
	return token, err
}
