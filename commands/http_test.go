package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/commands/edge"
	"daybook.example/domain/access"
)

// A site is a house with the HTTP write API before it and a token for each role.
type site struct {
	*house
	t        testing.TB
	url      string
	api      *edge.API
	handlers *Handlers
	tokens   map[access.Role]string
	self     uuid.UUID // the employee whom the token of role employee names
}

func newSite(t testing.TB) *site { return newSiteOn(t, newHouse(t)) }

func newSiteOn(t testing.TB, h *house) *site {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tokens := edge.NewTokens()
	followed := make(chan struct{})
	go func() { defer close(followed); tokens.Follow(ctx, h.client.ReadOnly(), quiet) }()
	s := &site{house: h, t: t, handlers: NewHandlers(h.process()), tokens: map[access.Role]string{}, self: uuid.New()}
	s.api = edge.NewAPI(edge.Options{Tokens: tokens, LogID: uuid.New(), Version: "test", Logger: quiet})
	s.handlers.HaltedAt = haltedIn
	Register(s.api, s.handlers, tokens)
	server := httptest.NewServer(s.api)
	s.url = server.URL
	t.Cleanup(func() {
		s.api.Stop()
		server.Close()
		cancel()
		<-followed
	})
	var last uint64
	for _, role := range access.Roles {
		last = s.issue(role, "", time.Now().Add(time.Hour))
	}
	require.NoError(t, tokens.Wait(ctx, last))
	return s
}

// issue gives a role a token without the API, and returns its revision.
func (s *site) issue(role access.Role, key string, expires time.Time) uint64 {
	s.t.Helper()
	id := uuid.New()
	secret := edge.TokenOf([32]byte(append(id[:], id[:]...)))
	answer, err := s.handlers.Tokens.Handle(context.Background(), access.Stream, creating(request("issue")), access.Issue{
		TokenID: id, Hash: edge.HashToken(secret), IssuedBy: "test", Now: expires.Add(-time.Hour), Expires: expires,
		Role: role, Principal: "p-" + string(role), EmployeeID: s.self,
	})
	require.NoError(s.t, err)
	s.tokens[role+access.Role(key)] = secret
	return answer.Revision
}

// A reply is what came back.
type reply struct {
	status int
	header http.Header
	raw    string
	Answer
	edge.Problem
	Token string `json:"token"`
}

// post sends a body as a role; headers are pairs.
func (s *site) post(role access.Role, path, body string, headers ...string) reply {
	s.t.Helper()
	return s.send(http.MethodPost, role, path, body, headers...)
}

func (s *site) send(method string, role access.Role, path, body string, headers ...string) reply {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	if token := s.tokens[role]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	got := reply{status: response.StatusCode, header: response.Header, raw: string(raw)}
	if strings.Contains(response.Header.Get("Content-Type"), "problem") {
		require.NoError(s.t, json.Unmarshal(raw, &got.Problem), string(raw))
	} else if json.Valid(raw) {
		_ = json.Unmarshal(raw, &got.Answer)
		_ = json.Unmarshal(raw, &struct{ Token *string }{&got.Token})
	}
	return got
}

func hireBody(no string) string {
	return fmt.Sprintf(`{"employee_no":%q,"legal_name":{"given":"Ada","family":"Example"},"birth_date":"1990-05-01",
		"work_email":"ada@firm.example","legal_entity_id":"6f1e0000-0000-4000-8000-000000000001","hire_date":"2024-01-15","probation_end":"2024-07-14","employment_type":"permanent",
		"position":{"position_id":"6f1e0000-0000-4000-8000-000000000002","org_unit_id":"6f1e0000-0000-4000-8000-000000000003","job_title":"Engineer","location_id":"6f1e0000-0000-4000-8000-000000000004","cost_center":"100"}}`, no)
}

// hired hires somebody and returns the ID.
func (s *site) hired() string {
	s.t.Helper()
	got := s.post(access.HR, "/v1/employees", hireBody(uuid.NewString()[:8]))
	require.Equal(s.t, http.StatusCreated, got.status, got.raw)
	return got.ID
}

