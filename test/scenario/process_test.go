package scenario

import (
	"encoding/json"
	"net/url"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"daybook.example/test/program"
)

const patience = time.Minute

// A record is an instance of a process as the API shows it.
type record struct {
	State     string
	Outcome   string
	Needs     []struct{ Code string }
	Reminders []struct{ Code, Due string }
	Deadlines []struct{ Key, State string }
	Commands  []struct{ Command, Answer string }
	History   []struct {
		EventType string `json:"event_type"`
		ActorID   string `json:"actor_id"`
	}
}

// instance waits until an instance is as wanted.
func instance(t *testing.T, c *program.Client, name, id string, is func(record) bool) (r record) {
	t.Helper()
	require.Eventually(t, func() bool {
		answer, err := c.Get(t.Context(), "/v1/processes/"+name+"/"+id, nil)
		require.NoError(t, err)
		r = record{}
		return answer.Into(&r) == nil && is(r)
	}, patience, 50*time.Millisecond, "%s %s", name, id)
	return r
}

// A manager leaves and comes back, another one has nobody above, a probation nears
// its end: what the people of the house see of it.
func TestProcesses(t *testing.T) {
	t.Parallel()
	home := program.NewHome(t)
	admin := home.Start(t, program.Options{}).Client()
	company, err := program.Found(t.Context(), admin, "Europe/Berlin")
	require.NoError(t, err)
	post := func(path string, body program.JSON) program.Answer {
		t.Helper()
		return program.Must(t)(admin.Post(t.Context(), path, body))
	}
	hire := func(no string, with program.JSON) string {
		return post("/v1/employees", company.Hire(no, "2026-01-01", with)).ID()
	}
	hr, operator, payroll := tokenOf(t, admin, "hr"), tokenOf(t, admin, "operator"), tokenOf(t, admin, "payroll")
	manager := func(id, day string) string {
		var now struct {
			Facts struct {
				Manager struct {
					ID string `json:"manager_employee_id"`
				}
			}
		}
		require.NoError(t, belief(t, hr, id, day, "").Into(&now))
		return now.Facts.Manager.ID
	}
	finished := func(outcome string) func(record) bool { return func(r record) bool { return r.Outcome == outcome } }

	// Given a chief, a lead and somebody who reports to the lead
	chief := hire("E-1", nil)
	lead := hire("E-2", program.JSON{"manager_employee_id": chief})
	ada := hire("E-3", program.JSON{"manager_employee_id": lead})

	// When the lead leaves, the report goes to the chief, and back when that never was
	end := post("/v1/employees/"+lead+"/terminations", program.JSON{"last_day": "2026-06-30", "ground": "resignation"})
	instance(t, hr, "manager-leaves", lead, finished("reports-moved"))
	require.NoError(t, admin.CaughtUp(t.Context()))
	require.Equal(t, lead, manager(ada, "2026-06-30"))
	require.Equal(t, chief, manager(ada, "2026-07-01"))
	post("/v1/employees/"+lead+"/rescissions", program.JSON{"rescinds_event_id": event(t, end), "reason_text": "They stay."})
	r := instance(t, hr, "manager-leaves", lead, finished("manager-stays"))
	require.Len(t, r.Commands, 2)
	require.Equal(t, "process-manager-leaves", r.History[0].ActorID)
	require.NoError(t, admin.CaughtUp(t.Context()))
	require.Equal(t, lead, manager(ada, "2026-07-01"))

	// When the chief leaves, nobody is above: a person is called, and an operator takes over
	post("/v1/employees/"+chief+"/retirements", program.JSON{"last_day": "2026-06-30", "scheme": "state"})
	instance(t, hr, "manager-leaves", chief, func(r record) bool { return r.State == "needs-human" })
	var list struct {
		Items  []struct{ ID string }
		Runner struct{ State string }
	}
	answer, err := operator.Get(t.Context(), "/v1/processes", url.Values{"state": {"needs-human"}})
	require.NoError(t, err)
	require.NoError(t, answer.Into(&list))
	require.Equal(t, chief, list.Items[0].ID)
	require.Equal(t, "running", list.Runner.State)
	path := "/v1/processes/manager-leaves/" + chief
	for _, c := range []*program.Client{hr, payroll} {
		answer, err = c.Post(t.Context(), path+"/takeover", program.JSON{"reason_code": "by-hand"})
		require.NoError(t, err)
		require.Equal(t, 403, answer.Status)
	}
	answer, err = payroll.Get(t.Context(), path, nil)
	require.NoError(t, err)
	require.Equal(t, 403, answer.Status)
	daybook := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(program.Binary(), append(args, "--dir", home.Dir)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	require.Contains(t, daybook("processes", "list", "--state", "needs-human"), "no-successor")
	require.Contains(t, daybook("processes", "retry", "manager-leaves", chief, "--reason", "again"), "recorded")
	instance(t, hr, "manager-leaves", chief, func(r record) bool { return r.State == "needs-human" })
	require.Contains(t, daybook("processes", "takeover", "manager-leaves", chief, "--reason", "by-hand"), "recorded")
	instance(t, hr, "manager-leaves", chief, func(r record) bool { return r.State == "taken-over" })
	require.Contains(t, daybook("processes", "show", "manager-leaves", chief), "taken-over")
	answer, err = operator.Post(t.Context(), path+"/retry", program.JSON{"reason_code": "again"})
	require.NoError(t, err)
	require.Equal(t, "taken-over", answer.Code())

	// When a probation ends soon, somebody is reminded at once, and the answer ends it
	soon := time.Now().AddDate(0, 0, 7).Format(time.DateOnly)
	ben := hire("E-4", program.JSON{"probation_end": soon})
	r = instance(t, hr, "probation-ends", ben, func(r record) bool { return len(r.Reminders) == 1 })
	require.Equal(t, soon, r.Reminders[0].Due)
	confirmed := post("/v1/employees/"+ben+"/probation/confirmations", program.JSON{})
	require.NotEmpty(t, confirmed.Position())
	r = instance(t, hr, "probation-ends", ben, finished("probation-confirmed"))
	for _, deadline := range r.Deadlines {
		require.NotEqual(t, "open", deadline.State)
	}

	// And after a restart all is as it was
	before, err := json.Marshal(r)
	require.NoError(t, err)
	home.Stop(t)
	hr.Base = home.Start(t, program.Options{}).HTTP
	after, err := json.Marshal(instance(t, hr, "probation-ends", ben, func(record) bool { return true }))
	require.NoError(t, err)
	require.JSONEq(t, string(before), string(after))
}
