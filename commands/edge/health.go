package edge

import (
	"context"
	_ "embed" // the docs page
	"encoding/json"
	"html/template"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// houseRoutes adds what is no operation of the business.
func (a *API) houseRoutes() {
	a.mux.HandleFunc("GET /openapi.json", a.openAPI)
	a.mux.HandleFunc("GET /docs", a.docs)
	a.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { plain(w, "alive\n") })
	a.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { a.healthy.answer(w, r, "healthy", "unhealthy") })
	a.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { a.ready.answer(w, r, "ready", "not-ready") })
	a.mux.HandleFunc("GET /metrics", a.serveMetrics)
	a.mux.HandleFunc("/", a.elsewhere)
}

func plain(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text)
}

// checks must all hold.
type checks struct {
	mu  sync.Mutex
	all []check
}

type check struct {
	name  string
	holds func(context.Context) error
}

// ReadyWhen makes /readyz answer 503 while holds returns an error: requests may
// not come yet. The error's text is shown, so it holds nothing personal.
func (a *API) ReadyWhen(name string, holds func(context.Context) error) { a.ready.add(name, holds) }

// HealthyWhen makes /healthz answer 503 while holds returns an error: somebody
// must look, and no restart helps. What answers at all is alive (/livez).
func (a *API) HealthyWhen(name string, holds func(context.Context) error) { a.healthy.add(name, holds) }

func (c *checks) add(name string, holds func(context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, check{name, holds})
}

func (c *checks) answer(w http.ResponseWriter, r *http.Request, well, code string) {
	c.mu.Lock()
	all := slices.Clone(c.all)
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	for _, c := range all {
		if err := c.holds(ctx); err != nil {
			NewProblem(http.StatusServiceUnavailable, code, c.name+": "+err.Error()).RetryAfter(time.Second).Write(w)
			return
		}
	}
	plain(w, well+"\n")
}

// serveMetrics shows metrics to operators; on the machine itself to everyone.
func (a *API) serveMetrics(w http.ResponseWriter, r *http.Request) {
	if !viaLoopback(r) {
		principal, err := a.authenticate(r)
		if err == nil && ReadMetrics.Allows(principal.Role) == Nothing {
			err = Forbidden()
		}
		if err != nil {
			p, _ := ProblemOf(err)
			p.Write(w)
			return
		}
	}
	promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// metrics observe each request by its route, never by an ID.
type metrics struct{ seconds *prometheus.HistogramVec }

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "daybook_edge_request_seconds",
		Help:    "Time from a request's arrival at its operation to the end of the answer.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
	}, []string{"method", "route", "status"})}
	registry.MustRegister(m.seconds)
	return m
}

func (m *metrics) observe(op Operation, status int, took time.Duration) {
	m.seconds.WithLabelValues(op.Method, op.Path, strconv.Itoa(status)).Observe(took.Seconds())
}

func (a *API) openAPI(w http.ResponseWriter, _ *http.Request) {
	document, err := json.Marshal(a.OpenAPI())
	if err != nil {
		NewProblem(http.StatusInternalServerError, "internal", "the document cannot be written").Write(w)
		return
	}
	w.Header().Set("Content-Type", "application/openapi+json")
	_, _ = w.Write(document)
}

//go:embed docs.html
var docsPage string

var docsTemplate = template.Must(template.New("docs").Parse(docsPage))

// docs lists the operations on a page that needs nothing from elsewhere.
func (a *API) docs(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
	_ = docsTemplate.Execute(w, map[string]any{"Info": a.OpenAPI().Info, "Operations": a.described(), "Schemas": a.schemas()})
}

type describedOperation struct {
	*huma.Operation
	Body, Statuses string
	Roles          string
}

// described lists the operations in the order of their registration.
func (a *API) described() (all []describedOperation) {
	for _, route := range a.routes {
		item := a.OpenAPI().Paths[route.Path]
		op := item.Get
		if route.Method == http.MethodPost {
			op = item.Post
		}
		d := describedOperation{Operation: op, Statuses: route.statuses(), Roles: route.Action.roles()}
		if op.RequestBody != nil {
			for _, media := range op.RequestBody.Content {
				d.Body = strings.TrimPrefix(media.Schema.Ref, "#/components/schemas/")
			}
		}
		all = append(all, d)
	}
	return all
}

type describedSchema struct{ Name, JSON string }

func (a *API) schemas() (all []describedSchema) {
	schemas := a.OpenAPI().Components.Schemas.Map()
	for name, schema := range schemas {
		text, _ := json.MarshalIndent(schema, "", "  ")
		all = append(all, describedSchema{name, string(text)})
	}
	slices.SortFunc(all, func(x, y describedSchema) int { return strings.Compare(x.Name, y.Name) })
	return all
}
