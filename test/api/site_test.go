package api_test

import (
	"encoding/json"
	"flag"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain/access"
	"daybook.example/test/level"
	"daybook.example/test/program"
)

func TestMain(m *testing.M) {
	flag.Parse()
	set := map[string]int{"rapid.checks": level.Of(60, 2500, 2500)}
	if seed() == "0" { // not given
		set["rapid.seed"] = level.Of(1, 2, rand.Int()) // the same requests each time, but by night
	}
	for name, value := range set {
		if err := flag.Set(name, strconv.Itoa(value)); err != nil {
			panic(err)
		}
	}
	os.Exit(program.Main(m))
}

// seed is what the generated requests are drawn from.
func seed() string { return flag.Lookup("rapid.seed").Value.String() }

// readModel is one that there is.
const readModel = "audit_log"

// A site is the program at work on a small company, with a token for each role.
type site struct {
	*program.Process
	t       *testing.T
	company program.Company
	own     string // the employee whom every token names
	other   string
	entry   string
	tokens  map[access.Role]string
}

func newSite(t *testing.T) *site {
	t.Helper()
	home := program.NewHome(t)
	s := &site{Process: home.Start(t, program.Options{}), t: t, tokens: map[access.Role]string{}}
	client, must := s.Client(), program.Must(t)
	var err error
	s.company, err = program.Found(t.Context(), client, "Europe/Berlin")
	require.NoError(t, err)
	s.own = must(client.Post(t.Context(), "/v1/employees", s.company.Hire("E-1", "2024-01-01", nil))).ID()
	s.other = must(client.Post(t.Context(), "/v1/employees", s.company.Hire("E-2", "2024-02-01", nil))).ID()
	s.entry = must(client.Post(t.Context(), program.Entries, program.Sale("SO1", "10.00"))).ID()
	for _, role := range access.Roles {
		s.tokens[role] = s.issue(role)
	}
	require.NoError(t, client.CaughtUp(t.Context()))
	return s
}

func (s *site) issue(role access.Role) string {
	s.t.Helper()
	body := program.JSON{
		"role": role, "principal": "p-" + string(role), "employee_id": s.own, "expires": time.Now().Add(time.Hour).Format(time.RFC3339),
	}
	var issued struct{ Token string }
	require.NoError(s.t, program.Must(s.t)(s.Client().Post(s.t.Context(), "/v1/tokens", body)).Into(&issued))
	return issued.Token
}

// document is the OpenAPI document that the program serves.
func (s *site) document() *openapi3.T {
	s.t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(s.send(request{method: http.MethodGet, path: "/openapi.json"}).body))
	require.NoError(s.t, err)
	for _, schema := range doc.Components.Schemas {
		allowNull(schema, map[*openapi3.Schema]bool{})
	}
	return doc
}

// allowNull says in the words of OpenAPI 3.0, which the validator knows, that a
// schema without a type takes null as well.
func allowNull(ref *openapi3.SchemaRef, seen map[*openapi3.Schema]bool) {
	if ref == nil || seen[ref.Value] {
		return
	}
	seen[ref.Value] = true
	ref.Value.Nullable = ref.Value.Nullable || ref.Value.Type == nil
	for _, property := range ref.Value.Properties {
		allowNull(property, seen)
	}
	allowNull(ref.Value.Items, seen)
	allowNull(ref.Value.AdditionalProperties.Schema, seen)
}

// A request is one that no client of good manners need have made.
type request struct {
	method, path string
	role         access.Role // "" = no token
	body         string
	headers      map[string]string
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (s *site) send(q request) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), q.method, s.HTTP+q.path, strings.NewReader(q.body))
	require.NoError(s.t, err, q.path)
	if token := s.tokens[q.role]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for name, value := range q.headers {
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return answer{response.StatusCode, response.Header, string(body)}
}

// made is what a command's answer says it made.
func (a answer) made() (made struct {
	ID     string
	Events []struct{ ID uuid.UUID }
}) {
	_ = json.Unmarshal([]byte(a.body), &made)
	return made
}
