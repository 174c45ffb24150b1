package field_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	. "daybook.example/domain/field"
)

func refused(t *testing.T, err error, code string) {
	t.Helper()
	var refusal *domain.Error
	require.True(t, errors.As(err, &refusal))
	require.Equal(t, code, refusal.Code)
	require.Equal(t, "/lines/0/name", refusal.Field)
	require.True(t, strings.HasPrefix(refusal.Message, "name "), "the message says which field: %s", refusal.Message)
}

const at = "/lines/0/name"

func TestText(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"", "a", "Müller & Söhne", strings.Repeat("ü", TextMax), "a b", "a\u00a0b"} {
		require.NoError(t, Text(at, good))
	}
	for _, bad := range []string{" a", "a ", "a\nb", "a\x00", "\u0085", "\xff", strings.Repeat("a", TextMax+1), " "} {
		refused(t, Text(at, bad), "text-invalid")
	}
	require.NoError(t, Line(at, "a"))
	refused(t, Line(at, ""), "required")
	refused(t, Line(at, " "), "text-invalid")
}

func TestRequired(t *testing.T) {
	t.Parallel()
	require.NoError(t, Required(at, 1))
	refused(t, Required(at, 0), "required")
	refused(t, Required(at, domain.Date{}), "required")
}

func TestCode(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"", "wrong-customer", "2nd_try", strings.Repeat("a", 64)} {
		require.NoError(t, Code(at, good))
	}
	for _, bad := range []string{"Müller", "Wrong", "a b", "-a", "a\x00", strings.Repeat("a", 65)} {
		refused(t, Code(at, bad), "code-invalid")
	}
}

func TestOneOf(t *testing.T) {
	t.Parallel()
	type side string
	require.NoError(t, OneOf[side](at, "", "D", "C"))
	require.NoError(t, OneOf[side](at, "D", "D", "C"))
	refused(t, OneOf[side](at, "d", "D", "C"), "value-unknown")
	require.ErrorContains(t, OneOf[side](at, "secret", "D", "C"), "one of D, C")
	require.NotContains(t, OneOf[side](at, "secret", "D", "C").Error(), "secret")
}

func TestCountryAndCurrency(t *testing.T) {
	t.Parallel()
	require.NoError(t, Country(at, ""))
	require.NoError(t, Country(at, "DE"))
	refused(t, Country(at, "de"), "country-unknown")
	require.NoError(t, Currency(at, ""))
	require.NoError(t, Currency(at, "EUR"))
	refused(t, Currency(at, "eur"), "currency-unknown")
}
