package edge

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// An Operation is one route: what the table of routes and the OpenAPI document
// say of it, and what its guard enforces.
type Operation struct {
	Method      string
	Path        string
	Summary     string
	Description string
	Tag         string
	Action      Action                  // must stand in the role table
	Status      int                     // of success; 0 = 200
	Body        *huma.Schema            // of a JSON body, see SchemaOf; nil = none
	Places      map[string]*huma.Schema // of braces in the path that no field of the input names
	Lines       bool                    // the body is NDJSON without an end known in advance
	Answers     []string                // content types of success other than JSON
	Answer      *huma.Schema            // of JSON that the operation writes itself, beside Answers
	Stream      bool                    // lasts as long as the caller likes, with deadlines of its own
	Within      time.Duration           // for the answer; 0 = Limits.AnswerWithin
}

// A Route is a line of the table of routes.
type Route struct {
	Method, Path string
	Action       Action
	Statuses     []int
}

// Routes lists all operations in the order of their registration.
func (a *API) Routes() []Route { return slices.Clone(a.routes) }

// RouteTable prints the routes a line each: method, path, action, roles, answers.
func (a *API) RouteTable() string {
	var table strings.Builder
	for _, r := range a.routes {
		fmt.Fprintf(&table, "%-4s %s | %s | %s | %s\n", r.Method, r.Path, r.Action, r.Action.roles(), r.statuses())
	}
	return table.String()
}

func (r Route) statuses() string { return strings.Trim(fmt.Sprint(r.Statuses), "[]") }

// OpenAPI is the document of all operations registered so far.
func (a *API) OpenAPI() *huma.OpenAPI { return a.huma.OpenAPI() }

// SchemaOf describes T in the document, for a body that an operation decodes
// itself with Decode, or for a place in its path.
func SchemaOf[T any](a *API) *huma.Schema {
	return a.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

// Register adds an operation. The handler's errors may be *domain.Error,
// *Problem or anything else; the caller sees only what is meant for them.
func Register[I, O any](a *API, op Operation, handler func(context.Context, *I) (*O, error)) {
	if !op.Action.Declared() {
		panic(fmt.Sprintf("edge: %s %s names the action %q, which the role table lacks", op.Method, op.Path, op.Action))
	}
	refuseHidden(reflect.TypeFor[I]())
	g := &guard{api: a, op: op, requests: a.requests, kind: op.kind()}
	if op.Stream {
		g.requests = a.streams
	}
	described := a.describe(op)
	described.Middlewares = huma.Middlewares{g.pass}
	body := described.RequestBody
	huma.Register(a.huma, described, func(ctx context.Context, input *I) (*O, error) {
		output, err := handler(ctx, input)
		if err != nil {
			return nil, a.explain(ctx, op, err)
		}
		return output, nil
	})
	if body != nil && op.Body != nil { // huma describes a raw body as bytes
		body.Content["application/json"].Schema = op.Body
	}
	if op.status() == http.StatusCreated { // what made nothing new is 200
		described.Responses["200"] = described.Responses["201"]
	}
	g.parameters = a.parametersOf(op)
	a.routes = append(a.routes, Route{op.Method, op.Path, op.Action, statusesOf(op)})
}

// refuseHidden keeps an operation from starting whose parameters huma would pass
// over in silence: those of an embedded struct that is not exported.
func refuseHidden(input reflect.Type) {
	for i := range input.NumField() {
		if field := input.Field(i); field.Anonymous && !field.IsExported() {
			panic(fmt.Sprintf("edge: %s embeds %s, whose parameters would be lost: export it", input, field.Name))
		}
	}
}

// explain logs what the caller must not see and returns what they may.
func (a *API) explain(ctx context.Context, op Operation, err error) *Problem {
	p, known := ProblemOf(err)
	if !known {
		a.logger.ErrorContext(ctx, "a request failed", "method", op.Method, "route", op.Path, "error", err)
	}
	return p
}

// kind is by what the operation's requests take their turns; streams take none.
func (op Operation) kind() string {
	switch {
	case op.Stream:
		return streamKind
	case op.Method == http.MethodPost:
		return commandKind
	}
	return readKind
}

func (op Operation) status() int { return cmp.Or(op.Status, http.StatusOK) }

// statusesOf lists all statuses that an operation may answer.
func statusesOf(op Operation) []int {
	all := []int{op.status(), 400, 401, 403, 404, 422, 429, 431, 500, 503}
	if op.Method == http.MethodPost {
		all = append(all, http.StatusOK, 408, 409, 412, 413, 415)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// describe is the operation as huma and the document have it.
func (a *API) describe(op Operation) huma.Operation {
	described := huma.Operation{
		OperationID:      operationID(op),
		Method:           op.Method,
		Path:             op.Path,
		Summary:          op.Summary,
		Description:      op.Description,
		DefaultStatus:    op.status(),
		MaxBodyBytes:     a.limits.BodyBytes + 1, // huma refuses what is as long as its limit
		BodyReadTimeout:  10 * time.Second,
		SkipValidateBody: true, // Decode and the domain are stricter and name the rule
		Security:         []map[string][]string{{"bearer": {}}},
		Responses:        map[string]*huma.Response{},
		Errors:           statusesOf(op),
	}
	for name, schema := range op.Places {
		described.Parameters = append(described.Parameters, &huma.Param{Name: name, In: "path", Required: true, Schema: schema})
	}
	slices.SortFunc(described.Parameters, func(x, y *huma.Param) int { return strings.Compare(x.Name, y.Name) })
	if op.Tag != "" {
		described.Tags = []string{op.Tag}
	}
	described.Errors = slices.DeleteFunc(described.Errors, func(status int) bool { return status < 400 })
	switch {
	case op.Body != nil:
		described.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: op.Body}}}
	case op.Lines:
		described.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{ndjson: {Schema: &huma.Schema{Type: huma.TypeString}}}}
	}
	if len(op.Answers) > 0 {
		content := map[string]*huma.MediaType{}
		for _, name := range op.Answers {
			content[name] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
		}
		if op.Answer != nil {
			content["application/json"] = &huma.MediaType{Schema: op.Answer}
		}
		described.Responses[strconv.Itoa(op.status())] = &huma.Response{Description: http.StatusText(op.status()), Content: content}
	}
	return described
}

