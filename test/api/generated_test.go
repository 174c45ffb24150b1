package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain/access"
	"daybook.example/test/level"
	"daybook.example/test/program"
)

const (
	chain = 20 // requests, each of which may speak of what those before it made

	// Operations on an instance of a process, and the waiver of an event at which a
	// projection is halted: no request makes either.
	outOfReach = 4
)

// Chains of requests made from the document of the whole API, valid and broken,
// get documented statuses and answers of the documented form, and never a 5xx.
func TestGeneratedRequestsGetDocumentedAnswers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	doc := s.document()
	var operations []operation
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths.Value(path).Operations())) {
			operations = append(operations, operation{doc.Paths.Value(path).Operations()[method], method, path})
		}
	}
	statuses := map[int]int{}
	succeeded := map[string]bool{}
	rapid.Check(t, func(rt *rapid.T) {
		g := &generator{T: rt, known: s.known()}
		for range chain {
			op := rapid.SampledFrom(operations).Draw(rt, "operation")
			g.broken = rapid.IntRange(0, 2).Draw(rt, "broken") == 0
			q := g.request(op)
			got := s.send(q)
			op.holds(rt, q, got)
			g.learn(op.path, got)
			statuses[got.status]++
			if got.status < 300 {
				succeeded[op.method+" "+op.path] = true
			}
		}
	})
	require.NoError(t, s.Client().CaughtUp(t.Context()), "what was recorded stops no projection")
	t.Logf("seed %s: answers by status: %v; %d of %d operations succeeded at least once", seed(), statuses, len(succeeded), len(operations))
	tenths := level.Of(5, 8, 7) // by night chance may leave some out
	require.Greater(t, len(succeeded)*10, (len(operations)-outOfReach)*tenths, "a generator that is always refused shows little: %v", slices.Sorted(maps.Keys(succeeded)))
}

// An operation is one of the document.
type operation struct {
	*openapi3.Operation
	method, path string
}

// holds requires that an answer is as the document says.
func (op operation) holds(t *rapid.T, q request, got answer) {
	require.Less(t, got.status, 500, "%s %s %s: %s", q.method, q.path, q.body, got.body)
	response := op.Responses.Value(strconv.Itoa(got.status))
	require.NotNil(t, response, "%s %s answers %d, which is not documented: %s", q.method, q.path, got.status, got.body)
	kind, _, err := mime.ParseMediaType(got.header.Get("Content-Type"))
	require.NoError(t, err, "%s %s", q.method, q.path)
	media := response.Value.Content[kind]
	require.NotNil(t, media, "%s %s answers %d with %s, which is not documented", q.method, q.path, got.status, kind)
	if kind == "application/x-ndjson" {
		for line := range strings.Lines(got.body) {
			require.True(t, json.Valid([]byte(line)), line)
		}
		return
	}
	var value any
	require.NoError(t, json.Unmarshal([]byte(got.body), &value), got.body)
	require.NoError(t, media.Schema.Value.VisitJSON(value), "%s %s: %s", q.method, q.path, got.body)
}

// known are things that there are, by the name under which requests speak of them.
func (s *site) known() map[string][]string {
	return map[string][]string{
		"employees": {s.own, s.other}, "org-units": {s.company.OrgUnit}, "tokens": {uuid.NewString()},
		"book": {program.Book}, "account": {"1000", "4000"}, "period": {program.Period}, "entry": {s.entry},
		"legal_entity_id": {s.company.LegalEntity}, "location_id": {s.company.Location}, "org_unit_id": {s.company.OrgUnit},
		"position": {"0/0"}, "event": {uuid.NewString()},
	}
}

// aliases are the other names under which requests speak of what is known.
var aliases = map[string]string{
	"corrects_event_id": "event", "rescinds_event_id": "event", "manager_employee_id": "employees", "manager": "employees", "employee_id": "employees",
	"parent": "org-units", "org_unit": "org-units", "after": "position", "from": "position", "known_at": "position", "entity": "employees",
}

// A generator makes requests of operations; a broken one now and then what does
// not fit.
type generator struct {
	*rapid.T
	broken bool
	known  map[string][]string
}