const raise = `{"pay_basis":"monthly","amount":{"amount":"6500.00","currency":"EUR"},"pay_frequency":"monthly","effective_from":"2024-02-15","change_reason":"raise"}`

func TestAHireAnswersWithWhatItRecorded(t *testing.T) {
	t.Parallel()
	s := newSite(t)

	got := s.post(access.HR, "/v1/employees", hireBody("E-1"))

	require.Equal(t, http.StatusCreated, got.status, got.raw)
	require.Equal(t, "/v1/employees/"+got.ID, got.header.Get("Location"))
	require.Equal(t, got.Position.String(), got.header.Get("Daybook-Position"))
	require.Equal(t, `"1"`, got.header.Get("ETag"))
	require.NotEmpty(t, got.header.Get("Daybook-Log"))
	require.Equal(t, []string{"employee-hired", "employee-position-assigned"}, s.types("employee-"+got.ID))
	require.Len(t, got.Events, 2)
	m := s.metadata(s.events("employee-" + got.ID)[0])
	require.Equal(t, "p-hr", m.Actor.ID)
	require.Equal(t, m.CommandID, m.CorrelationID)
	require.NotEmpty(t, m.RequestMAC)
	require.Equal(t, "2024-01-15", m.EffectiveAt)
	require.NotContains(t, string(s.events("employee-" + got.ID)[0].Data), "Ada")
}

func TestARepeatedRequestGetsTheSameAnswer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.post(access.HR, "/v1/employees", hireBody("E-1"), "Idempotency-Key", "k1")

	again := s.post(access.HR, "/v1/employees", " "+hireBody("E-1"), "Idempotency-Key", "k1")
	other := s.post(access.HR, "/v1/employees", hireBody("E-2"), "Idempotency-Key", "k1")
	another := s.post(access.Admin, "/v1/employees", hireBody("E-3"), "Idempotency-Key", "k1")

	require.Equal(t, first.status, again.status)
	require.Equal(t, first.raw, again.raw)
	require.Equal(t, first.header.Get("ETag"), again.header.Get("ETag"))
	require.Equal(t, http.StatusUnprocessableEntity, other.status)
	require.Equal(t, "idempotency-key-reused", other.Code)
	require.Equal(t, http.StatusCreated, another.status, "keys belong to their principal")
	require.NotEqual(t, first.ID, another.ID)
}

func TestAnOutdatedETagIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path := "/v1/employees/" + s.hired() + "/compensations"

	require.Equal(t, http.StatusPreconditionFailed, s.post(access.Payroll, path, raise, "If-Match", `"0"`).status)
	require.Equal(t, http.StatusBadRequest, s.post(access.Payroll, path, raise, "If-Match", `yesterday`).status)
	require.Equal(t, http.StatusPreconditionFailed, s.post(access.HR, "/v1/employees", hireBody("E-9"), "If-Match", "*").status)
	got := s.post(access.Payroll, path, raise, "If-Match", `"1"`)
	require.Equal(t, http.StatusOK, got.status, got.raw)
	require.Equal(t, `"2"`, got.header.Get("ETag"))
}

func TestADryRunOverHTTPLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.hired()
	path := "/v1/employees/" + id + "/compensations?dry_run=true"

	got := s.post(access.Payroll, path, raise)

	require.Equal(t, http.StatusOK, got.status, got.raw)
	require.Equal(t, "employee-compensation-changed", got.Events[0].Type)
	require.Len(t, s.events("employee-"+id), 2)
	require.Equal(t, http.StatusForbidden, s.post(access.HR, path, raise).status)
	require.Equal(t, http.StatusUnprocessableEntity, s.post(access.Payroll, path, strings.Replace(raise, "6500", "-1", 1)).status)
	hire := s.post(access.HR, "/v1/employees?dry_run=true", hireBody("E-5"))
	require.Equal(t, http.StatusOK, hire.status)
	require.Empty(t, hire.header.Get("Location"))
	require.Empty(t, s.events("employee-"+hire.ID))
}

