package edge

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/eventstore"
)

// A Principal is who sends a request.
type Principal struct {
	ID         string // opaque; the actor of what is recorded
	Role       Role
	EmployeeID uuid.UUID // whom the principal is; none = nobody on record
	TokenID    uuid.UUID
	Kind       domain.ActorKind
}

type principalKey struct{}

// PrincipalFrom tells who sends the request that ctx belongs to.
func PrincipalFrom(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}

// WithPrincipal makes a context in which a principal acts.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// TokenPrefix begins every token, so that one that strays is recognised.
const TokenPrefix = "daybook_"

// TokenOf makes a token of 32 bytes that nobody can guess.
func TokenOf(secret [32]byte) string {
	return TokenPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
}

// HashToken is the form in which a token is stored and compared.
func HashToken(token string) string {
	hash := sha256.Sum256([]byte(token))
	return hex.EncodeToString(hash[:])
}

// Tokens are all tokens ever issued, folded in memory from their stream.
type Tokens struct {
	mu     sync.Mutex
	state  access.State
	issued []issue // in their order
	next   uint64  // revision after the last one folded
	at     eventstore.Position
	caught bool          // the stream's end was reached once
	moved  chan struct{} // closed when next or caught changes
}

// issue is where a token was issued and how it is found.
type issue struct {
	revision eventstore.Revision
	event    access.TokenIssued
}

// NewTokens makes an empty set: it knows nothing until it follows the stream.
func NewTokens() *Tokens { return &Tokens{moved: make(chan struct{})} }

