package scenario

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/test/program"
)

// The zone of the machine says nothing about the business: the same log gives
// the same tables at both ends of the world, and the same answer to what is so
// today.
func TestTheMachinesZoneChangesNothing(t *testing.T) {
	t.Parallel()
	east := program.Options{Env: []string{"TZ=Pacific/Kiritimati"}}
	west := program.Options{Env: []string{"TZ=America/Los_Angeles"}}
	home := program.NewHome(t)

	// Given a company that is written in the east and in the west.
	admin := home.Start(t, east).Client()
	company, err := program.Found(t.Context(), admin, "Europe/Berlin")
	require.NoError(t, err)
	hired := program.Must(t)(admin.Post(t.Context(), "/v1/employees", company.Hire("E-1", "2024-01-01", nil)))
	program.Must(t)(admin.Post(t.Context(), program.Entries, program.Sale("S-1", "100.00")))
	today := defaultDay(t, admin, hired.ID())
	home.Stop(t)
	admin = home.Start(t, west).Client()
	raised := program.Must(t)(admin.Post(t.Context(), "/v1/employees/"+hired.ID()+"/compensations", program.Pay("5500.00", "2025-03-30")))
	program.Must(t)(admin.Post(t.Context(), "/v1/employees/"+hired.ID()+"/corrections", correction(t, raised, "5600.00")))
	program.Must(t)(admin.Post(t.Context(), "/v1/employees/"+hired.ID()+"/terminations", program.JSON{"last_day": "2025-10-26", "ground": "mutual"}))
	program.Must(t)(admin.Post(t.Context(), program.Entries, program.Sale("S-2", "200.00")))
	require.Equal(t, today, defaultDay(t, admin, hired.ID()), "today is the organisation's")

	// When its read models are built anew in each of them, then they are the same.
	first := tables(t, home)
	for _, zone := range []program.Options{east, west} {
		home.Stop(t)
		require.NoError(t, home.Now.DropCluster())
		home.Start(t, zone)
		require.Equal(t, first, tables(t, home), zone.Env)
	}
}

func tables(t *testing.T, home *program.Home) program.Tables {
	t.Helper()
	within, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, home.Now.Client().CaughtUp(within))
	all, err := home.Now.Tables(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, all)
	return all
}

// defaultDay is the day of an answer that no day was asked for.
func defaultDay(t *testing.T, c *program.Client, id string) string {
	t.Helper()
	var record struct {
		ValidAt string `json:"valid_at"`
	}
	require.NoError(t, c.CaughtUp(t.Context()))
	require.NoError(t, json.Unmarshal(program.Must(t)(c.Get(t.Context(), "/v1/employees/"+id, nil)).Body, &record))
	return record.ValidAt
}