const ndjson = "application/x-ndjson"

func operationID(op Operation) string {
	id := strings.NewReplacer("{", "", "}", "", "/v1/", "", "/", "-", ".", "-").Replace(op.Path)
	return strings.ToLower(op.Method) + "-" + strings.Trim(id, "-")
}

// parametersOf lists the query parameters that an operation knows.
func (a *API) parametersOf(op Operation) map[string]bool {
	item := a.OpenAPI().Paths[op.Path]
	described := item.Get
	if op.Method == http.MethodPost {
		described = item.Post
	}
	known := map[string]bool{}
	for _, parameter := range described.Parameters {
		if parameter.In == "query" {
			known[parameter.Name] = true
		}
	}
	return known
}

// A guard stands before one operation.
type guard struct {
	api        *API
	op         Operation
	requests   gate
	kind       string
	parameters map[string]bool
}

// pass lets a request in that may come in, and measures it.
func (g *guard) pass(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	started := time.Now()
	defer func() { g.api.metrics.observe(g.op, ctx.Status(), time.Since(started)) }()
	own := &turn{of: g.api.turns[g.kind]}
	if own.closed() || !g.requests.enter() {
		g.turnAway(ctx)
		return
	}
	defer g.requests.leave()
	principal, err := g.admit(r)
	if err != nil {
		g.refuse(ctx, err)
		return
	}
	inner, cancel := g.life(r, w)
	defer cancel()
	if !own.take(inner) {
		g.turnAway(ctx)
		return
	}
	defer own.leave()
	inner = context.WithValue(inner, turnKey{}, own)
	next(huma.WithContext(ctx, withRequest(WithPrincipal(inner, principal), r)))
}

// turnAway refuses what the server cannot do beside all that it does already.
func (g *guard) turnAway(ctx huma.Context) {
	g.api.overloaded.WithLabelValues(g.kind).Inc()
	g.refuse(ctx, overloaded())
}