// Follow folds the stream of tokens until ctx ends, and comes back to it after
// every error.
func (t *Tokens) Follow(ctx context.Context, store eventstore.Reader, logger *slog.Logger) {
	wait := 50 * time.Millisecond
	for ctx.Err() == nil {
		progress, err := t.follow(ctx, store)
		if ctx.Err() != nil {
			return
		}
		logger.Warn("the stream of tokens is subscribed to again", "error", err)
		if progress {
			wait = 50 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
}

func (t *Tokens) follow(ctx context.Context, store eventstore.Reader) (progress bool, err error) {
	subscription, err := store.SubscribeStream(ctx, access.Stream, t.after())
	if err != nil {
		return false, err
	}
	defer subscription.Close()
	for {
		message, err := subscription.Recv(ctx)
		if err != nil {
			return progress, err
		}
		progress = true
		if message.Event != nil {
			err = t.Apply(*message.Event)
		} else if message.CaughtUp {
			t.move(func() { t.caught = true })
		}
		if err != nil {
			return progress, err
		}
	}
}

func (t *Tokens) after() *eventstore.Revision {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next == 0 {
		return nil
	}
	last := t.next - 1
	return &last
}

// Apply folds one event of the stream. An event that cannot be read is an error:
// it could be the revocation of a token.
func (t *Tokens) Apply(recorded eventstore.Recorded) error {
	var metadata struct {
		SchemaVersion int `json:"schema_version"`
	}
	if err := domain.Unmarshal(recorded.Metadata, &metadata); err != nil {
		return fmt.Errorf("read the metadata of revision %d of %s: %w", recorded.Revision, recorded.Stream, err)
	}
	event, err := access.Catalog.Decode(recorded.Type, metadata.SchemaVersion, recorded.Data)
	if err != nil {
		return fmt.Errorf("revision %d of %s: %w", recorded.Revision, recorded.Stream, err)
	}
	t.move(func() {
		if recorded.Revision < t.next {
			return
		}
		fact := domain.Recorded[access.Event]{Recording: domain.Recording{ID: recorded.ID, Revision: recorded.Revision}, Event: event}
		t.state, t.next, t.at = access.Decider.Evolve(t.state, fact), recorded.Revision+1, recorded.Position
		if made, ok := event.(access.TokenIssued); ok {
			t.issued = append(t.issued, issue{recorded.Revision, made})
		}
	})
	return nil
}

func (t *Tokens) move(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
	close(t.moved)
	t.moved = make(chan struct{})
}

// Ready waits until all tokens issued before are known.
func (t *Tokens) Ready(ctx context.Context) error {
	return t.wait(ctx, func() bool { return t.caught })
}

// Wait waits until the event at revision is folded: then a token just issued
// opens, and one just revoked no longer does.
func (t *Tokens) Wait(ctx context.Context, revision eventstore.Revision) error {
	return t.wait(ctx, func() bool { return t.next > revision })
}

func (t *Tokens) wait(ctx context.Context, until func() bool) error {
	for {
		t.mu.Lock()
		done, moved := until(), t.moved
		t.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the stream of tokens: %w", ctx.Err())
		case <-moved:
		}
	}
}

// A TokenEntry is what a list shows of a token: never its secret nor its hash.
type TokenEntry struct {
	ID           uuid.UUID `json:"id"`
	Role         Role      `json:"role"`
	Principal    string    `json:"principal"`
	EmployeeID   uuid.UUID `json:"employee_id,omitzero"`
	Expires      time.Time `json:"expires"`
	Revoked      bool      `json:"revoked"`
	LoopbackOnly bool      `json:"loopback_only,omitempty"`
	IssuedBy     string    `json:"issued_by"`

	Revision eventstore.Revision `json:"-"` // where it was issued
}

// List shows at most max tokens, in the order of their issue, of those issued at
// revision from or later, with the position that this is known at.
func (t *Tokens) List(from eventstore.Revision, max int) (entries []TokenEntry, at eventstore.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first, _ := slices.BinarySearchFunc(t.issued, from, func(i issue, revision eventstore.Revision) int { return cmp.Compare(i.revision, revision) })
	for _, i := range t.issued[first:min(first+max, len(t.issued))] {
		token, _ := t.state.Token(i.event.Hash)
		entries = append(entries, TokenEntry{
			ID: token.ID, Role: token.Role, Principal: token.Principal, EmployeeID: token.EmployeeID, Expires: token.Expires,
			Revoked: token.Revoked, LoopbackOnly: token.LoopbackOnly, IssuedBy: i.event.IssuedBy, Revision: i.revision,
		})
	}
	return entries, t.at
}

// Check finds out who bears a token. What it refuses says why with a code, and
// nothing about other tokens.
func (t *Tokens) Check(token string, now time.Time, loopback bool) (Principal, error) {
	t.mu.Lock()
	found, known := t.state.Token(HashToken(token))
	t.mu.Unlock()
	switch {
	case !known:
		return Principal{}, unauthorized("token-unknown", "no such token was issued")
	case found.Revoked:
		return Principal{}, unauthorized("token-revoked", "this token was revoked; ask for another one")
	case !now.Before(found.Expires):
		return Principal{}, unauthorized("token-expired", "this token has expired; ask for another one")
	case found.LoopbackOnly && !loopback:
		return Principal{}, unauthorized("token-loopback-only", "this token opens only on the machine itself, over a loopback address")
	}
	return Principal{ID: found.Principal, Role: found.Role, EmployeeID: found.EmployeeID, TokenID: found.ID, Kind: kindOf(found.Role)}, nil
}

// kindOf tells people from machines by what the role is for.
func kindOf(role Role) domain.ActorKind {
	if role == access.Integrator || role == access.Operator {
		return domain.Service
	}
	return domain.User
}

func unauthorized(code, detail string) *Problem {
	return NewProblem(http.StatusUnauthorized, code, detail).With("WWW-Authenticate", `Bearer realm="daybook"`)
}

var errNoToken = errors.New("no bearer token")

// bearer is the token of a request.
func bearer(r *http.Request) (string, error) {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errNoToken
	}
	return token, nil
}

// authenticate finds out who sends a request.
func (a *API) authenticate(r *http.Request) (Principal, error) {
	token, err := bearer(r)
	if err != nil {
		return Principal{}, unauthorized("token-missing", "this needs a token").Hinting("send the header Authorization: Bearer TOKEN; the verb `daybook token issue` makes one")
	}
	return a.tokens.Check(token, a.now(), viaLoopback(r))
}
