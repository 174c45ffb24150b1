package commands

import (
	"encoding/json"
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
	"pgregory.net/rapid"

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
	fill := strings.NewReplacer("{id}", id, "{book}", "main", "{period}", "2024-01", "{entry}", uuid.NewString(), "{account}", "1").Replace
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
	for member := range strings.FieldsSeq("hire rehire position manager compensation working_time personal_data bank_account termination retirement") {
		row("correction of "+member, path+"/corrections", `{"`+member+`":{}}`)
	}
	row("rescission of pay", path+"/rescissions", `{"reason_text":"x","rescinds_event_id":"`+paid.Events[0].ID.String()+`"}`)
	row("rescission of a correction of pay", path+"/rescissions", `{"reason_text":"x","rescinds_event_id":"`+corrected.Events[0].ID.String()+`"}`)
	row("rescission of a position", path+"/rescissions", `{"reason_text":"x","rescinds_event_id":"`+moved.String()+`"}`)
	domaintest.Golden(t, "matrix.golden", []byte(matrix.String()))
}

// Requests made from the document, valid and broken, get documented statuses and
// answers of the documented form, and never a 5xx.
func TestGeneratedRequestsGetDocumentedAnswers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	doc := s.document()
	paths := slices.Sorted(maps.Keys(doc.Paths.Map()))
	paths = slices.DeleteFunc(paths, func(path string) bool { return path == importPath || path == "/v1/tokens" })
	known := map[string][]string{"id": {s.hired()}, "book": {"main"}, "account": {"1000"}, "period": {"2024-01"}, "entry": {uuid.NewString()}}
	s.post(access.Admin, "/v1/books", `{"book":"main","functional_currency":"EUR"}`)
	s.post(access.Admin, "/v1/books/main/accounts", `{"code":"1000","name":"Cash","class":"asset"}`)
	s.post(access.Admin, "/v1/books/main/periods", `{"period":"2024-01"}`)
	recorded := 0
	rapid.Check(t, func(rt *rapid.T) {
		path := rapid.SampledFrom(paths).Draw(rt, "path")
		op := doc.Paths.Value(path).Post
		schema := op.RequestBody.Value.Content["application/json"].Schema
		make := generator{rt, rapid.Bool().Draw(rt, "broken")}
		body, err := json.Marshal(make.value(schema.Value, 0))
		require.NoError(rt, err)
		target := path
		for _, name := range braces(path) {
			value := rapid.SampledFrom(known[name]).Draw(rt, name)
			if make.broken && rapid.IntRange(0, 3).Draw(rt, "misplaced") == 0 {
				value = rapid.SampledFrom([]string{"x y", "", "0", uuid.Nil.String()}).Draw(rt, name)
			}
			target = strings.ReplaceAll(target, "{"+name+"}", strings.ReplaceAll(value, " ", "%20"))
		}
		if rapid.Bool().Draw(rt, "dry") {
			target += "?dry_run=true"
		}

		var headers []string
		if rapid.IntRange(0, 4).Draw(rt, "conditional") == 0 {
			headers = []string{"If-Match", rapid.SampledFrom([]string{"*", `"0"`, `"1"`, "x"}).Draw(rt, "If-Match"), "Idempotency-Key", rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "key")}
		}

		got := s.post(access.Admin, target, string(body), headers...)

		require.Less(rt, got.status, 500, "%s %s: %s", target, body, got.raw)
		response := op.Responses.Value(strconv.Itoa(got.status))
		require.NotNil(rt, response, "%s answers %d, which is not documented: %s", target, got.status, got.raw)
		var value any
		require.NoError(rt, json.Unmarshal([]byte(got.raw), &value))
		for _, media := range response.Value.Content {
			require.NoError(rt, media.Schema.Value.VisitJSON(value), got.raw)
		}
		if got.status == http.StatusCreated && strings.HasSuffix(path, "/employees") {
			known["id"] = append(known["id"], got.ID)
		}
		if len(got.Events) > 0 {
			recorded++
		}
	})
	require.NotZero(t, recorded, "a generator that is always refused shows little")
}

// A generator makes values of schemas; a broken one now and then what does not fit.
type generator struct {
	*rapid.T
	broken bool
}

func (g generator) value(schema *openapi3.Schema, depth int) any {
	if g.broken && rapid.IntRange(0, 20).Draw(g.T, "fit") == 0 {
		return rapid.OneOf(rapid.SampledFrom([]any{nil, "", 1.5, true, []any{}, map[string]any{"x": 1}}), rapid.String().AsAny()).Draw(g.T, "misfit")
	}
	switch {
	case schema.Type.Is("object"):
		object := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
			if slices.Contains(schema.Required, name) || depth < 3 && rapid.IntRange(0, 3).Draw(g.T, name) > 0 {
				object[name] = g.value(schema.Properties[name].Value, depth+1)
			}
		}
		return object
	case schema.Type.Is("array"):
		items := []any{}
		for range rapid.IntRange(0, 3).Draw(g.T, "items") {
			items = append(items, g.value(schema.Items.Value, depth+1))
		}
		return items
	case schema.Type.Is("boolean"):
		return rapid.Bool().Draw(g.T, "boolean")
	case schema.Type.Is("integer"):
		return rapid.IntRange(-1, 10).Draw(g.T, "integer")
	case len(schema.Enum) > 0:
		return rapid.SampledFrom(schema.Enum).Draw(g.T, "enum")
	}
	return g.text(schema)
}

func (g generator) text(schema *openapi3.Schema) string {
	switch {
	case schema.Format == "date":
		return fmt.Sprintf("202%d-%02d-%02d", rapid.IntRange(3, 5).Draw(g.T, "year"), rapid.IntRange(1, 12).Draw(g.T, "month"), rapid.IntRange(1, 28).Draw(g.T, "day"))
	case schema.Format == "uuid":
		return uuid.UUID{0: rapid.Byte().Draw(g.T, "uuid"), 6: 0x40, 8: 0x80}.String()
	case schema.Format == "date-time":
		return "2030-01-01T00:00:00Z"
	case strings.Contains(schema.Pattern, "A-Z"):
		return rapid.SampledFrom([]string{"EUR", "USD", "JPY", "XXQ"}).Draw(g.T, "currency")
	case schema.Pattern != "":
		return rapid.OneOf(rapid.StringMatching(schema.Pattern), rapid.SampledFrom([]string{"1", "100.00", "2024-02"})).Draw(g.T, "pattern")
	}
	return rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9]{1,12}`), rapid.SampledFrom([]string{"1000", "DE", "UTC", "ada@firm.example"})).Draw(g.T, "word")
}

func TestAFileOfAllCommandsCanBeImported(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	known := map[string]bool{}
	for _, route := range s.api.Routes() {
		known[string(route.Action)] = true
	}
	for _, route := range s.api.Routes() {
		if route.Method == http.MethodGet || route.Action == edge.IssueToken || route.Action == edge.RevokeToken || route.Action == edge.RunImport {
			continue
		}
		target := strings.Join(slices.Repeat([]string{"x"}, len(braces(route.Path))), "/")
		answers := s.imports(access.Admin, strings.NewReader(importLine(string(route.Action), string(route.Action), target, `{}`)))
		require.NotContains(t, []string{"command-unknown", "target-invalid"}, answers[1].Error.Code, route.Action)
	}
}
