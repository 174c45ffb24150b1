package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/eventstore"
	"daybook.example/test/limit"
)

// thing is a body with a field of each kind that commands have.
type thing struct {
	Name   string         `json:"name,omitempty"`
	Day    domain.Date    `json:"day,omitzero"`
	Month  domain.Period  `json:"month,omitzero"`
	Pay    domain.Money   `json:"pay,omitzero"`
	Share  domain.Decimal `json:"share,omitzero"`
	Whom   uuid.UUID      `json:"whom,omitzero"`
	Count  int            `json:"count,omitempty"`
	Sure   *bool          `json:"sure,omitempty"`
	Inner  []inner        `json:"inner,omitempty"`
	Hidden string         `json:"-"`
}

type inner struct {
	Code string `json:"code"`
}

type thingInput struct {
	ValidAt domain.Date         `query:"valid_at"`
	After   eventstore.Position `query:"after"`
	Limit   int                 `query:"limit" minimum:"1" maximum:"100" default:"10"`
	RawBody []byte              `contentType:"application/json"`
}

type ListInput struct {
	ValidAt domain.Date         `query:"valid_at"`
	After   eventstore.Position `query:"after"`
	Limit   int                 `query:"limit" minimum:"1" maximum:"100" default:"10"`
}

type thingOutput struct {
	Body struct {
		Name  string              `json:"name"`
		After eventstore.Position `json:"after"`
	}
}

// A stand is an API with two operations, and a token for each role.
type stand struct {
	t      testing.TB
	api    *API
	url    string
	log    *bytes.Buffer
	tokens map[access.Role]string
	fail   error
	clock  time.Time
}