// admit asks who it is, whether they may, and whether they ask rightly.
func (g *guard) admit(r *http.Request) (Principal, error) {
	principal, err := g.api.authenticate(r)
	if err != nil {
		return principal, err
	}
	if err := g.api.rates.take(principal.ID, g.api.now()); err != nil {
		return principal, err
	}
	if g.op.Action.Allows(principal.Role) == Nothing {
		return principal, Forbidden()
	}
	return principal, cmp.Or(addressFits(r), g.queryFits(r), g.bodyFits(r))
}

// addressFits refuses what is no text: no name in the business holds it, and
// Postgres would take it for a fault of ours.
func addressFits(r *http.Request) error {
	query, err := url.QueryUnescape(r.URL.RawQuery)
	if text := r.URL.Path + query; err == nil && (!utf8.ValidString(text) || strings.ContainsRune(text, 0)) {
		return NewProblem(http.StatusBadRequest, "address-malformed", "the address is not UTF-8 text without NUL, once its % escapes are undone")
	}
	return nil
}

// Forbidden is the answer to what the role table does not allow. It does not say
// whether the thing exists.
func Forbidden() error {
	return NewProblem(http.StatusForbidden, "forbidden", "the role of this token does not allow this")
}

func (g *guard) queryFits(r *http.Request) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return NewProblem(http.StatusBadRequest, "query-malformed", "the address is not well-formed behind its question mark")
	}
	for name, given := range values {
		if !g.parameters[name] {
			return NewProblem(http.StatusBadRequest, "parameter-unsupported", "this address takes no such parameter; it takes: "+g.listed())
		}
		if len(given) > 1 {
			return NewProblem(http.StatusBadRequest, "parameter-repeated", "a parameter is given twice").At("query." + name)
		}
	}
	return nil
}

func (g *guard) listed() string {
	names := make([]string, 0, len(g.parameters))
	for name := range g.parameters {
		names = append(names, name)
	}
	slices.Sort(names)
	return cmp.Or(strings.Join(names, ", "), "none")
}

func (g *guard) bodyFits(r *http.Request) error {
	switch {
	case g.op.Lines:
		return jsonOnly(r.Header.Get("Content-Type"), ndjson)
	case g.op.Body != nil:
		if r.ContentLength > g.api.limits.BodyBytes {
			return NewProblem(http.StatusRequestEntityTooLarge, "body-too-large", fmt.Sprintf("a body has at most %d bytes", g.api.limits.BodyBytes))
		}
		return jsonOnly(r.Header.Get("Content-Type"), "application/json")
	}
	return nil
}

// life is how long a request may take. A stream lasts until its caller or the
// server goes, and sets deadlines for what it writes.
func (g *guard) life(r *http.Request, w http.ResponseWriter) (context.Context, context.CancelFunc) {
	if !g.op.Stream {
		return context.WithTimeout(r.Context(), cmp.Or(g.op.Within, g.api.limits.AnswerWithin))
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Time{})
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(g.api.stopping, cancel)
	return ctx, func() { stop(); cancel() }
}

// refuse answers with a problem before the operation is reached.
func (g *guard) refuse(ctx huma.Context, err error) {
	p := g.api.explain(ctx.Context(), g.op, err)
	for name := range p.header {
		ctx.SetHeader(name, p.header.Get(name))
	}
	ctx.SetHeader("Content-Type", p.ContentType(""))
	ctx.SetStatus(p.Status)
	_ = marshal(ctx.BodyWriter(), p)
}

type requestKey struct{}

func withRequest(ctx context.Context, r *http.Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestFrom is the request that a handler's context belongs to. Its body
// belongs to the operation.
func RequestFrom(ctx context.Context) *http.Request {
	r, _ := ctx.Value(requestKey{}).(*http.Request)
	return r
}

// A Streamed answer is written by the operation itself, headers included.
type Streamed struct {
	Body func(huma.Context)
}

// Streaming answers with what serve writes. The context of r ends with the
// request and when the API stops.
func Streaming(serve func(w http.ResponseWriter, r *http.Request)) *Streamed {
	return &Streamed{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		serve(w, r.WithContext(ctx.Context()))
	}}
}
