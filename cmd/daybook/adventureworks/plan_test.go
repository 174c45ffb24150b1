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
		"organisation.add-legal-entity": 1, "organisation.add-location": 1, "orgunits.create": 16,
		"books.open": 1, "books.open-account": 8, "journal.open-period": 36,
		"employees.hire": 290, "employees.change-position": 6, "employees.change-compensation": 316, "employees.change-manager": 289,
		"journal.post-entry": 1566, "journal.post-entry purchase": 3689,
	}, lines)
	require.Equal(t, "14030071.8292", sums["journal.post-entry"].String())
	require.Equal(t, "62786162.5048", sums["journal.post-entry purchase"].String())
	require.Equal(t, "5611.7821", sums["employees.change-compensation"].String(), "two of these rates are refused later")

	reasons := map[string]int{}
	for _, left := range plan.Left {
		reasons[strings.Fields(left.Reason)[0]]++
	}
	require.Equal(t, map[string]int{"hired": 12, "no": 41, "purchase": 323}, reasons)
}