func newStand(t testing.TB, limits Limits) *stand {
	t.Helper()
	s := &stand{t: t, log: &bytes.Buffer{}, tokens: map[access.Role]string{}, clock: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
	tokens := NewTokens()
	for i, role := range access.Roles {
		s.tokens[role] = TokenOf([32]byte{byte(i + 1)})
		require.NoError(t, tokens.Apply(issued(uint64(i), s.tokens[role], role, s.clock.Add(time.Hour))))
	}
	s.api = NewAPI(Options{
		Tokens: tokens, LogID: uuid.New(), Version: "1.2.3", Limits: limits,
		Clock: func() time.Time { return s.clock }, Logger: slog.New(slog.NewTextHandler(s.log, nil)),
	})
	write := Operation{Method: http.MethodPost, Path: "/v1/things", Action: HireEmployee, Body: SchemaOf[thing](s.api)}
	Register(s.api, write, func(_ context.Context, in *thingInput) (*thingOutput, error) {
		body, err := Decode[thing](in.RawBody)
		if err != nil {
			return nil, err
		}
		out := &thingOutput{}
		out.Body.Name = body.Name
		return out, s.fail
	})
	read := Operation{Method: http.MethodGet, Path: "/v1/things/{id}", Action: ReadEmployees}
	Register(s.api, read, func(_ context.Context, in *struct {
		ID uuid.UUID `path:"id"`
		ListInput
	}) (*thingOutput, error) {
		if s.fail != nil {
			return nil, s.fail
		}
		if in.Limit == 42 {
			panic("at the disco")
		}
		return &thingOutput{}, nil
	})
	server := httptest.NewServer(s.api)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func issued(revision uint64, token string, role access.Role, expires time.Time) eventstore.Recorded {
	return tokenEvent(revision, access.TokenIssued{
		TokenID: domain.Derive(token), Hash: HashToken(token), Role: role, Principal: "p-" + string(role),
		EmployeeID: uuid.New(), Expires: expires, IssuedBy: "test",
	})
}

func tokenEvent(revision uint64, event access.Event) eventstore.Recorded {
	data, err := domain.Encode(event)
	if err != nil {
		panic(err)
	}
	return eventstore.Recorded{ID: uuid.New(), Stream: access.Stream, Revision: revision, Type: event.EventType(), Data: data, Metadata: []byte(`{"schema_version":1}`)}
}

type answer struct {
	status int
	header http.Header
	raw    string
	Problem
}

func (s *stand) do(method, path string, role access.Role, body io.Reader, headers ...string) answer {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, body)
	require.NoError(s.t, err)
	if token := s.tokens[role]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	a := answer{status: response.StatusCode, header: response.Header, raw: string(raw)}
	if response.StatusCode >= 400 {
		require.Equal(s.t, "application/problem+json", response.Header.Get("Content-Type"), a.raw)
		require.NoError(s.t, json.Unmarshal(raw, &a.Problem))
		require.Equal(s.t, a.status, a.Problem.Status)
		require.Equal(s.t, ProblemType+a.Code, a.Type)
	}
	return a
}

func (s *stand) post(body string, headers ...string) answer {
	s.t.Helper()
	return s.do(http.MethodPost, "/v1/things", access.Admin, strings.NewReader(body), headers...)
}

const canary = "Canary-7391"

func TestABadBodyIsRefusedByRuleAndFieldAndNotRepeated(t *testing.T) {
	t.Parallel()
	s := newStand(t, Limits{})
	for name, c := range map[string]struct {
		body        string
		status      int
		code, field string
	}{
		"malformed":          {`{"name":"` + canary, 400, "malformed", ""},
		"empty":              {``, 400, "bad-request", ""},
		"no JSON":            {canary, 400, "malformed", ""},
		"duplicate name":     {`{"name":"` + canary + `","name":"b"}`, 400, "duplicate-name", "/name"},
		"trailing":           {`{"name":"a"} {"name":"` + canary + `"}`, 400, "trailing-data", ""},
		"trailing brace":     {`{"name":"a"}}`, 400, "trailing-data", ""},
		"invalid UTF-8":      {"{\"name\":\"\xff\"}", 400, "malformed", ""},
		"lone surrogate":     {`{"name":"\ud800"}`, 400, "malformed", ""},
		"other case":         {`{"Name":"` + canary + `"}`, 422, "unknown-field", "/Name"},
		"unknown field":      {`{"nome":"` + canary + `"}`, 422, "unknown-field", "/nome"},
		"unknown, odd name":  {`{"` + canary + ` <b>":1}`, 422, "unknown-field", ""},
		"unknown in array":   {`{"inner":[{"code":"a"},{"kode":"` + canary + `"}]}`, 422, "unknown-field", "/inner/1/kode"},
		"field without wire": {`{"Hidden":"` + canary + `"}`, 422, "unknown-field", "/Hidden"},
		"null":               {`{"name":null}`, 422, "null", "/name"},
		"null in array":      {`{"inner":[null]}`, 422, "null", "/inner/0"},
		"null alone":         {`null`, 422, "null", ""},
		"array for object":   {`[]`, 422, "wrong-type", ""},
		"number for string":  {`{"name":739173917391}`, 422, "wrong-type", "/name"},
		"number for decimal": {`{"pay":{"amount":7391.50,"currency":"EUR"}}`, 422, "wrong-type", "/pay/amount"},
		"no date":            {`{"day":"` + canary + `"}`, 422, "wrong-type", "/day"},
		"date of no month":   {`{"day":"2025-02-30"}`, 422, "wrong-type", "/day"},
		"no period":          {`{"month":"2025-13"}`, 422, "wrong-type", "/month"},
		"no UUID":            {`{"whom":"` + canary + `"}`, 422, "wrong-type", "/whom"},
		"fraction":           {`{"count":1.5}`, 422, "wrong-type", "/count"},
		"too large number":   {`{"count":99999999999999999999}`, 422, "wrong-type", "/count"},
		"marker":             {`{"$personal":{"value":"` + canary + `"}}`, 422, "unknown-field", ""},
		"escaped marker":     {`{"\u0024sealed":{"value":"` + canary + `"}}`, 422, "unknown-field", ""},
		"too deep":           {strings.Repeat(`[`, 65) + strings.Repeat(`]`, 65), 422, "too-deep", ""},
		"very deep":          {strings.Repeat(`[`, 200_000), 422, "too-deep", ""},
		"long array":         {`{"inner":[` + strings.Repeat(`{},`, 10_000) + `{}]}`, 422, "array-too-long", "/inner"},
		"long string":        {`{"name":"` + strings.Repeat("a", 64<<10+1) + `"}`, 422, "string-too-long", "/name"},
		"huge":               {`{"name":"` + strings.Repeat("a", 512<<10) + `"}`, 413, "body-too-large", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.post(c.body)
			require.Equal(t, c.status, got.status, got.raw)
			require.Equal(t, c.code, got.Code, got.raw)
			require.Equal(t, c.field, got.Field)
			require.NotContains(t, got.raw, canary)
			require.NotContains(t, got.raw, "7391")
			chunked := s.do(http.MethodPost, "/v1/things", access.Admin, io.MultiReader(strings.NewReader(c.body)))
			require.Equal(t, c.status, chunked.status, "without a length: %s", chunked.raw)
		})
	}
	require.NotContains(t, s.log.String(), canary)
	require.Equal(t, 200, s.post(`{"name":"`+strings.Repeat("a", 64<<10)+`"}`).status)
	require.Equal(t, 200, s.post(`{"pay":{"amount":"1.50","currency":"EUR"},"day":"2025-02-28","sure":true}`).status)
}

