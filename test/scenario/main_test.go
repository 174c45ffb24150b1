// Package scenario tells stories to the real program over HTTP and reads the
// answers as its users do.
package scenario

import (
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/test/program"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

// tokenOf is a client under a role's own token.
func tokenOf(t *testing.T, admin *program.Client, role string) *program.Client {
	t.Helper()
	answer := program.Must(t)(admin.Post(t.Context(), "/v1/tokens", program.JSON{
		"role": role, "principal": role + "-desk", "expires": time.Now().Add(time.Hour).UTC(),
	}))
	var issued struct{ Token string }
	require.NoError(t, answer.Into(&issued))
	return admin.As(issued.Token)
}

// belief is what is asked of an employee as of two times; an empty one is not asked.
func belief(t *testing.T, c *program.Client, id, validAt, knownAt string) program.Answer {
	t.Helper()
	query := url.Values{}
	for name, value := range map[string]string{"valid_at": validAt, "known_at": knownAt} {
		if value != "" {
			query.Set(name, value)
		}
	}
	answer, err := c.Get(t.Context(), "/v1/employees/"+id, query)
	require.NoError(t, err)
	return answer
}

// pay is the amount that an employee earned on a day, as it was known then.
func pay(t *testing.T, c *program.Client, id, validAt, knownAt string) string {
	t.Helper()
	var record struct {
		Facts struct {
			Compensation struct{ Amount struct{ Amount string } }
		}
		ValidAt string `json:"valid_at"`
		KnownAt string `json:"known_at"`
	}
	require.NoError(t, belief(t, c, id, validAt, knownAt).Into(&record))
	require.Equal(t, validAt, record.ValidAt)
	require.Equal(t, knownAt, record.KnownAt)
	return record.Facts.Compensation.Amount.Amount
}
