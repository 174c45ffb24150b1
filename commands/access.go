package commands

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"daybook.example/commands/edge"
	"daybook.example/domain/access"
	"daybook.example/eventstore"
)

func (w *writes) accessRoutes() {
	issue := write{path: "/v1/tokens", action: edge.IssueToken, summary: "Issue a token; its answer is the only place where it is shown", creating: true, makes: true}
	edge.Register(w.api, w.operation(issue, edge.SchemaOf[access.Issue](w.api)), func(ctx context.Context, in *writeInput) (*issued, error) {
		return w.issueToken(ctx, issue, in)
	})
	add(w, write{path: "/v1/tokens/{id}/revocation", action: edge.RevokeToken, summary: "End a token at once"}, w.revokeToken)
	edge.Register(w.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/tokens", Summary: "All tokens ever issued, without their secrets", Tag: "tokens", Action: edge.ReadTokens,
	}, w.listTokens)
	delete(w.imported, string(edge.RevokeToken)) // who may do what comes from no file
}

// issued is the answer to the issue of a token.
type issued struct {
	Status   int
	Position string `header:"Daybook-Position"`
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     IssuedToken
}

// IssuedToken is the answer to the issue of a token, with the token itself.
type IssuedToken struct {
	Answer
	Token string `json:"token" doc:"Send it as Authorization: Bearer TOKEN. It is stored nowhere."`
}

// issueToken makes the token of the command: whoever sends the same command again
// because an answer was lost gets the same token, and nobody else can make it.
func (w *writes) issueToken(ctx context.Context, d write, in *writeInput) (*issued, error) {
	c, err := w.call(ctx, in, nil)
	if err != nil {
		return nil, err
	}
	token := w.tokenOf(c)
	command, err := start(ctx, d, c, in.RawBody, func(ctx context.Context, c call, body access.Issue) (pending, error) {
		body.TokenID, body.Hash, body.IssuedBy, body.Now = c.entity(), edge.HashToken(token), c.Principal, time.Now()
		return w.accessCommand(ctx, c, body, body.TokenID.String()), nil
	})
	if err != nil {
		return nil, err
	}
	answer, err := command()
	if err != nil {
		return nil, err
	}
	if c.DryRun {
		token = ""
	}
	out := d.written(ctx, c, answer)
	return &issued{out.Status, out.Position, out.ETag, out.Location, IssuedToken{answer, token}}, nil
}

// tokenOf is a token that needs the key store to be made.
func (w *writes) tokenOf(c call) string {
	h := hmac.New(sha256.New, w.Core.Keys.Secret("tokens"))
	fmt.Fprint(h, c.CommandID)
	return edge.TokenOf([32]byte(h.Sum(nil)))
}

func (w *writes) revokeToken(ctx context.Context, c call, _ struct{}) (pending, error) {
	id, err := c.id("id")
	if err != nil {
		return nil, err
	}
	return w.accessCommand(ctx, c, access.Revoke{TokenID: id, RevokedBy: c.Principal}, id.String()), nil
}

// accessCommand answers once this process knows of the change itself.
func (w *writes) accessCommand(ctx context.Context, c call, command access.Command, id string) pending {
	carried := w.Tokens.submit(ctx, access.Stream, c.Request, command).of(id)
	return func() (Answer, error) {
		answer, err := carried()
		if err != nil || c.DryRun {
			return answer, err
		}
		return answer, w.tokens.Wait(ctx, answer.Revision)
	}
}

// TokenListParams choose a page of the list of tokens.
type TokenListParams struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Items a page."`
	Cursor string `query:"cursor" pattern:"^[0-9]{1,18}$" doc:"The next of the page before; opaque."`
}

// TokenList is a page of the list of tokens.
type TokenList struct {
	Items    []edge.TokenEntry   `json:"items"`
	Next     string              `json:"next,omitempty" doc:"Give it as cursor for the next page."`
	Position eventstore.Position `json:"position"`
}

type tokenListed struct{ Body TokenList }

func (w *writes) listTokens(_ context.Context, in *TokenListParams) (*tokenListed, error) {
	var from uint64
	if in.Cursor != "" {
		from, _ = strconv.ParseUint(in.Cursor, 10, 64) // the pattern lets nothing else in
	}
	entries, at := w.tokens.List(from, in.Limit+1)
	out := &tokenListed{TokenList{Items: []edge.TokenEntry{}, Position: at}}
	if len(entries) > in.Limit {
		out.Body.Next = strconv.FormatUint(entries[in.Limit].Revision, 10)
		entries = entries[:in.Limit]
	}
	out.Body.Items = append(out.Body.Items, entries...)
	return out, nil
}
