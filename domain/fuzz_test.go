package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	. "daybook.example/domain"
	"daybook.example/test/limit"
)

// FuzzParse: whatever text comes in for a value, it is refused or written again
// as what reads the same.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"2024-02-29", "2024-13", "2024-02", "-0.00", "12345678901234567890.123456789012", "1e9", "٣", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		defer limit.Input(t, len(text))()
		if day, err := ParseDate(text); err == nil {
			require.Equal(t, text, day.String())
		}
		if period, err := ParsePeriod(text); err == nil {
			require.Equal(t, text, period.String())
			require.True(t, period.Contains(period.First()))
		}
		if amount, err := ParseDecimal(text); err == nil {
			again, err := ParseDecimal(amount.String())
			require.NoError(t, err)
			require.Equal(t, amount.String(), again.String())
			require.Equal(t, amount.Scale(), again.Scale())
		}
	})
}
