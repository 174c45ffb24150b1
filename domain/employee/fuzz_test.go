package employee_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	. "daybook.example/domain/employee"
	"daybook.example/test/limit"
)

// FuzzDecode feeds any bytes to every decoder of the Catalog: an error or an
// event, never a panic; and what decodes can be folded, beside a legal record too.
func FuzzDecode(f *testing.F) {
	pinned, err := os.ReadFile("testdata/stored.golden")
	require.NoError(f, err)
	for line := range strings.Lines(string(pinned)) {
		name, _, _ := strings.Cut(line, " ")
		f.Add(name, []byte(line[strings.IndexByte(line, '{'):]))
	}
	for _, name := range Catalog.Names() {
		f.Add(name, []byte(`{}`))
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		defer limit.Input(t, len(data))()
		event, err := Catalog.Decode(name, 1, data)
		if err != nil {
			return
		}
		for _, events := range [][]Event{{event}, append(everyShape(), event), {event, rescinded(0)}} {
			for _, fact := range Timeline(record(events...)) {
				_, err := json.Marshal(fact.Value)
				require.NoError(t, err)
			}
			state := given(t, events...).State()
			for _, c := range commands() {
				_, _ = Decider.Decide(state, c.With(ctx))
			}
			Decider.Claims(state, event)
		}
		domain.Subjects(event)
		if encoded, err := domain.Encode(event); err == nil {
			again, err := Catalog.Decode(name, 1, encoded)
			if err != nil {
				return // decide lets no event without its dates through
			}
			twice, err := domain.Encode(again)
			require.NoError(t, err)
			require.Equal(t, string(encoded), string(twice))
		}
	})
}