func TestABadRequestIsAProblem(t *testing.T) {
	t.Parallel()
	s := newStand(t, Limits{})
	id := "/v1/things/" + uuid.NewString()
	for name, c := range map[string]struct {
		method, path string
		headers      []string
		status       int
		code, field  string
	}{
		"unknown route":          {"GET", "/v1/nothing", nil, 404, "no-such-route", ""},
		"root":                   {"GET", "/", nil, 404, "no-such-route", ""},
		"slash at the end":       {"GET", "/v1/things/", nil, 404, "no-such-route", ""},
		"two slashes":            {"GET", "//v1/things", nil, 404, "no-such-route", ""},
		"dots":                   {"GET", "/v1/../v1/things", nil, 404, "no-such-route", ""},
		"other method":           {"DELETE", "/v1/things", nil, 405, "method-not-allowed", ""},
		"read of a write":        {"GET", "/v1/things", nil, 405, "method-not-allowed", ""},
		"write of a read":        {"POST", id, nil, 405, "method-not-allowed", ""},
		"method of the house":    {"POST", "/healthz", nil, 405, "method-not-allowed", ""},
		"unknown parameter":      {"GET", id + "?validat=2025-01-01", nil, 400, "parameter-unsupported", ""},
		"parameter twice":        {"GET", id + "?limit=1&limit=2", nil, 400, "parameter-repeated", "query.limit"},
		"bytes that are no text": {"GET", "/v1/things/%A8", nil, 400, "address-malformed", ""},
		"a NUL":                  {"GET", id + "?limit=%00", nil, 400, "address-malformed", ""},
		"bad escape":             {"GET", id + "?limit=%zz", nil, 400, "query-malformed", ""},
		"parameter of bad form":  {"GET", id + "?valid_at=" + canary, nil, 422, "invalid", "query.valid_at"},
		"bad position":           {"GET", id + "?after=" + canary, nil, 422, "invalid", "query.after"},
		"out of range":           {"GET", id + "?limit=7391", nil, 422, "invalid", "query.limit"},
		"bad path":               {"GET", "/v1/things/" + canary, nil, 422, "invalid", "path.id"},
		"positions of another":   {"GET", id, []string{"Daybook-Log", uuid.NewString()}, 400, "other-log", "header.Daybook-Log"},
		"other content type":     {"POST", "/v1/things", []string{"Content-Type", "text/plain"}, 415, "content-type", ""},
		"a form":                 {"POST", "/v1/things", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "content-type", ""},
		"long headers":           {"GET", id, []string{"X-Long", strings.Repeat("a", 33<<10)}, 431, "headers-too-large", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.do(c.method, c.path, access.Admin, nil, c.headers...)
			require.Equal(t, c.status, got.status, got.raw)
			require.Equal(t, c.code, got.Code, got.raw)
			require.Equal(t, c.field, got.Field)
			require.NotContains(t, got.raw, canary)
			require.NotContains(t, got.raw, "7391")
		})
	}
	require.Equal(t, "GET, HEAD", s.do("POST", id, access.Admin, nil).header.Get("Allow"))
	require.Equal(t, 200, s.do("GET", id+"?limit=5&valid_at=2025-01-01&after=1/1", access.Admin, nil, "Daybook-Log", s.api.logID).status)
	require.Equal(t, 200, s.post(`{}`, "Content-Type", "application/JSON; charset=utf-8").status)
}

