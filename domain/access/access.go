// Package access decides who gets a token and when it ends. A token's secret is
// never stored, only its hash: it is shown once, when it is issued. What a role
// may do stands in the table of commands/edge.
package access

import (
	"cmp"
	"errors"
	"regexp"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/field"
)

// Category is the category of the tokens' stream.
const Category = "access"

// Stream is the one stream of all tokens.
const Stream = "access-tokens"

// LifeMax is how long a token lives at most.
const LifeMax = 366 * 24 * time.Hour

// Decider is the behaviour of the set of tokens.
var Decider = domain.Decider[Command, State, Event]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, fact domain.Recorded[Event]) State { return fact.Event.evolve(s, fact.Recording) },
}

// A Command is one intent towards the set of tokens.
type Command interface{ decide(State) ([]Event, error) }

// A Role says what the bearer of a token may do.
type Role string

// The roles.
const (
	Employee   Role = "employee" // sees their own record
	HR         Role = "hr"
	Payroll    Role = "payroll"
	Finance    Role = "finance"
	Auditor    Role = "auditor"
	Integrator Role = "integrator"
	Operator   Role = "operator"
	Admin      Role = "admin"
)

// Roles are all roles.
var Roles = []Role{Employee, HR, Payroll, Finance, Auditor, Integrator, Operator, Admin}

// State is every token ever issued.
type State struct {
	byHash map[string]Token
	hashes map[uuid.UUID]string // by token ID
}

// A Token is what a token stands for.
type Token struct {
	ID           uuid.UUID
	Role         Role
	Principal    string    // opaque
	EmployeeID   uuid.UUID // whom the principal is; none = nobody on record
	Expires      time.Time
	LoopbackOnly bool
	Revoked      bool
}

// Token finds a token by the hex SHA-256 of its secret.
func (s State) Token(hash string) (Token, bool) {
	token, known := s.byHash[hash]
	return token, known
}

// Rules are the stable codes of all refusals, with what each asks for.
var Rules = map[string]string{
	"required":          "the field must be given",
	"value-unknown":     "the value is one of those listed",
	"principal-invalid": "a principal has 1 to 64 letters, digits, dots, colons, - and _",
	"employee-missing":  "a token of role employee names the employee",
	"hash-invalid":      "a hash is a SHA-256 in hex",
	"expires-past":      "a token expires after it is issued",
	"expires-too-late":  "a token lives for 366 days at most",
	"token-exists":      "a token is issued once",
	"token-unknown":     "the token was issued",
}

// A principal stands in the metadata of every event, in clear, for ever: it is
// an opaque ID, no name and no e-mail address.
var principalForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$`)

var hashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Issue makes a token valid.
type Issue struct {
	TokenID      uuid.UUID `json:"-"`
	Hash         string    `json:"-"` // hex SHA-256 of the secret
	IssuedBy     string    `json:"-"` // the principal who asks
	Now          time.Time `json:"-"` // real time, also where the clock is simulated
	Role         Role      `json:"role" enum:"employee,hr,payroll,finance,auditor,integrator,operator,admin"`
	Principal    string    `json:"principal"` // opaque: no name, no e-mail address
	EmployeeID   uuid.UUID `json:"employee_id,omitzero"`
	Expires      time.Time `json:"expires"`
	LoopbackOnly bool      `json:"loopback_only,omitempty"` // refused on other listeners
}

// errNoContext says that the edge left out what only it can know.
var errNoContext = errors.New("access: a command came without its context")

func (c Issue) decide(s State) ([]Event, error) {
	if c.TokenID == uuid.Nil || c.Now.IsZero() || c.IssuedBy == "" {
		return nil, errNoContext
	}
	if err := cmp.Or(
		field.Required("/role", c.Role),
		field.OneOf("/role", c.Role, Roles...),
		field.Required("/expires", c.Expires),
		c.check(),
		s.new(c.TokenID, c.Hash),
	); err != nil {
		return nil, err
	}
	return []Event{TokenIssued{
		TokenID: c.TokenID, Hash: c.Hash, Role: c.Role, Principal: c.Principal, EmployeeID: c.EmployeeID,
		Expires: c.Expires.UTC().Truncate(time.Second), IssuedBy: c.IssuedBy, LoopbackOnly: c.LoopbackOnly,
	}}, nil
}

func (c Issue) check() error {
	switch {
	case !principalForm.MatchString(c.Principal):
		return domain.Refuse("principal-invalid", "/principal", "a principal is an opaque ID of 1 to 64 letters, digits, dots, colons, - and _")
	case c.Role == Employee && c.EmployeeID == uuid.Nil:
		return domain.Refuse("employee-missing", "/employee_id", "a token of role employee names the employee whose record it opens")
	case !c.Expires.After(c.Now):
		return domain.Refuse("expires-past", "/expires", "a token expires after it is issued")
	case c.Expires.After(c.Now.Add(LifeMax)):
		return domain.Refuse("expires-too-late", "/expires", "a token lives for 366 days at most; issue another one then")
	case !hashForm.MatchString(c.Hash):
		return domain.Refuse("hash-invalid", "", "the hash of a token is a SHA-256 in hex")
	}
	return nil
}

func (s State) new(id uuid.UUID, hash string) error {
	_, idKnown := s.hashes[id]
	_, hashKnown := s.byHash[hash]
	if idKnown || hashKnown {
		return domain.Refuse("token-exists", "", "this token was issued before")
	}
	return nil
}

// Revoke ends a token at once.
type Revoke struct {
	TokenID   uuid.UUID `json:"-"` // from the path
	RevokedBy string    `json:"-"` // the principal who asks
}

func (c Revoke) decide(s State) ([]Event, error) {
	hash, known := s.hashes[c.TokenID]
	switch {
	case c.RevokedBy == "":
		return nil, errNoContext
	case !known:
		return nil, &domain.Error{Kind: domain.NotFound, Code: "token-unknown", Message: "no such token was issued"}
	case s.byHash[hash].Revoked:
		return nil, nil
	}
	return []Event{TokenRevoked(c)}, nil
}
