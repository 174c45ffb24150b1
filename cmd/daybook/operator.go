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
)

const tokenLife = 24 * time.Hour

// announce tells the operator where things are.
func (h *house) announce(w io.Writer) {
	fmt.Fprintf(w, "daybook %s is ready\n", version)
	switch {
	case h.roles.api:
		fmt.Fprintf(w, "  API          %s   (%s/docs)\n", h.server.URL(), h.server.URL())
	case h.server != nil:
		fmt.Fprintf(w, "  health       %s/healthz   (metrics at /metrics)\n", h.server.URL())
	}
	if h.node != nil {
		fmt.Fprintf(w, "  event store  %s   (%s)\n", h.nodeURL, h.flags.nodeAccess(h.dir))
	}
	fmt.Fprintf(w, "  folder       %s\n", h.dir)
	if h.roles.node || h.roles.api {
		fmt.Fprintf(w, "  addresses    %s   (with the database for dashboards)\n", h.dir.addressesFile())
	}
	if _, err := os.Stat(h.dir.adminTokenFile()); err == nil && h.roles.api {
		fmt.Fprintf(w, "  admin token  %s   (valid for 24 hours)\n", h.dir.adminTokenFile())
	}
	fmt.Fprintln(w, "Ctrl-C stops it; a second one at once.")
}

// begin learns which log it is, and makes the first entries of an empty one.
func (e *engine) begin(ctx context.Context) error {
	if err := e.nameLog(ctx); err != nil {
		return err
	}
	_, _, exists, err := e.handlers.Tokens.State(ctx, access.Stream)
	if err != nil || exists {
		return err
	}
	return e.adminToken(ctx)
}

// adminToken issues an admin token into DIR/admin.token.
func (e *engine) adminToken(ctx context.Context) error {
	token, err := e.issue(ctx, access.Issue{Role: access.Admin, Principal: "admin"}, tokenLife)
	if err != nil {
		return err
	}
	return writeSecret(e.dir.adminTokenFile(), token+"\n")
}

// ownToken is the folder's operator token. One that opens no longer is issued
// anew; as long as it does, asking a question leaves no trace in the log.
func (h *house) ownToken(ctx context.Context) (string, error) {
	if token, err := h.dir.operatorToken(); err == nil {
		if _, err := h.tokens.Check(token, time.Now().Add(time.Minute), true); err == nil {
			return token, nil
		}
	}
	if err := h.adminToken(ctx); err != nil {
		return "", err
	}
	return h.dir.operatorToken()
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