func TestErrorsKeepInsideWhatBelongsInside(t *testing.T) {
	t.Parallel()
	s := newStand(t, Limits{})
	id := "/v1/things/" + uuid.NewString()

	s.fail = fmt.Errorf("open %s: broken", canary)
	got := s.do("GET", id, access.Admin, nil)
	require.Equal(t, 500, got.status)
	require.Equal(t, "internal", got.Code)
	require.NotContains(t, got.raw, canary)
	require.Contains(t, s.log.String(), "broken", "the log says why")

	for kind, status := range statuses {
		s.fail = fmt.Errorf("while working: %w", &domain.Error{Kind: kind, Code: "some-rule", Field: "/day", Message: "do otherwise"})
		got := s.do("GET", id, access.Admin, nil)
		require.Equal(t, status, got.status)
		require.Equal(t, "some-rule", got.Code)
		require.Equal(t, "/day", got.Field)
		require.Equal(t, "do otherwise", got.Detail)
		require.Equal(t, status == 503, got.header.Get("Retry-After") != "")
	}
	require.Len(t, statuses, int(domain.Unknown)+1, "a kind without a status")

	s.fail = nil
	require.Equal(t, 500, s.do("GET", id+"?limit=42", access.Admin, nil).status)
	require.NotContains(t, s.do("GET", id+"?limit=42", access.Admin, nil).raw, "disco")
}

func TestTheHouseRoutesAreOpen(t *testing.T) {
	t.Parallel()
	s := newStand(t, Limits{})
	for _, path := range []string{"/openapi.json", "/docs", "/livez", "/healthz", "/readyz", "/metrics"} {
		got := s.do("GET", path, "", nil)
		require.Equal(t, 200, got.status, path)
		require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
	}
	docs := s.do("GET", "/docs", "", nil)
	require.Contains(t, docs.raw, "/v1/things/{id}")
	require.NotRegexp(t, `(src|href)="(https?:)?//`, docs.raw, "the page loads something from elsewhere")
	require.Contains(t, docs.header.Get("Content-Security-Policy"), "default-src 'none'")

	s.do("GET", "/v1/things/"+uuid.NewString(), access.Admin, nil)
	metrics := s.do("GET", "/metrics", "", nil).raw
	require.Contains(t, metrics, `daybook_edge_request_seconds_count{method="GET",route="/v1/things/{id}",status="200"} 1`)

	s.api.ReadyWhen("projector of employees", func(context.Context) error { return fmt.Errorf("at 12 of 40") })
	got := s.do("GET", "/readyz", "", nil)
	require.Equal(t, 503, got.status)
	require.Equal(t, "projector of employees: at 12 of 40", got.Detail)
	require.Equal(t, 200, s.do("GET", "/healthz", "", nil).status)

	s.api.HealthyWhen("projections", func(context.Context) error { return fmt.Errorf("one is halted") })
	got = s.do("GET", "/healthz", "", nil)
	require.Equal(t, 503, got.status)
	require.Equal(t, []string{"unhealthy", "projections: one is halted"}, []string{got.Code, got.Detail})
	require.Equal(t, 200, s.do("GET", "/livez", "", nil).status, "a restart mends nothing")
}

func TestMetricsOnOtherListenersNeedTheOperator(t *testing.T) {
	t.Parallel()
	s := newStand(t, Limits{})
	for role, status := range map[access.Role]int{"": 401, access.HR: 403, access.Operator: 200, access.Admin: 200} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil) // has no local address
		r.Header.Set("Authorization", "Bearer "+s.tokens[role])
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		require.Equal(t, status, w.Code, role)
	}
}

