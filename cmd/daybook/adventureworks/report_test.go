package adventureworks

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/domain"
)

func TestAReportThatDiffersSaysSo(t *testing.T) {
	t.Parallel()
	// Given a plan of which nothing was accepted
	o := NewOutcome(Plan{
		Lines: []Line{{Key: "sales/SalesOrderHeader.csv:2", Command: "entries.post", amount: domain.MustDecimal("1.0000"), month: "2011-05"}},
		Left:  []Left{{"hr/Employee.csv:7", "no name"}, {"hr/Employee.csv:9", "no name"}, {"hr/Employee.csv:8", "no name"}, {"person/Person.csv:2", "no name"}},
	})
	o.Refused("sales/SalesOrderHeader.csv:2", "period-closed", "2011-05 is closed")

	// When it is reported
	report := o.Report(Figures{}, time.Second)
	var text strings.Builder
	require.NoError(t, report.Print(&text))

	// Then every total differs, and every row stands under its reason
	require.False(t, report.Agrees())
	require.Contains(t, text.String(), "DIFFERS")
	require.NotContains(t, text.String(), "  ok")
	require.Contains(t, text.String(), "  1: period-closed: 2011-05 is closed\n      sales/SalesOrderHeader.csv rows 2\n")
	require.Contains(t, text.String(), "  4: no name\n      hr/Employee.csv rows 7-9\n      person/Person.csv rows 2\n")
}

func TestRowsInARowAreWrittenAsOneRange(t *testing.T) {
	t.Parallel()
	for want, numbers := range map[string][]int{
		"": nil, "3": {3}, "3-4": {3, 4}, "3, 5": {3, 5}, "1-3, 7, 9-10": {1, 2, 3, 7, 9, 10}, "2-3": {2, 2, 3},
	} {
		require.Equal(t, want, runs(numbers))
	}
}
