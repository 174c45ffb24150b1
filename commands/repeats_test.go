package commands

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/commands/edge"
	"daybook.example/domain/access"
)

// Every write route takes the Idempotency-Key: huma drops parameters of embedded
// structs in silence, so each route is sent twice, and the table says which are left.
func TestEveryWriteRouteAnswersARepeatAlike(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	left := map[string]bool{}
	for _, route := range s.api.Routes() {
		left[route.Path] = route.Method == http.MethodPost && route.Path != importPath // lines have keys of their own
	}
	twice := func(route, body string, in ...string) reply {
		t.Helper()
		path := strings.NewReplacer(in...).Replace(route)
		key := edge.HashToken(path + body)
		first := s.post(access.Admin, path, body, "Idempotency-Key", key)
		require.Less(t, first.status, 300, "%s: %s", path, first.raw)
		require.NotEmpty(t, first.Events, "%s: nothing to do shows nothing", path)
		again := s.post(access.Admin, path, body, "Idempotency-Key", key)
		require.Equal(t, first.status, again.status, path)
		require.Equal(t, first.raw, again.raw, path)
		require.Equal(t, first.header.Get("ETag"), again.header.Get("ETag"), path)
		require.Equal(t, first.header.Get("Location"), again.header.Get("Location"), path)
		left[route] = false
		return first
	}
	const position = `{"position_id":"6f1e0000-0000-4000-8000-000000000002","org_unit_id":"6f1e0000-0000-4000-8000-000000000003","job_title":"Lead","location_id":"6f1e0000-0000-4000-8000-000000000004","cost_center":"100"`
	someone := `"` + uuid.NewString() + `"`

	twice("/v1/organisation", `{"name":"Firm","country":"DE"}`)
	twice("/v1/organisation/legal-entities", `{"name":"Firm Ltd"}`)
	twice("/v1/organisation/locations", `{"name":"Harbour"}`)
	unit := twice("/v1/org-units", `{"name":"Sales","effective_from":"2024-01-01"}`).ID
	twice("/v1/org-units/{id}/names", `{"name":"Service","effective_from":"2024-02-01"}`, "{id}", unit)
	twice("/v1/org-units/{id}/parents", `{"parent":`+someone+`,"effective_from":"2024-02-01"}`, "{id}", unit)
	twice("/v1/org-units/{id}/closures", `{"effective_from":"2024-05-01"}`, "{id}", unit)

	who := twice("/v1/employees", hireBody("R-1")).ID
	employee := func(action, body string) reply {
		t.Helper()
		return twice(employeePath+action, body, "{id}", who)
	}
	pay := employee("compensations", raise).Events[0].ID.String()
	employee("managers", `{"manager_employee_id":`+someone+`,"effective_from":"2024-02-01"}`)
	employee("personal-data", `{"phone":"+49 30 1234","effective_from":"2024-02-01"}`)
	employee("working-times", `{"fte":"0.8","effective_from":"2024-02-01"}`)
	employee("bank-accounts", `{"iban":"DE89370400440532013000","holder":"Ada Example","effective_from":"2024-02-01"}`)
	employee("corrections", `{"corrects_event_id":"`+pay+`","reason_text":"typing error","compensation":{"change_reason":"annual"}}`)
	employee("rescissions", `{"rescinds_event_id":"`+pay+`","reason_text":"never agreed"}`)
	employee("probation/extensions", `{"probation_end":"2024-09-30","reason_code":"absence","effective_from":"2024-06-03"}`)
	employee("probation/confirmations", `{"on":"2024-09-30"}`)
	employee("terminations", `{"last_day":"2024-12-31","ground":"mutual"}`)
	employee("rehires", `{"hire_date":"2025-06-01","position":`+position+`}}`)
	employee("positions", position+`,"effective_from":"2025-07-01","change_reason":"promotion"}`)
	employee("retirements", `{"last_day":"2055-12-31","scheme":"company"}`)

	twice("/v1/books", `{"book":"main","functional_currency":"EUR"}`)
	twice(bookPath+"accounts", `{"code":"1","name":"Cash","class":"asset"}`, "{book}", "main")
	twice(bookPath+"accounts", `{"code":"2","name":"Revenue","class":"income"}`, "{book}", "main")
	twice(bookPath+"periods", `{"period":"2024-01"}`, "{book}", "main")
	in := []string{"{book}", "main", "{period}", "2024-01", "{account}", "2"}
	entry := twice(bookPath+"periods/{period}/entries", `{"posting_date":"2024-01-31","description":"sale","lines":[
		{"account":"1","side":"D","amount":{"amount":"10","currency":"EUR"}},{"account":"2","side":"C","amount":{"amount":"10","currency":"EUR"}}]}`, in...).ID
	twice(bookPath+"periods/{period}/entries/{entry}/reversals", `{"reason_code":"wrong"}`, append(in, "{entry}", entry)...)
	twice(bookPath+"accounts/{account}/names", `{"name":"Income"}`, in...)
	twice(bookPath+"accounts/{account}/blocks", `{}`, in...)
	twice(bookPath+"periods/{period}/soft-close", `{}`, in...)
	twice(bookPath+"periods/{period}/close", `{}`, in...)
	twice(bookPath+"periods/{period}/reopen", `{"approval_id":`+someone+`,"reason":"late"}`, in...)

	token := twice("/v1/tokens", `{"role":"hr","principal":"p-9","expires":"`+time.Now().Add(time.Hour).Format(time.RFC3339)+`"}`)
	twice("/v1/tokens/{id}/revocation", `{}`, "{id}", token.ID)
	twice("/v1/projections/{name}/waivers", `{"event_id":"`+haltedAt.String()+`","reason":"posted twice by a test"}`, "{name}", halted)
	instance := uuid.New()
	s.callForAPerson(instance)
	place := []string{"{name}", "manager-leaves", "{id}", instance.String()}
	twice("/v1/processes/{name}/{id}/retry", `{"reason_code":"again"}`, place...)
	twice("/v1/processes/{name}/{id}/takeover", `{"reason_code":"by-hand"}`, place...)
	for route, unsent := range left {
		require.False(t, unsent, "no repeat was sent to %s", route)
	}
}