// learn keeps what an answer tells, for the requests after it.
func (g *generator) learn(path string, got answer) {
	position, made := got.header.Get("Daybook-Position"), got.made()
	if got.status >= 300 || position == "" {
		return
	}
	g.known["position"] = append(g.known["position"], position)
	for _, event := range made.Events {
		g.known["event"] = append(g.known["event"], event.ID.String())
	}
	name, _ := strings.CutPrefix(path[strings.LastIndex(path, "/"):], "/")
	name = map[string]string{"employees": "employees", "org-units": "org-units", "tokens": "tokens", "books": "book", "accounts": "account", "periods": "period", "entries": "entry"}[name]
	if got.status == http.StatusCreated && name != "" && made.ID != "" {
		g.known[name] = append(g.known[name], made.ID)
	}
}

func (g *generator) now(one int, of string) bool { return rapid.IntRange(1, one).Draw(g.T, of) == 1 }

func (g *generator) request(op operation) request {
	q := request{method: op.method, path: op.path, role: access.Admin, headers: map[string]string{}}
	if g.now(8, "other role") {
		q.role = rapid.SampledFrom(append(access.Roles, "")).Draw(g.T, "role")
	}
	query := url.Values{}
	for _, ref := range op.Parameters {
		p := ref.Value
		if !p.Required && !g.now(5, p.Name) || p.Required && g.broken && g.now(20, "missing") && p.In != "path" {
			continue
		}
		switch value := g.parameter(op, p); p.In {
		case "path":
			q.path = strings.ReplaceAll(q.path, "{"+p.Name+"}", url.PathEscape(value))
		case "query":
			query.Add(p.Name, value)
		case "header":
			q.headers[p.Name] = strings.ReplaceAll(value, "\x00", "")
		}
	}
	if g.broken && g.now(20, "unsupported") {
		query.Add(rapid.SampledFrom([]string{"x", "limit", "dryRun"}).Draw(g.T, "parameter"), "1")
	}
	if q.method == http.MethodPost && strings.HasPrefix(op.path, "/v1/projections/") {
		query.Set("dry_run", "true") // the others wait for read models that go on
	}
	if len(query) > 0 {
		q.path += "?" + query.Encode()
	}
	if op.RequestBody != nil {
		g.fill(&q, op.RequestBody.Value)
	}
	return q
}

// parameter is a value as text. Headers carry no control characters: no client
// can send them.
func (g *generator) parameter(op operation, p *openapi3.Parameter) string {
	if g.broken && g.now(6, "misplaced") {
		return rapid.SampledFrom([]string{"x y", "0", "-1", "null", "..", "1/2/3", "é", "\x00", "\xa8", uuid.Nil.String(), "2024-02-30", "9999-12-31", "now", strings.Repeat("9", 30)}).Draw(g.T, p.Name)
	}
	name := p.Name
	if name == "id" {
		name = strings.Split(op.path, "/")[2]
	}
	switch name {
	case "name": // in a path
		return rapid.SampledFrom([]string{readModel, readModel, "nothing"}).Draw(g.T, name)
	case "If-Match":
		return rapid.SampledFrom([]string{"*", `"0"`, `"1"`, `"2"`, "x"}).Draw(g.T, name)
	case "Idempotency-Key":
		return rapid.StringMatching(`[a-c]`).Draw(g.T, name)
	case "cursor":
		return rapid.SampledFrom([]string{"1", "x", "eyJ9"}).Draw(g.T, name)
	case "Last-Event-ID":
		name = "from"
	case "from", "to":
		if !strings.HasSuffix(op.path, "/events") || strings.Contains(op.path, "audit") {
			return g.day()
		}
	case "valid_at":
		return g.day()
	case "kind", "category":
		return rapid.SampledFrom([]string{"employee", "journal", "book", "orgunit"}).Draw(g.T, name)
	case "type":
		return rapid.SampledFrom([]string{"employee-hired", "journal-entry-posted"}).Draw(g.T, name)
	}
	return fmt.Sprint(g.value(name, p.Schema.Value, 0))
}

