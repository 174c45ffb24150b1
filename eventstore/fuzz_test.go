package eventstore

import (
	"testing"

	"github.com/stretchr/testify/require"

	"daybook.example/test/limit"
)

// FuzzParsePosition: a text is a position as it is written, or none.
func FuzzParsePosition(f *testing.F) {
	for _, text := range []string{"0/0", "4711/4711", "18446744073709551615/1", "1/", "+1/1", "01/1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		defer limit.Input(t, len(text))()
		position, err := ParsePosition(text)
		if err != nil {
			return
		}
		again, err := ParsePosition(position.String())
		require.NoError(t, err)
		require.Equal(t, position, again)
	})
}
