package access

import (
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
)

// Event is one fact in the tokens' stream. The types below are the stored
// format: fields may be added, never renamed or reused; a changed meaning is a
// new event. testdata/stored.golden pins every shape.
type Event interface {
	domain.Named
	evolve(State, domain.Recording) State
}

// Catalog decodes every event of the tokens' stream.
var Catalog = domain.NewCatalog(
	domain.Is(asEvent[TokenIssued]),
	domain.Is(asEvent[TokenRevoked]),
)

func asEvent[E Event](event E) Event { return event }

// TokenIssued makes a token valid.
type TokenIssued struct {
	TokenID      uuid.UUID `json:"token_id"`
	Hash         string    `json:"hash"` // hex SHA-256 of the secret
	Role         Role      `json:"role"`
	Principal    string    `json:"principal"`
	EmployeeID   uuid.UUID `json:"employee_id,omitzero"`
	Expires      time.Time `json:"expires"` // UTC
	IssuedBy     string    `json:"issued_by"`
	LoopbackOnly bool      `json:"loopback_only,omitempty"`
}

// TokenRevoked ends a token.
type TokenRevoked struct {
	TokenID   uuid.UUID `json:"token_id"`
	RevokedBy string    `json:"revoked_by"`
}

// EventType is the stored name.
func (TokenIssued) EventType() string { return "access-token-issued" }

// EventType is the stored name.
func (TokenRevoked) EventType() string { return "access-token-revoked" }

func (e TokenIssued) evolve(s State, _ domain.Recording) State {
	if s.byHash == nil {
		s.byHash, s.hashes = map[string]Token{}, map[uuid.UUID]string{}
	}
	s.hashes[e.TokenID] = e.Hash
	s.byHash[e.Hash] = Token{
		ID: e.TokenID, Role: e.Role, Principal: e.Principal, EmployeeID: e.EmployeeID,
		Expires: e.Expires, LoopbackOnly: e.LoopbackOnly,
	}
	return s
}

func (e TokenRevoked) evolve(s State, _ domain.Recording) State {
	hash, known := s.hashes[e.TokenID]
	if !known {
		return s
	}
	token := s.byHash[hash]
	token.Revoked = true
	s.byHash[hash] = token
	return s
}
