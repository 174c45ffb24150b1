package main_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An api is the HTTP API of a demo, with a token a role.
type api struct {
	base   string
	tokens map[string]string
}

// A request is one that is refused.
type request struct {
	as     string // a role, or a whole token
	method string // POST by default
	path   string
	body   string
	header http.Header
}

// A reply is what came back.
type reply struct {
	status int
	body   []byte
	header http.Header
}

func (r reply) code() string {
	var problem struct{ Code string }
	_ = json.Unmarshal(r.body, &problem)
	return problem.Code
}

func (a api) send(t *testing.T, r request) reply {
	t.Helper()
	if r.method == "" {
		r.method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(t.Context(), r.method, a.base+r.path, strings.NewReader(r.body))
	require.NoError(t, err)
	if r.header != nil {
		req.Header = r.header
	}
	if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	token, ok := a.tokens[r.as]
	if !ok {
		token = r.as
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return reply{resp.StatusCode, content, resp.Header}
}

// head is the end of the log: it stands still while nothing is written.
func (a api) head(t *testing.T) string {
	t.Helper()
	var list struct{ Head string }
	r := a.send(t, request{as: "admin", method: http.MethodGet, path: "/v1/projections"})
	require.NoError(t, json.Unmarshal(r.body, &list))
	require.NotEmpty(t, list.Head)
	return list.Head
}

// demo starts a demo and returns its API.
func demo(t *testing.T) api {
	t.Helper()
	dir := folder(t)
	p := startWith(t, database(t), "demo", "--dir", dir)
	a := api{base: p.of("API")}
	content, err := os.ReadFile(filepath.Join(dir, "tokens.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &a.tokens))
	return a
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// lineItems are the lines of an entry in euros, as account, side, amount.
func lineItems(lines ...string) string {
	var items []string
	for i := 0; i < len(lines); i += 3 {
		items = append(items, `{"account":"`+lines[i]+`","side":"`+lines[i+1]+`","amount":{"amount":"`+lines[i+2]+`","currency":"EUR"}}`)
	}
	return "[" + strings.Join(items, ",") + "]"
}

func entry(day, lines string) string {
	return `{"posting_date":"` + day + `","description":"A sale","lines":` + lines + `}`
}

func TestBadInputIsRefusedAndNothingIsWritten(t *testing.T) {
	t.Parallel()
	// Given the demo's company, with somebody in it
	a := demo(t)
	var people struct {
		Items []struct {
			ID       string
			HireDate string `json:"hire_date"`
		}
	}
	require.NoError(t, json.Unmarshal(a.send(t, request{as: "hr", method: "GET", path: "/v1/employees?limit=1&valid_at=2024-01-01"}).body, &people))
	someone := "/v1/employees/" + people.Items[0].ID
	day, err := time.Parse(time.DateOnly, people.Items[0].HireDate)
	require.NoError(t, err)
	before, open := day.AddDate(0, 0, -1).Format(time.DateOnly), "/v1/books/main/periods/2025-12/entries"
	balanced := lineItems("1000", "D", "10.00", "4000", "C", "10.00")
	terminate := `{"last_day":"2025-12-31","ground":"resignation"}`
	key := header("Idempotency-Key", "once")
	posted := a.send(t, request{as: "finance", path: open, body: entry("2025-12-31", balanced), header: key})
	require.Equal(t, 201, posted.status, "%s", posted.body)

	expired := a.token(t, `{"role":"hr","principal":"short","expires":"`+time.Now().Add(2*time.Second).UTC().Format(time.RFC3339Nano)+`"}`)
	revoked := a.token(t, `{"role":"hr","principal":"gone","expires":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano)+`"}`)
	require.Equal(t, 200, a.send(t, request{as: "admin", path: "/v1/tokens/" + revoked.id + "/revocation", body: `{}`}).status)
	time.Sleep(2 * time.Second)

	engagement := a.engagement(t)
	pay := `{"effective_from":"2025-01-01","pay_basis":"monthly","pay_frequency":"monthly","amount":{"amount":"1.00","currency":"EUR"}`
	for name, c := range map[string]struct {
		request
		status int
		code   string
	}{
		"malformed":           {request{as: "finance", path: open, body: `{"posting_date":`}, 400, "malformed"},
		"no UTF-8":            {request{as: "finance", path: open, body: "{\"description\":\"\xff\"}"}, 400, "malformed"},
		"empty":               {request{as: "finance", path: open}, 400, ""},
		"duplicate key":       {request{as: "finance", path: open, body: `{"description":"a","description":"b"}`}, 400, "duplicate-name"},
		"trailing":            {request{as: "finance", path: open, body: entry("2025-12-31", balanced) + "{}"}, 400, ""},
		"wrong case":          {request{as: "finance", path: open, body: strings.Replace(entry("2025-12-31", balanced), "lines", "Lines", 1)}, 422, "unknown-field"},
		"unknown field":       {request{as: "finance", path: open, body: strings.Replace(entry("2025-12-31", balanced), "{", `{"approved":true,`, 1)}, 422, "unknown-field"},
		"null":                {request{as: "finance", path: open, body: strings.Replace(entry("2025-12-31", balanced), `"A sale"`, "null", 1)}, 422, "null"},
		"wrong type":          {request{as: "finance", path: open, body: strings.Replace(entry("2025-12-31", balanced), `"A sale"`, "7", 1)}, 422, "wrong-type"},
		"a float for money":   {request{as: "finance", path: open, body: strings.Replace(entry("2025-12-31", balanced), `"10.00"`, "10.00", 1)}, 422, "wrong-type"},
		"huge":                {request{as: "finance", path: open, body: `{"description":"` + strings.Repeat("x", 600<<10) + `"}`}, 413, "body-too-large"},
		"content type":        {request{as: "finance", path: open, body: "a=b", header: header("Content-Type", "application/x-www-form-urlencoded")}, 415, "content-type"},
		"parameter":           {request{as: "finance", path: open + "?dryrun=true", body: entry("2025-12-31", balanced)}, 400, "parameter-unsupported"},
		"unbalanced":          {request{as: "finance", path: open, body: entry("2025-12-31", lineItems("1000", "D", "10.00", "4000", "C", "9.99"))}, 422, "unbalanced"},
		"a tenth of a cent":   {request{as: "finance", path: open, body: entry("2025-12-31", lineItems("1000", "D", "1.005", "4000", "C", "1.005"))}, 422, ""},
		"unknown account":     {request{as: "finance", path: open, body: entry("2025-12-31", lineItems("1000", "D", "1.00", "9999", "C", "1.00"))}, 422, "account-unknown"},
		"outside the period":  {request{as: "finance", path: open, body: entry("2025-11-30", balanced)}, 422, ""},
		"closed period":       {request{as: "finance", path: "/v1/books/main/periods/2023-07/entries", body: entry("2023-07-15", balanced)}, 422, "period-closed"},
		"unknown period":      {request{as: "finance", path: "/v1/books/main/periods/2031-01/entries", body: entry("2031-01-15", balanced)}, 404, ""},
		"unknown book":        {request{as: "finance", path: "/v1/books/other/periods/2025-12/entries", body: entry("2025-12-15", balanced)}, 404, ""},
		"no period":           {request{as: "finance", path: "/v1/books/main/periods/2025-13/entries", body: entry("2025-12-15", balanced)}, 422, "invalid"},
		"key with other body": {request{as: "finance", path: open, body: entry("2025-12-30", balanced), header: key.Clone()}, 422, "idempotency-key-reused"},
		"stale If-Match":      {request{as: "hr", path: someone + "/terminations", body: terminate, header: header("If-Match", `"0"`)}, 412, "stale-revision"},
		"odd If-Match":        {request{as: "hr", path: someone + "/terminations", body: terminate, header: header("If-Match", "seven")}, 400, "if-match-malformed"},
		"before the hire":     {request{as: "hr", path: someone + "/terminations", body: strings.Replace(terminate, "2025-12-31", before, 1)}, 422, ""},
		"pay before the hire": {request{as: "payroll", path: someone + "/compensations", body: strings.Replace(pay, "2025-01-01", before, 1) + `,"change_reason":"review"}`}, 422, "effective-before-hire"},
		"overlapping spells":  {request{as: "hr", path: someone + "/rehires", body: engagement}, 422, "spell-overlap"},
		"no such employee":    {request{as: "hr", path: "/v1/employees/00000000-0000-4000-8000-000000000000/terminations", body: terminate}, 404, ""},
		"no employee's ID":    {request{as: "hr", path: "/v1/employees/7/terminations", body: terminate}, 422, "invalid"},
		"a taken number":      {request{as: "hr", path: "/v1/employees", body: strings.Replace(engagement, "{", `{"employee_no":"e0001","legal_name":{"given":"Ada","family":"Stone"},"birth_date":"1980-05-17","nationality":"DE","work_email":"ada@harbour-lane.example",`, 1)}, 409, ""},
		"no token":            {request{path: open, body: entry("2025-12-31", balanced)}, 401, "token-missing"},
		"an unknown token":    {request{as: "daybook_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", path: open, body: entry("2025-12-31", balanced)}, 401, "token-unknown"},
		"an expired token":    {request{as: expired.secret, path: someone + "/terminations", body: terminate}, 401, "token-expired"},
		"a revoked token":     {request{as: revoked.secret, path: someone + "/terminations", body: terminate}, 401, "token-revoked"},
		"the wrong role":      {request{as: "hr", path: open, body: entry("2025-12-31", balanced)}, 403, "forbidden"},
		"another's record":    {request{as: "employee", path: someone + "/personal-data", body: `{}`}, 403, "forbidden"},
		"who may not import":  {request{as: "operator", path: "/v1/imports", body: "{}\n", header: header("Content-Type", "application/x-ndjson")}, 403, "forbidden"},
		"no such route":       {request{as: "admin", path: "/v1/everything", body: "{}"}, 404, "no-such-route"},
		"no such method":      {request{as: "admin", method: http.MethodDelete, path: someone}, 405, "method-not-allowed"},
		"another log":         {request{as: "finance", path: open, body: entry("2025-12-31", balanced), header: header("Daybook-Log", "00000000-0000-4000-8000-000000000000")}, 400, "other-log"},
		"a time to come":      {request{as: "auditor", method: http.MethodGet, path: "/v1/reports/headcount?known_at=2999-01-01T00:00:00Z"}, 400, ""},
		"no date":             {request{as: "auditor", method: http.MethodGet, path: "/v1/reports/headcount?valid_at=yesterday"}, 400, ""},
	} {
		t.Run(name, func(t *testing.T) {
			head := a.head(t)

			// When it is sent
			r := a.send(t, c.request)

			// Then it is a problem that names the rule and repeats nothing, and nothing is written
			require.Equal(t, c.status, r.status, "%s", r.body)
			require.Equal(t, "application/problem+json", r.header.Get("Content-Type"))
			require.NotEmpty(t, r.code())
			if c.code != "" {
				require.Equal(t, c.code, r.code(), "%s", r.body)
			}
			require.NotContains(t, string(r.body), "A sale")
			require.Less(t, len(r.body), 4<<10)
			require.Equal(t, head, a.head(t))
		})
	}

	// And the same command again is the same answer
	again := a.send(t, request{as: "finance", path: open, body: entry("2025-12-31", balanced), header: key})
	require.Equal(t, posted.status, again.status)
	require.True(t, bytes.Equal(posted.body, again.body), "%s\n%s", posted.body, again.body)
}

// engagement is a whole one, in the company's own places.
func (a api) engagement(t *testing.T) string {
	t.Helper()
	get := func(path string, answer any) {
		r := a.send(t, request{as: "hr", method: http.MethodGet, path: path})
		require.NoError(t, json.Unmarshal(r.body, answer), "%s", r.body)
	}
	var units struct{ Items []struct{ ID string } }
	var company struct {
		LegalEntities []struct{ ID string } `json:"legal_entities"`
		Locations     []struct{ ID string }
	}
	get("/v1/org-units", &units)
	get("/v1/organisation", &company)
	return `{"hire_date":"2025-06-02","employment_type":"permanent","legal_entity_id":"` + company.LegalEntities[0].ID + `",
		"position":{"position_id":"` + units.Items[0].ID + `","org_unit_id":"` + units.Items[0].ID + `","job_title":"Clerk",
		"location_id":"` + company.Locations[0].ID + `","cost_center":"CC10"}}`
}

type issued struct{ id, secret string }

func (a api) token(t *testing.T, body string) issued {
	t.Helper()
	r := a.send(t, request{as: "admin", path: "/v1/tokens", body: body})
	var made struct{ ID, Token string }
	require.NoError(t, json.Unmarshal(r.body, &made))
	require.NotEmpty(t, made.Token, "%s", r.body)
	return issued{made.ID, made.Token}
}
