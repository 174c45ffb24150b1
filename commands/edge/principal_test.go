package edge

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/test/limit"
)

func contains(words, word string) bool {
	for _, w := range strings.Fields(words) {
		if w == word {
			return true
		}
	}
	return false
}

var noon = time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)

func codeFor(t *testing.T, err error) string {
	t.Helper()
	p, known := ProblemOf(err)
	require.True(t, known)
	require.Equal(t, 401, p.Status)
	return p.Code
}

func TestATokenOpensUntilItEnds(t *testing.T) {
	t.Parallel()
	tokens, secret := NewTokens(), TokenOf([32]byte{1})
	_, err := tokens.Check(secret, noon, true)
	require.Equal(t, "token-unknown", codeFor(t, err))

	event := issued(0, secret, access.Integrator, noon.Add(time.Hour))
	require.NoError(t, tokens.Apply(event))
	require.NoError(t, tokens.Apply(event), "a repeat after a resubscription")
	p, err := tokens.Check(secret, noon, false)
	require.NoError(t, err)
	require.Equal(t, access.Integrator, p.Role)
	require.Equal(t, domain.Service, p.Kind)
	require.Equal(t, "p-integrator", p.ID)

	_, err = tokens.Check(secret, noon.Add(time.Hour), true)
	require.Equal(t, "token-expired", codeFor(t, err))
	require.NoError(t, tokens.Apply(tokenEvent(1, access.TokenRevoked{TokenID: p.TokenID})))
	_, err = tokens.Check(secret, noon, true)
	require.Equal(t, "token-revoked", codeFor(t, err))
	require.NoError(t, tokens.Wait(context.Background(), 1))
}

func TestADemoTokenOpensOnlyOnTheMachineItself(t *testing.T) {
	t.Parallel()
	tokens, secret := NewTokens(), TokenOf([32]byte{2})
	require.NoError(t, tokens.Apply(tokenEvent(0, access.TokenIssued{
		TokenID: domain.Derive("t"), Hash: HashToken(secret), Role: access.Admin, Principal: "demo", Expires: noon.Add(time.Hour), LoopbackOnly: true,
	})))
	_, err := tokens.Check(secret, noon, true)
	require.NoError(t, err)
	_, err = tokens.Check(secret, noon, false)
	require.Equal(t, "token-loopback-only", codeFor(t, err))
}

func TestAnUnreadableTokenEventIsNotPassedOver(t *testing.T) {
	t.Parallel()
	tokens := NewTokens()
	event := tokenEvent(0, access.TokenRevoked{})
	event.Type = "access-token-somehow-ended"
	require.ErrorIs(t, tokens.Apply(event), domain.ErrUnknownType)
	event = tokenEvent(0, access.TokenRevoked{})
	event.Metadata = []byte(`{"schema_version":2}`)
	require.ErrorIs(t, tokens.Apply(event), domain.ErrUnknownType, "of a later Daybook")
	event = tokenEvent(0, access.TokenRevoked{})
	event.Metadata = []byte("{")
	require.Error(t, tokens.Apply(event))
}

func TestWaitingForTokensEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, NewTokens().Wait(ctx, 0), context.DeadlineExceeded)
	require.ErrorIs(t, NewTokens().Ready(ctx), context.DeadlineExceeded)
}

// Control: with a MAC over the raw bytes this fails at the first reordering.
func TestTheCanonicalFormIgnoresSpaceAndOrderAndNothingElse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.MapOf(rapid.StringMatching(`[a-z]{1,5}`), rapid.String()).Draw(t, "body")
		plain, err := json.Marshal(body)
		require.NoError(t, err)
		spaced, err := json.MarshalIndent(body, "", "  ")
		require.NoError(t, err)
		one, err := Canonical(plain)
		require.NoError(t, err)
		two, err := Canonical(spaced)
		require.NoError(t, err)
		require.Equal(t, string(one), string(two))
		body["other"] = "value"
		changed, err := json.Marshal(body)
		require.NoError(t, err)
		three, err := Canonical(changed)
		require.NoError(t, err)
		require.NotEqual(t, string(one), string(three))
	})
}

// Whatever comes, Decode answers with a value or a problem that repeats nothing.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"name":"a","day":"2025-01-01","pay":{"amount":"1.50","currency":"EUR"},"inner":[{"code":"x"}]}`,
		`{"name":1}`, `{"name":"a","name":"b"}`, `{"$personal":1}`, `{"count":1e999}`, `[[[[`, "{\"name\":\"\xff\"}", `{"a":{"b":{"c":[1,2,{}]}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		defer limit.Input(t, len(raw))()
		_, err := Decode[thing](raw)
		if err == nil {
			require.True(t, jsontext.Value(raw).IsValid(), "accepted what is not JSON")
			_, err = Canonical(raw)
			require.NoError(t, err)
			return
		}
		p, known := ProblemOf(err)
		require.True(t, known)
		require.Contains(t, []int{400, 422}, p.Status)
	})
}