func TestARefusalNamesRuleAndField(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.hired()

	for name, c := range map[string]struct {
		role       access.Role
		path, body string
		status     int
		code       string
		field      string
	}{
		"broken rule":       {access.HR, "/v1/employees", strings.Replace(hireBody("x"), "permanent", "forever", 1), 422, "value-unknown", "/employment_type"},
		"taken number":      {access.HR, "/v1/employees", hireBody("TAKEN"), 409, "taken", ""},
		"unknown employee":  {access.Payroll, "/v1/employees/" + uuid.NewString() + "/compensations", raise, 404, "not-found", ""},
		"no UUID":           {access.Payroll, "/v1/employees/17/compensations", raise, 422, "invalid", "path.id"},
		"before the hire":   {access.Payroll, "/v1/employees/" + id + "/compensations", strings.Replace(raise, "2024-02-15", "2023-01-01", 1), 422, "effective-before-hire", "/effective_from"},
		"unknown book":      {access.Finance, "/v1/books/nosuch/accounts", `{"code":"1","name":"Cash","class":"asset"}`, 404, "not-found", ""},
		"book of bad form":  {access.Finance, "/v1/books/A_b/accounts", `{"code":"1","name":"Cash","class":"asset"}`, 422, "invalid", "path.book"},
		"bad name of book":  {access.Finance, "/v1/books", `{"book":"A_b","functional_currency":"EUR"}`, 422, "book-name-invalid", "/book"},
		"unknown parameter": {access.HR, "/v1/employees?dryrun=true", hireBody("x"), 400, "parameter-unsupported", ""},
		"no boolean":        {access.HR, "/v1/employees?dry_run=perhaps", hireBody("x"), 422, "invalid", "query.dry_run"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "taken number" {
				s.post(access.HR, "/v1/employees", hireBody("taken"))
			}
			got := s.post(c.role, c.path, c.body)
			require.Equal(t, c.status, got.status, got.raw)
			require.Equal(t, c.code, got.Code, got.raw)
			require.Equal(t, c.field, got.Field)
			require.NotEmpty(t, got.Detail)
			require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
		})
	}
}

func TestWhatIsNotThereIsNamedAsTheAPINamesIt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	entry := `{"posting_date":"2024-03-01","description":"x","lines":[]}`
	for path, c := range map[string]struct{ body, detail string }{
		"/v1/books/nosuch/periods/2024-03/entries":     {entry, "there is no such period of a book: open the period first"},
		"/v1/books/nosuch/periods/2024-03/close":       {`{}`, "there is no such period of a book: open the period first"},
		"/v1/books/nosuch/accounts/1/names":            {`{"name":"x"}`, "there is no such book: open it first"},
		"/v1/org-units/" + uuid.NewString() + "/names": {`{"name":"x","effective_from":"2024-03-01"}`, "there is no such org unit: create it first"},
	} {
		got := s.post(access.Admin, path, c.body)
		require.Equal(t, 404, got.status, got.raw)
		require.Equal(t, c.detail, got.Detail, path)
	}
}

func TestAnEmployeesWholeLifeGoesOverHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.hired()
	path := "/v1/employees/" + id
	paid := s.post(access.Payroll, path+"/compensations", raise)
	for _, step := range []struct {
		role       access.Role
		path, body string
	}{
		{access.HR, "/managers", `{"manager_employee_id":"` + uuid.NewString() + `","effective_from":"2024-02-01"}`},
		{access.HR, "/personal-data", `{"phone":"+49 30 1234","effective_from":"2024-02-01"}`},
		{access.HR, "/working-times", `{"fte":"0.8","effective_from":"2024-02-01"}`},
		{access.Payroll, "/bank-accounts", `{"iban":"DE89370400440532013000","holder":"Ada Example","effective_from":"2024-02-01"}`},
		{access.Payroll, "/corrections", `{"corrects_event_id":"` + paid.Events[0].ID.String() + `","reason_text":"typing error","compensation":{"amount":{"amount":"6600","currency":"EUR"}}}`},
		{access.Payroll, "/rescissions", `{"rescinds_event_id":"` + paid.Events[0].ID.String() + `","reason_text":"never agreed"}`},
		{access.HR, "/probation/extensions", `{"probation_end":"2024-09-30","reason_code":"absence","effective_from":"2024-06-03"}`},
		{access.HR, "/probation/confirmations", `{"on":"2024-09-30"}`},
		{access.HR, "/terminations", `{"last_day":"2024-12-31","ground":"mutual"}`},
		{access.HR, "/rehires", `{"hire_date":"2025-06-01","position":{"position_id":"6f1e0000-0000-4000-8000-000000000002","org_unit_id":"6f1e0000-0000-4000-8000-000000000003","job_title":"Engineer","location_id":"6f1e0000-0000-4000-8000-000000000004","cost_center":"100"}}`},
		{access.HR, "/positions", `{"position_id":"6f1e0000-0000-4000-8000-000000000002","org_unit_id":"6f1e0000-0000-4000-8000-000000000003","job_title":"Lead","location_id":"6f1e0000-0000-4000-8000-000000000004","cost_center":"100","effective_from":"2025-07-01","change_reason":"promotion"}`},
		{access.HR, "/retirements", `{"last_day":"2055-12-31","scheme":"company"}`},
	} {
		got := s.post(step.role, path+step.path, step.body, "Idempotency-Key", step.path)
		require.Equal(t, http.StatusOK, got.status, "%s: %s", step.path, got.raw)
		require.Equal(t, id, got.ID)
		require.NotEmpty(t, got.Events, step.path)
		again := s.post(step.role, path+step.path, step.body, "Idempotency-Key", step.path)
		require.Equal(t, got.raw, again.raw, step.path)
	}
}

func TestABooksYearGoesOverHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	do := func(status int, path, body string) reply {
		t.Helper()
		key := edge.HashToken(path + body)
		got := s.post(access.Finance, path, body, "Idempotency-Key", key)
		require.Equal(t, status, got.status, "%s: %s", path, got.raw)
		again := s.post(access.Finance, path, body, "Idempotency-Key", key)
		require.Equal(t, got.raw, again.raw)
		return got
	}
	const entry = `{"posting_date":"2024-01-31","document_no":"SO1","description":"sale","lines":[
		{"account":"1000","side":"D","amount":{"amount":"10.00","currency":"EUR"}},{"account":"4000","side":"C","amount":{"amount":"10","currency":"EUR"}}]}`

	do(201, "/v1/books", `{"book":"main","functional_currency":"EUR"}`)
	do(201, "/v1/books/main/accounts", `{"code":"1000","name":"Cash","class":"asset"}`)
	do(201, "/v1/books/main/accounts", `{"code":"4000","name":"Revenue","class":"income"}`)
	do(200, "/v1/books/main/accounts/4000/names", `{"name":"Revenue from contracts"}`)
	require.Equal(t, "2024-01", do(201, "/v1/books/main/periods", `{"period":"2024-01"}`).ID)
	do(201, "/v1/books/main/periods", `{"period":"2024-02","opening_from":"2024-01"}`)
	posted := do(201, "/v1/books/main/periods/2024-01/entries", entry)
	reversals := "/v1/books/main/periods/2024-01/entries/" + posted.ID + "/reversals"
	do(200, "/v1/books/main/periods/2024-01/soft-close", `{}`)
	do(200, "/v1/books/main/periods/2024-01/close", `{}`)

	closed := s.post(access.Finance, "/v1/books/main/periods/2024-01/entries", strings.Replace(entry, "SO1", "SO2", 1))
	require.Equal(t, "period-closed", closed.Code, closed.raw)
	refused := s.post(access.Finance, reversals, `{"reason_code":"wrong-customer"}`)
	require.Equal(t, "period-closed", refused.Code, refused.raw)
	reversed := do(201, reversals, `{"reason_code":"wrong-customer","posting_date":"2024-02-01"}`)
	require.Equal(t, []string{"journal-period-opened", "journal-entry-reversed"}, s.types("journal-main_202402"))
	require.NotEqual(t, posted.ID, reversed.ID)
	do(200, "/v1/books/main/periods/2024-01/reopen", `{"approval_id":"`+uuid.NewString()+`","reason":"late invoice"}`)
	twice := s.post(access.Finance, reversals, `{"reason_code":"wrong-customer"}`)
	require.Equal(t, http.StatusConflict, twice.status, twice.raw)
	do(200, "/v1/books/main/accounts/4000/blocks", `{}`)
	blocked := s.post(access.Finance, "/v1/books/main/periods/2024-02/entries", strings.ReplaceAll(entry, "2024-01-31", "2024-02-01"))
	require.Equal(t, "account-blocked", blocked.Code, blocked.raw)
	require.Equal(t, "/lines/1/account", blocked.Field)
	unbalanced := s.post(access.Finance, "/v1/books/main/periods/2024-01/entries", strings.Replace(entry, `"10.00"`, `"11.00"`, 1))
	require.Equal(t, 422, unbalanced.status)
	unknown := s.post(access.Finance, "/v1/books/main/periods/2024-01/entries/"+uuid.NewString()+"/reversals", `{"reason_code":"x"}`)
	require.Equal(t, "entry-unknown", unknown.Code, unknown.raw)
}

func TestTheOrganisationGoesOverHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.clock.move(14 * time.Hour) // 23:00 in UTC, the next day in the organisation's zone to be
	before := s.post(access.HR, "/v1/org-units", `{"name":"Founders"}`)
	require.Equal(t, "2024-03-01", s.metadata(s.events("orgunit-" + before.ID)[0]).EffectiveAt)
	require.Equal(t, 200, s.post(access.Admin, "/v1/organisation", `{"name":"Firm","zone":"Pacific/Kiritimati","country":"KI"}`).status)
	require.Equal(t, 201, s.post(access.HR, "/v1/organisation/legal-entities", `{"name":"Firm Ltd"}`).status)
	require.Equal(t, 201, s.post(access.HR, "/v1/organisation/locations", `{"name":"Harbour"}`).status)
	unit := s.post(access.HR, "/v1/org-units", `{"name":"Sales"}`)
	require.Equal(t, 201, unit.status, unit.raw)
	require.Equal(t, "2024-03-02", s.metadata(s.events("orgunit-" + unit.ID)[0]).EffectiveAt)
	path := "/v1/org-units/" + unit.ID
	require.Equal(t, 200, s.post(access.HR, path+"/names", `{"name":"Sales and service","effective_from":"2024-04-01"}`).status)
	require.Equal(t, 200, s.post(access.HR, path+"/parents", `{"parent":"`+uuid.NewString()+`","effective_from":"2024-04-01"}`).status)
	require.Equal(t, 200, s.post(access.HR, path+"/closures", `{"effective_from":"2024-05-01"}`).status)
	same := s.post(access.HR, path+"/closures", `{"effective_from":"2024-05-01"}`)
	require.Equal(t, 200, same.status)
	require.Empty(t, same.Events, "nothing to do is no event")
	require.Equal(t, uint64(3), same.Revision)
}

func TestATokenIsIssuedUsedAndRevoked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	body := fmt.Sprintf(`{"role":"hr","principal":"p-new","expires":%q}`, time.Now().Add(time.Hour).Format(time.RFC3339))

	first := s.post(access.Admin, "/v1/tokens", body, "Idempotency-Key", "t")
	again := s.post(access.Admin, "/v1/tokens", body, "Idempotency-Key", "t")

	require.Equal(t, 201, first.status, first.raw)
	require.Equal(t, first.raw, again.raw, "who lost the answer gets the same token")
	require.True(t, strings.HasPrefix(first.Token, edge.TokenPrefix))
	for _, event := range s.events(access.Stream) {
		require.False(t, bytes.Contains(event.Data, []byte(first.Token)), "a token is stored")
	}
	s.tokens["new"] = first.Token
	require.Equal(t, 201, s.post("new", "/v1/employees", hireBody("N-1")).status)
	require.Equal(t, 200, s.post(access.Admin, "/v1/tokens/"+first.ID+"/revocation", `{}`).status)
	gone := s.post("new", "/v1/employees", hireBody("N-2"))
	require.Equal(t, 401, gone.status)
	require.Equal(t, "token-revoked", gone.Code)
	require.Equal(t, 404, s.post(access.Admin, "/v1/tokens/"+uuid.NewString()+"/revocation", `{}`).status)
	require.Empty(t, s.post(access.Admin, "/v1/tokens?dry_run=true", body).Token)
}

