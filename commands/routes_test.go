package commands

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/commands/edge"
	"daybook.example/domain/access"
	"daybook.example/domain/domaintest"
)

// testdata/routes.golden is the table of all write routes: method, path, action,
// roles, statuses.
func TestTheRouteTableIsTheOpenAPIDocument(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	domaintest.Golden(t, "routes.golden", []byte(s.api.RouteTable()))

	documented := map[string][]string{}
	for path, item := range s.document().Paths.Map() {
		for method, op := range item.Operations() {
			documented[method+" "+path] = slices.Sorted(maps.Keys(op.Responses.Map()))
		}
	}
	for _, route := range s.api.Routes() {
		key := route.Method + " " + route.Path
		statuses := make([]string, len(route.Statuses))
		for i, status := range route.Statuses {
			statuses[i] = strconv.Itoa(status)
		}
		require.Equal(t, statuses, documented[key], key)
		delete(documented, key)
	}
	require.Empty(t, documented, "documented, but not in the table")
}

func TestTheDocumentDescribesEveryCommand(t *testing.T) {
	t.Parallel()
	doc := newSite(t).document()
	hire := doc.Components.Schemas["EmployeeHire"].Value
	require.Contains(t, hire.Properties, "employee_no")
	require.NotContains(t, hire.Properties, "Context")
	require.Equal(t, "date", hire.Properties["hire_date"].Value.Format)
	require.Equal(t, "uuid", hire.Properties["legal_entity_id"].Value.Format)
	require.Equal(t, []any{"permanent", "fixed_term", "apprentice", "contractor"}, hire.Properties["employment_type"].Value.Enum)
	require.NotEmpty(t, doc.Components.Schemas["Money"].Value.Properties["amount"].Value.Pattern)
	for path, item := range doc.Paths.Map() {
		op := item.Post
		require.NotNil(t, op, path)
		if path == importPath {
			continue
		}
		for _, header := range []string{"Idempotency-Key", "If-Match"} {
			require.NotNil(t, op.Parameters.GetByInAndName("header", header), path)
		}
		require.NotNil(t, op.Parameters.GetByInAndName("query", "dry_run"), path)
		for _, name := range braces(path) {
			require.NotNil(t, op.Parameters.GetByInAndName("path", name), "%s {%s}", path, name)
		}
		require.NotEmpty(t, op.RequestBody.Value.Content["application/json"].Schema.Ref, path)
	}
}

func (s *site) document() *openapi3.T {
	s.t.Helper()
	got := s.send(http.MethodGet, "", "/openapi.json", "")
	doc, err := openapi3.NewLoader().LoadFromData([]byte(got.raw))
	require.NoError(s.t, err)
	require.Equal(s.t, "3.1.0", doc.OpenAPI)
	return doc
}

// testdata/matrix.golden declares every cell of route x role x own or other
// record as a request over HTTP finds it: x lets in, - is 403.
func TestEveryCellOfRouteAndRoleIsDeclared(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.hired()
	paid := s.post(access.Payroll, "/v1/employees/"+id+"/compensations", raise)
	corrected := s.post(access.Payroll, "/v1/employees/"+id+"/corrections", `{"corrects_event_id":"`+paid.Events[0].ID.String()+`","reason_text":"typing error","compensation":{"change_reason":"annual"}}`)
	require.Equal(t, 200, corrected.status, corrected.raw)
	moved := s.events("employee-" + id)[1].ID
	fill := strings.NewReplacer("{id}", id, "{book}", "main", "{period}", "2024-01", "{entry}", uuid.NewString(), "{account}", "1", "{name}", "audit_log").Replace
	var matrix strings.Builder
	request := func(name, method, path, body string) {
		fmt.Fprintf(&matrix, "%-62s", name)
		for _, role := range access.Roles {
			headers := []string{}
			if path == importPath {
				headers = []string{"Content-Type", "application/x-ndjson"}
			}
			got := s.send(method, role, path, body, headers...)
			require.NotContains(t, []int{401, 500}, got.status, got.raw)
			cell := "x"
			if got.status == http.StatusForbidden {
				require.Equal(t, "forbidden", got.Code)
				cell = "-"
			}
			fmt.Fprintf(&matrix, " %s=%s", role, cell)
		}
		matrix.WriteString("\n")
	}
	row := func(name, path, body string) { request(name, http.MethodPost, path+"?dry_run=true", body) }
	for _, route := range s.api.Routes() {
		if route.Method == http.MethodGet || route.Path == importPath {
			request(route.Method+" "+route.Path, route.Method, route.Path, "")
			continue
		}
		row(route.Path, fill(route.Path), `{}`)
		if strings.HasPrefix(route.Path, employeePath) {
			row(route.Path+" (own)", strings.ReplaceAll(route.Path, "{id}", s.self.String()), `{}`)
		}
	}
	path := "/v1/employees/" + id
	row("hire with pay", "/v1/employees", `{"compensation":`+raise+`}`)
	row("rehire with pay", path+"/rehires", `{"compensation":`+raise+`}`)
	for member := range strings.FieldsSeq("hire rehire position manager compensation working_time personal_data bank_account termination retirement probation_confirmation probation_extension") {
		row("correction of "+member, path+"/corrections", `{"`+member+`":{}}`)
	}
	row("rescission of pay", path+"/rescissions", `{"reason_text":"x","rescinds_event_id":"`+paid.Events[0].ID.String()+`"}`)
	row("rescission of a correction of pay", path+"/rescissions", `{"reason_text":"x","rescinds_event_id":"`+corrected.Events[0].ID.String()+`"}`)
	row("rescission of a position", path+"/rescissions", `{"reason_text":"x","rescinds_event_id":"`+moved.String()+`"}`)
	domaintest.Golden(t, "matrix.golden", []byte(matrix.String()))
}

func TestAFileOfAllCommandsCanBeImported(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	known := map[string]bool{}
	for _, route := range s.api.Routes() {
		known[string(route.Action)] = true
	}
	for _, route := range s.api.Routes() {
		if route.Method == http.MethodGet || route.Action == edge.IssueToken || route.Action == edge.RevokeToken || route.Action == edge.WaiveEvent || route.Action == edge.RunImport {
			continue
		}
		target := strings.Join(slices.Repeat([]string{"x"}, len(braces(route.Path))), "/")
		answers := s.imports(access.Admin, strings.NewReader(importLine(string(route.Action), string(route.Action), target, `{}`)))
		require.NotContains(t, []string{"command-unknown", "target-invalid"}, answers[1].Error.Code, route.Action)
	}
}
