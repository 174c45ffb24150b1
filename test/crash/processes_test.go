package crash

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/test/program"
)

var (
	managing = program.Options{Args: []string{"--roles", "node,api,projections"}}
	minding  = program.Options{Args: []string{"--roles", "processes"}}
)

// Managers leave while one of two processes with role processes is killed with
// kill -9, time and again: each report is moved, and nothing happens twice.
func TestGivenManagersWhoLeaveWhenTheirProcessesAreKilledThenEachReportIsMovedOnce(t *testing.T) {
	t.Parallel()
	home := program.NewHome(t)
	client := home.Start(t, managing).Client()
	minders := []*program.Process{home.Launch(t, minding), home.Launch(t, minding)}
	company, err := program.Found(t.Context(), client, "Europe/Berlin")
	require.NoError(t, err)
	hire := func(no, manager string) string {
		more := program.JSON{}
		if manager != "" {
			more["manager_employee_id"] = manager
		}
		return program.Must(t)(client.Post(t.Context(), "/v1/employees", company.Hire(no, "2026-01-01", more))).ID()
	}
	chief := hire("E-0", "")
	leavers := program.Level(6, 40, 300)
	managers, reports := make([]string, leavers), map[string]bool{}
	for i := range managers {
		managers[i] = hire(fmt.Sprint("M-", i), chief)
		reports[hire(fmt.Sprint("R-", i), managers[i])] = true
	}
	require.Eventually(t, func() bool { return len(ofType(t, client, "process-version-started")) == 2 }, time.Minute, 50*time.Millisecond)

	for _, manager := range managers {
		program.Must(t)(client.Post(t.Context(), "/v1/employees/"+manager+"/terminations", program.JSON{"last_day": "2026-06-30", "ground": "resignation"}))
		if i := rand.IntN(4); i < 2 {
			time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
			minders[i].Kill()
			minders[i] = home.Launch(t, minding)
		}
	}
	require.Eventually(t, func() bool { return len(ofType(t, client, "process-finished")) >= leavers }, 2*time.Minute, 100*time.Millisecond)

	requested, answered, received := map[string]bool{}, map[string]int{}, map[string]int{}
	for _, e := range ofType(t, client, "process-command-requested") {
		requested[e.ID] = true
	}
	require.Len(t, requested, leavers)
	for _, e := range ofType(t, client, "process-command-confirmed") {
		var confirmed struct {
			CommandID string   `json:"command_id"`
			EventIDs  []string `json:"event_ids"`
		}
		require.NoError(t, json.Unmarshal(e.Data, &confirmed))
		require.Len(t, confirmed.EventIDs, 1)
		answered[confirmed.CommandID]++
	}
	for _, e := range ofType(t, client, "process-input-received") {
		var input struct {
			EventID string `json:"event_id"`
		}
		require.NoError(t, json.Unmarshal(e.Data, &input))
		received[e.Stream+" "+input.EventID]++
	}
	moved := map[string]int{}
	for _, e := range ofType(t, client, "employee-manager-assigned") {
		if requested[e.Metadata.CommandID] {
			moved[e.Stream[len("employee-"):]]++
		}
	}
	require.Len(t, moved, leavers)
	for report, n := range moved {
		require.True(t, reports[report])
		require.Equal(t, 1, n, "moves of %s", report)
	}
	for command := range requested {
		require.Equal(t, 1, answered[command], "answers to %s", command)
	}
	for input, n := range received {
		require.Equal(t, 1, n, "%s was received", input)
	}
}

// ofType are all events of a type.
func ofType(t *testing.T, client *program.Client, name string) (found []program.Event) {
	t.Helper()
	all, err := client.Events(t.Context())
	require.NoError(t, err)
	for _, e := range all {
		if e.Type == name {
			found = append(found, e)
		}
	}
	return found
}