// fill gives a request its body.
func (g *generator) fill(q *request, body *openapi3.RequestBody) {
	kind := slices.Sorted(maps.Keys(body.Content))[0]
	q.headers["Content-Type"] = kind
	switch {
	case g.broken && g.now(25, "malformed"):
		q.body = rapid.SampledFrom([]string{"", "{", "[]", `{"a":1,"a":2}`, "{} {}", "null", "\xff", `{"reason":"\ud800"}`, strings.Repeat("[", 20_000)}).Draw(g.T, "body")
	case kind == "application/json":
		q.body = g.text(g.value("", body.Content[kind].Schema.Value, 0))
	default:
		q.body = g.lines()
	}
	if g.broken && g.now(40, "other type") {
		q.headers["Content-Type"] = "text/plain"
	}
}

// lines are an import of a few commands.
func (g *generator) lines() string {
	var lines strings.Builder
	for n := range rapid.IntRange(0, 3).Draw(g.T, "lines") {
		key := fmt.Sprint("file/", n, rapid.IntRange(0, 5).Draw(g.T, "key"))
		line := map[string]any{
			"key": key, "source": map[string]any{"system": "till", "ref": key},
			"command": rapid.SampledFrom([]string{"employees.hire", "books.open", "accounts.open", "nothing", ""}).Draw(g.T, "command"),
			"target":  rapid.SampledFrom([]string{"", program.Book, "x"}).Draw(g.T, "target"),
			"body":    map[string]any{"book": "other", "functional_currency": "EUR"},
		}
		lines.WriteString(g.text(line) + "\n")
	}
	return lines.String()
}

func (g *generator) text(value any) string {
	text, err := json.Marshal(value)
	require.NoError(g.T, err)
	return string(text)
}

// value is one of a schema.
func (g *generator) value(name string, schema *openapi3.Schema, depth int) any {
	if depth > 0 && g.broken && g.now(20, "fit") {
		return rapid.OneOf(rapid.SampledFrom([]any{nil, "", 1.5, true, []any{}, map[string]any{"x": 1}}), rapid.String().AsAny()).Draw(g.T, "misfit")
	}
	switch {
	case schema.Type.Is("object"):
		object := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
			if slices.Contains(schema.Required, name) || depth < 3 && !g.now(4, name) {
				object[name] = g.value(name, schema.Properties[name].Value, depth+1)
			}
		}
		return object
	case schema.Type.Is("array"):
		items := []any{}
		for range rapid.IntRange(0, 3).Draw(g.T, "items") {
			items = append(items, g.value(name, schema.Items.Value, depth+1))
		}
		return items
	case schema.Type.Is("boolean"):
		return rapid.Bool().Draw(g.T, "boolean")
	case schema.Type.Is("integer"):
		return rapid.IntRange(-1, 10).Draw(g.T, "integer")
	case len(schema.Enum) > 0:
		return rapid.SampledFrom(schema.Enum).Draw(g.T, "enum")
	}
	return g.word(name, schema)
}

var currency = regexp.MustCompile(`^\^\[A-Z\]`)

func (g *generator) word(name string, schema *openapi3.Schema) string {
	if known := append(g.known[name], g.known[aliases[name]]...); len(known) > 0 && !g.now(6, "unknown") {
		return rapid.SampledFrom(known).Draw(g.T, name)
	}
	switch {
	case schema.Format == "date":
		return g.day()
	case schema.Format == "uuid":
		return uuid.UUID{0: rapid.Byte().Draw(g.T, "uuid"), 6: 0x40, 8: 0x80}.String()
	case schema.Format == "date-time":
		return "2030-01-01T00:00:00Z"
	case currency.MatchString(schema.Pattern):
		return rapid.SampledFrom([]string{"EUR", "EUR", "USD", "JPY", "XXQ"}).Draw(g.T, "currency")
	case schema.Pattern != "":
		return rapid.OneOf(rapid.StringMatching(schema.Pattern), rapid.SampledFrom([]string{"1", "100.00", "2024-02"})).Draw(g.T, "pattern")
	}
	return rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9]{1,12}`), rapid.SampledFrom([]string{"1000", "DE", "UTC", "ada@firm.example"})).Draw(g.T, "word")
}

func (g *generator) day() string {
	return fmt.Sprintf("202%d-%02d-%02d", rapid.IntRange(3, 6).Draw(g.T, "year"), rapid.IntRange(1, 12).Draw(g.T, "month"), rapid.IntRange(1, 28).Draw(g.T, "day"))
}
