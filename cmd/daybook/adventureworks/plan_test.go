package adventureworks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"daybook.example/domain"
)

func TestThePlanHoldsEveryRowThatBecomesAFact(t *testing.T) {
	t.Parallel()
	s, err := Read(data(t))
	require.NoError(t, err)
	plan, err := s.Plan()
	require.NoError(t, err)

	lines, sums, keys := map[string]int{}, map[string]domain.Decimal{}, map[string]bool{}
	for _, line := range plan.Lines {
		require.False(t, keys[line.Key], "key %s is used twice", line.Key)
		keys[line.Key] = true
		name := line.Command
		if strings.HasPrefix(line.Key, "purchasing/") {
			name += " purchase"
		}
		lines[name]++
		sums[name] = sums[name].Add(line.amount)
	}
	require.Equal(t, map[string]int{
		"organisation.legal-entity": 1, "organisation.location": 1, "org-units.create": 16,
		"books.open": 1, "accounts.open": 8, "periods.open": 36,
		"employees.hire": 290, "employees.position": 6, "employees.compensation": 316, "employees.manager": 289,
		"entries.post": 1566, "entries.post purchase": 3689,
	}, lines)
	require.Equal(t, "14030071.8292", sums["entries.post"].String())
	require.Equal(t, "62786162.5048", sums["entries.post purchase"].String())
	require.Equal(t, "5611.7821", sums["employees.compensation"].String(), "two of these rates are refused later")

	reasons := map[string]int{}
	for _, left := range plan.Left {
		reasons[strings.Fields(left.Reason)[0]]++
	}
	require.Equal(t, map[string]int{"hired": 12, "an": 41, "purchase": 323}, reasons)
}