func TestTooManyRequestsAreTurnedAwayInTime(t *testing.T) {
	t.Parallel()
	s := newStand(t, Limits{PerSecond: 0.5, Burst: 2})
	id := "/v1/things/" + uuid.NewString()
	require.Equal(t, 200, s.do("GET", id, access.Admin, nil).status)
	require.Equal(t, 200, s.do("GET", id, access.Admin, nil).status)

	got := s.do("GET", id, access.Admin, nil)

	require.Equal(t, 429, got.status)
	require.Equal(t, "2", got.header.Get("Retry-After"))
	require.Equal(t, 200, s.do("GET", id, access.HR, nil).status, "others are not slowed down")
	s.clock = s.clock.Add(2 * time.Second)
	require.Equal(t, 200, s.do("GET", id, access.Admin, nil).status)
}

func TestAnOverloadedServerSaysSo(t *testing.T) {
	t.Parallel()
	s := newStand(t, Limits{Requests: 1})
	require.True(t, s.api.requests.enter())

	got := s.do("GET", "/v1/things/"+uuid.NewString(), access.Admin, nil)

	require.Equal(t, 503, got.status)
	require.Equal(t, "overloaded", got.Code)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	require.Equal(t, 200, s.do("GET", "/healthz", "", nil).status)
	s.api.requests.leave()
	require.Equal(t, 200, s.do("GET", "/v1/things/"+uuid.NewString(), access.Admin, nil).status)
}

func TestAnOperationThatCannotBeGuardedDoesNotStart(t *testing.T) {
	t.Parallel()
	api := NewAPI(Options{Tokens: NewTokens()})
	require.Panics(t, func() {
		Register(api, Operation{Method: http.MethodGet, Path: "/v1/secrets", Action: "secrets.read"}, func(context.Context, *struct{}) (*thingOutput, error) { return nil, nil })
	})
	type hidden struct {
		Limit int `query:"limit"`
	}
	type input struct{ hidden }
	require.PanicsWithValue(t, "edge: edge.input embeds hidden, whose parameters would be lost: export it", func() {
		Register(api, Operation{Method: http.MethodGet, Path: "/v1/things", Action: ReadEmployees}, func(context.Context, *input) (*thingOutput, error) { return nil, nil })
	})
}

// Whatever is sent, the answer is no 5xx and repeats no token.
func FuzzServeHTTP(f *testing.F) {
	f.Add("POST", "/v1/things?limit=1", "application/json", "", `{"name":"a"}`)
	f.Add("GET", "/v1/things/6f1e0000-0000-4000-8000-000000000001?after=1/1&valid_at=2025-01-01", "", "x", "")
	f.Add("POST", "/v1/things", "application/json; charset=utf-8", "*", `{"inner":[{"code":"x"}]}`)
	f.Add("DELETE", "/%2e%2e//v1", "a/b+c;d", "", "null")
	f.Add("GET", "/v1/things/x?limit=%", "+;", "", "")
	s := newStand(f, Limits{PerSecond: 1e9, Burst: 1e9})
	f.Fuzz(func(t *testing.T, method, target, contentType, header, body string) {
		defer limit.Input(t, len(target)+len(header)+len(body))()
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || strings.Contains(target, "limit=42") { // 42 panics on purpose
			t.Skip()
		}
		r := &http.Request{Method: method, URL: u, RequestURI: target, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
		r.Header["Content-Type"], r.Header["If-Match"] = []string{contentType}, []string{header}
		r.Header.Set("Authorization", "Bearer "+s.tokens[access.Admin])
		w := httptest.NewRecorder()

		s.api.ServeHTTP(w, r)

		require.Less(t, w.Code, 500, w.Body.String())
		require.NotContains(t, w.Body.String(), TokenPrefix)
		if w.Code >= 400 {
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			require.True(t, json.Valid(w.Body.Bytes()))
		}
	})
}
