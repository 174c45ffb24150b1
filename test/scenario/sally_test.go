package scenario

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/test/program"
)

// Sally earns 6000; a raise to 6500 from 15 February on is recorded on 15 March,
// after the pay of 25 February. What the server's clock said cannot be chosen
// over HTTP, so what was known on a day is named by the position that the last
// command of the time before it answered.
func TestSally(t *testing.T) {
	t.Parallel()
	admin := program.NewHome(t).Start(t, program.Options{}).Client()
	company, err := program.Found(t.Context(), admin, "Europe/Berlin")
	require.NoError(t, err)
	post := func(path string, body program.JSON) program.Answer {
		return program.Must(t)(admin.Post(t.Context(), path, body))
	}

	// Given what was known on 25 January, on 25 February and on 25 March.
	sally := post("/v1/employees", company.Hire("E-1", "2026-01-01", program.JSON{"compensation": program.Pay("6000.00", "")}))
	january := sally.Position()
	february := post("/v1/employees", company.Hire("E-2", "2026-02-20", nil)).Position()
	raise := post("/v1/employees/"+sally.ID()+"/compensations", program.Pay("6500.00", "2026-02-15"))
	march := raise.Position()

	// Then every day is answered as it was known.
	payroll := tokenOf(t, admin, "payroll")
	for _, c := range []struct{ known, valid, amount string }{
		{january, "2026-01-25", "6000.00"},
		{february, "2026-01-25", "6000.00"},
		{march, "2026-01-25", "6000.00"},
		{february, "2026-02-25", "6000.00"},
		{march, "2026-02-25", "6500.00"},
		{march, "2026-03-25", "6500.00"},
	} {
		require.Equal(t, c.amount, pay(t, payroll, sally.ID(), c.valid, c.known), "%s as known at %s", c.valid, c.known)
	}
	nobody := belief(t, payroll, sally.ID(), "2026-01-25", "0/0")
	require.Equal(t, 404, nobody.Status, "before the first event: %s", nobody.Body)

	// And a correction, its correction and a rescission leave the old beliefs be.
	corrected := post("/v1/employees/"+sally.ID()+"/corrections", correction(t, raise, "6600.00"))
	again := post("/v1/employees/"+sally.ID()+"/corrections", correction(t, corrected, "6700.00"))
	rescinded := post("/v1/employees/"+sally.ID()+"/rescissions", program.JSON{"rescinds_event_id": event(t, raise), "reason_text": "Never agreed."})
	for _, c := range []struct {
		known  program.Answer
		amount string
	}{{raise, "6500.00"}, {corrected, "6600.00"}, {again, "6700.00"}, {rescinded, "6000.00"}} {
		require.Equal(t, c.amount, pay(t, payroll, sally.ID(), "2026-02-25", c.known.Position()))
		require.Equal(t, "6000.00", pay(t, payroll, sally.ID(), "2026-01-25", c.known.Position()))
	}
}

// event is the first event of a command's answer.
func event(t *testing.T, answer program.Answer) string {
	t.Helper()
	var done struct{ Events []struct{ ID string } }
	require.NoError(t, answer.Into(&done))
	require.NotEmpty(t, done.Events)
	return done.Events[0].ID
}

func correction(t *testing.T, of program.Answer, amount string) program.JSON {
	return program.JSON{
		"corrects_event_id": event(t, of), "reason_text": "Mistyped.",
		"compensation": program.JSON{"amount": program.JSON{"amount": amount, "currency": "EUR"}},
	}
}

// The demo's clock is simulated, so there moments can be asked for: its raises
// that were recorded late are Sally's case once more.
func TestSallyInTheDemo(t *testing.T) {
	t.Parallel()
	admin := program.NewHome(t).Start(t, program.Options{Verb: "demo"}).Client()
	late := 0
	for _, raise := range raises(t, admin) {
		recorded, err := time.Parse(time.RFC3339Nano, raise.Metadata.RecordedAt)
		require.NoError(t, err)
		if recorded.Before(raise.from.AddDate(0, 0, 5)) || late == 5 {
			continue
		}
		late++
		id := raise.Stream[len("employee-"):]
		before, after := recorded.Add(-time.Hour).Format(time.RFC3339), recorded.Add(time.Hour).Format(time.RFC3339)
		dayBefore, day := raise.from.AddDate(0, 0, -1).Format(time.DateOnly), raise.from.Format(time.DateOnly)
		old := pay(t, admin, id, dayBefore, before)
		require.Equal(t, old, pay(t, admin, id, day, before), "not known yet")
		require.Equal(t, old, pay(t, admin, id, dayBefore, after), "not in effect yet")
		require.Equal(t, raise.amount, pay(t, admin, id, day, after))
		require.NotEqual(t, old, raise.amount)
	}
	require.NotZero(t, late)
}

type raise struct {
	program.Event
	from   time.Time
	amount string
}

// raises are all changes of pay, as the feed shows them to the admin, that were
// no first pay.
func raises(t *testing.T, admin *program.Client) (all []raise) {
	t.Helper()
	log, err := admin.Events(t.Context())
	require.NoError(t, err)
	for _, e := range log {
		var changed struct {
			EffectiveFrom string `json:"effective_from"`
			ChangeReason  string `json:"change_reason"`
			Amount        json.RawMessage
		}
		if e.Type != "employee-compensation-changed" || json.Unmarshal(e.Data, &changed) != nil || changed.ChangeReason != "annual-review" {
			continue
		}
		from, err := time.Parse(time.DateOnly, changed.EffectiveFrom)
		require.NoError(t, err)
		var amount struct{ Amount string }
		require.NoError(t, json.Unmarshal(changed.Amount, &amount))
		all = append(all, raise{e, from, amount.Amount})
	}
	slices.SortFunc(all, func(a, b raise) int { return a.from.Compare(b.from) })
	return all
}