func TestTokensAreListedWithoutTheirSecrets(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	require.Equal(t, 200, s.post(access.Admin, "/v1/tokens/"+s.tokenID(access.HR)+"/revocation", `{}`).status)
	var listed []edge.TokenEntry
	for next, pages := "", 0; pages == 0 || next != ""; pages++ {
		path := "/v1/tokens?limit=3"
		if next != "" {
			path += "&cursor=" + next
		}
		got := s.send(http.MethodGet, access.Auditor, path, "")
		require.Equal(t, 200, got.status, got.raw)
		var page TokenList
		require.NoError(t, json.Unmarshal([]byte(got.raw), &page))
		listed, next = append(listed, page.Items...), page.Next
		require.NotContains(t, got.raw, edge.HashToken(s.tokens[access.HR]))
		require.LessOrEqual(t, len(page.Items), 3)
	}
	require.Len(t, listed, len(access.Roles))
	for i, entry := range listed {
		require.Equal(t, access.Roles[i], entry.Role)
		require.Equal(t, entry.Role == access.HR, entry.Revoked)
	}
	require.Equal(t, 403, s.send(http.MethodGet, access.Finance, "/v1/tokens", "").status)
	require.Equal(t, 422, s.send(http.MethodGet, access.Admin, "/v1/tokens?cursor=x", "").status)
}

// A process that has not heard of a revocation yet must not say that it is done.
func TestARevocationAnswersWhenItHolds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	deaf := edge.NewTokens()
	for _, event := range s.events(access.Stream) {
		require.NoError(t, deaf.Apply(event))
	}
	api := edge.NewAPI(edge.Options{Tokens: deaf, Logger: quiet})
	Register(api, NewHandlers(s.process()), deaf)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	s.url = server.URL
	id := s.tokenID(access.HR)

	done := make(chan reply, 1)
	go func() { done <- s.post(access.Admin, "/v1/tokens/"+id+"/revocation", `{}`) }()

	require.Eventually(t, func() bool { return len(s.events(access.Stream)) == len(access.Roles)+1 }, 5*time.Second, time.Millisecond)
	select {
	case <-done:
		t.Fatal("answered before it held")
	case <-time.After(50 * time.Millisecond):
	}
	require.NoError(t, deaf.Apply(s.events(access.Stream)[len(access.Roles)]))
	require.Equal(t, 200, (<-done).status)
	require.Equal(t, "token-revoked", s.post(access.HR, "/v1/employees", hireBody("E-1")).Code)
}

// tokenID is the ID of a role's token.
func (s *site) tokenID(role access.Role) string {
	s.t.Helper()
	for _, event := range s.events(access.Stream) {
		var token access.TokenIssued
		require.NoError(s.t, json.Unmarshal(event.Data, &token))
		if token.Role == role {
			return token.TokenID.String()
		}
	}
	s.t.Fatal("no token of this role")
	return ""
}

func TestWithoutAValidTokenNothingOpens(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.issue(access.Admin, "-expired", time.Now().Add(-time.Hour))
	s.tokens["stranger"] = edge.TokenOf([32]byte{1})
	require.Eventually(t, func() bool {
		return s.post("admin-expired", "/v1/employees", hireBody("E-1")).Code == "token-expired"
	}, 5*time.Second, 10*time.Millisecond)
	for role, code := range map[access.Role]string{"": "token-missing", "stranger": "token-unknown", "admin-expired": "token-expired"} {
		got := s.post(role, "/v1/employees", hireBody("E-1"))
		require.Equal(t, 401, got.status)
		require.Equal(t, code, got.Code)
		require.Contains(t, got.header.Get("WWW-Authenticate"), "Bearer")
	}
}
