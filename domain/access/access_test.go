package access_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
	. "daybook.example/domain/access"
	"daybook.example/domain/domaintest"
)

var (
	id    = uuid.MustParse("00000000-0000-4000-8000-000000000001")
	other = uuid.MustParse("00000000-0000-4000-8000-000000000002")
	hash  = strings.Repeat("0a", 32)
	now   = time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)
	soon  = now.Add(time.Hour)
)

func given(t testing.TB, events ...Event) domaintest.Spec[Command, State, Event] {
	return domaintest.For(t, Decider).Given(events...)
}

func issue(change func(*Issue)) Issue {
	c := Issue{TokenID: id, Hash: hash, IssuedBy: "operator", Now: now, Role: Auditor, Principal: "auditor-1", Expires: soon}
	change(&c)
	return c
}

func asIs(*Issue) {}

func issued(id uuid.UUID, hash string) TokenIssued {
	return TokenIssued{TokenID: id, Hash: hash, Role: Auditor, Principal: "auditor-1", Expires: soon, IssuedBy: "operator"}
}

func TestIssuing(t *testing.T) {
	t.Parallel()
	given(t).When(issue(asIs)).Then(issued(id, hash))
	own := issue(func(c *Issue) { c.Role, c.EmployeeID, c.LoopbackOnly = Employee, other, true })
	given(t).When(own).Then(TokenIssued{id, hash, Employee, "auditor-1", other, soon, "operator", true})
	berlin := time.FixedZone("", 3600)
	given(t).When(issue(func(c *Issue) { c.Expires = soon.In(berlin).Add(time.Millisecond) })).Then(issued(id, hash))
}

func TestRevoking(t *testing.T) {
	t.Parallel()
	given(t, issued(id, hash)).When(Revoke{id, "admin"}).Then(TokenRevoked{id, "admin"})
	given(t, issued(id, hash), TokenRevoked{id, "admin"}).When(Revoke{id, "other"}).Then()
}

func TestTokensAreFoundByHash(t *testing.T) {
	t.Parallel()
	state := given(t, issued(id, hash), TokenRevoked{id, "admin"}, TokenRevoked{other, "admin"}).State()
	token, known := state.Token(hash)
	require.True(t, known)
	require.Equal(t, Token{ID: id, Role: Auditor, Principal: "auditor-1", Expires: soon, Revoked: true}, token)
	_, known = state.Token("")
	require.False(t, known)
}

func refusal(code, field string, given []Event, when Command) domaintest.Refusal[Command, Event] {
	return domaintest.Refusal[Command, Event]{Code: code, Field: field, Given: given, When: when}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	domaintest.Refusals(t, Decider, Rules,
		refusal("required", "/role", nil, issue(func(c *Issue) { c.Role = "" })),
		refusal("required", "/expires", nil, issue(func(c *Issue) { c.Expires = time.Time{} })),
		refusal("value-unknown", "/role", nil, issue(func(c *Issue) { c.Role = "root" })),
		refusal("principal-invalid", "/principal", nil, issue(func(c *Issue) { c.Principal = "" })),
		refusal("principal-invalid", "/principal", nil, issue(func(c *Issue) { c.Principal = "sally@example.com" })),
		refusal("employee-missing", "/employee_id", nil, issue(func(c *Issue) { c.Role = Employee })),
		refusal("expires-past", "/expires", nil, issue(func(c *Issue) { c.Expires = now })),
		refusal("expires-too-late", "/expires", nil, issue(func(c *Issue) { c.Expires = now.Add(LifeMax + time.Second) })),
		refusal("hash-invalid", "", nil, issue(func(c *Issue) { c.Hash = "secret" })),
		refusal("token-exists", "", []Event{issued(id, hash)}, issue(func(c *Issue) { c.TokenID = other })),
		refusal("token-exists", "", []Event{issued(id, hash)}, issue(func(c *Issue) { c.Hash = strings.Repeat("0b", 32) })),
		refusal("token-unknown", "", []Event{issued(id, hash)}, Revoke{other, "admin"}),
	)
}

func TestWithoutContextNothingIsDecided(t *testing.T) {
	t.Parallel()
	for _, c := range []Command{issue(func(c *Issue) { c.TokenID = uuid.Nil }), issue(func(c *Issue) { c.Now = time.Time{} }), issue(func(c *Issue) { c.IssuedBy = "" }), Revoke{TokenID: id}} {
		_, err := Decider.Decide(given(t, issued(id, hash)).State(), c)
		require.ErrorContains(t, err, "context")
	}
}

func TestStoredShapes(t *testing.T) {
	t.Parallel()
	domaintest.Stored[Event](t, Catalog,
		issued(id, hash),
		TokenIssued{other, hash, Employee, "employee-7", other, soon, "operator", true},
		TokenRevoked{id, "admin"},
	)
	domaintest.EveryEventIsListed(t, Catalog)
	domaintest.WireForm[Command](t, Issue{}, Revoke{})
}

func TestProperties(t *testing.T) {
	t.Parallel()
	ids := rapid.SampledFrom([]uuid.UUID{id, other, {}})
	domaintest.Properties(t, domaintest.Model[Command, State, Event]{
		Decider: Decider, Catalog: Catalog,
		Draw: func(t *rapid.T, _ []domain.Recorded[Event]) Command {
			if rapid.Bool().Draw(t, "revoke") {
				return Revoke{ids.Draw(t, "id"), "admin"}
			}
			return issue(func(c *Issue) {
				c.TokenID, c.EmployeeID = ids.Draw(t, "id"), ids.Draw(t, "employee")
				c.Hash = strings.Repeat(rapid.SampledFrom([]string{"0a", "0b", "x"}).Draw(t, "hash"), 32)
				c.Role = rapid.SampledFrom(append(slices.Clone(Roles), "")).Draw(t, "role")
				c.Expires = now.Add(time.Duration(rapid.Int64Range(1, 9000).Draw(t, "hours")) * time.Hour)
			})
		},
	})
}
