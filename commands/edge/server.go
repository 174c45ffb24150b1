// Package edge is what both halves of the HTTP API share: who is asking, what
// they may do and see, how much they may send, how strictly it is read, and how a
// refusal looks. Both halves register their operations on one API.
package edge

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// Options say how an API is made. Tokens must be set.
type Options struct {
	Tokens   *Tokens
	LogID    uuid.UUID            // of the log behind it: positions mean nothing on another one
	Version  string               // of the software
	Clock    func() time.Time     // real time; nil = time.Now
	Logger   *slog.Logger         // nil = slog.Default()
	Registry *prometheus.Registry // nil = one of its own
	Limits   Limits
}

// An API is one HTTP API under construction, then in service: its operations,
// their document, and what stands before them.
type API struct {
	huma   huma.API
	mux    *http.ServeMux
	tokens *Tokens
	logID  string
	clock  func() time.Time
	logger *slog.Logger
	limits Limits
	rates  *rates

	requests   gate
	streams    gate
	turns      map[string]*turns // by kind
	overloaded *prometheus.CounterVec
	stopping   context.Context
	stop       context.CancelFunc
	registry   *prometheus.Registry
	metrics    *metrics
	routes     []Route
	ready      checks
	healthy    checks
}

// configureHuma changes what huma offers only as package variables.
var configureHuma = sync.OnceFunc(func() {
	huma.ValidateStrictCasing = true
	huma.DefaultArrayNullable = false // an answer's array is empty, never null
	huma.NewError = fromHuma
	huma.NewErrorWithContext = func(_ huma.Context, status int, message string, errs ...error) huma.StatusError {
		return fromHuma(status, message, errs...)
	}
})

// NewAPI makes an API without operations of its own but with /openapi.json,
// /docs, /livez, /healthz, /readyz and /metrics.
func NewAPI(o Options) *API {
	configureHuma()
	a := &API{
		mux:    http.NewServeMux(),
		tokens: o.Tokens,
		clock:  o.Clock,
		logger: cmp.Or(o.Logger, slog.Default()),
		limits: o.Limits.orDefaults(),
	}
	if a.clock == nil {
		a.clock = time.Now
	}
	if o.LogID != uuid.Nil {
		a.logID = o.LogID.String()
	}
	a.rates = &rates{limits: a.limits, of: map[string]*rate.Limiter{}}
	a.requests, a.streams = make(gate, a.limits.Requests), make(gate, a.limits.Streams)
	a.stopping, a.stop = context.WithCancel(context.Background())
	a.registry = cmp.Or(o.Registry, prometheus.NewRegistry())
	a.metrics = newMetrics(a.registry)
	a.overloaded = newOverloaded(a.registry)
	a.turns = map[string]*turns{}
	for _, kind := range []string{commandKind, readKind} {
		a.turns[kind] = newTurns(a.limits.AtOnce)
		watchTurns(a.registry, kind, a.turns[kind])
	}
	watchProcess(a.registry)
	a.huma = humago.New(a.mux, configuration(o.Version))
	a.houseRoutes()
	return a
}

// configuration is huma's, without what it would load from elsewhere or add to
// answers.
func configuration(version string) huma.Config {
	format := huma.Format{Marshal: marshal, Unmarshal: unmarshal}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "Daybook",
				Version:     cmp.Or(version, "dev"),
				Description: "Commands append employee and journal events; reads answer from read models, as of any valid and known time.",
			},
			Components: &huma.Components{
				Schemas: newRegistry(),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"bearer": {Type: "http", Scheme: "bearer", Description: "A token of `daybook token issue`."},
				},
			},
		},
		Formats:       map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat: "application/json",
	}
}

func (a *API) now() time.Time { return a.clock() }

// Stop ends the streams that are open, so that a server can drain. Other
// requests go on to their end.
func (a *API) Stop() { a.stop() }

// ServeHTTP answers one request: what holds for every one is checked here, what
// depends on the operation by its guard.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer a.recover(w, r)
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	if a.logID != "" {
		header.Set("Daybook-Log", a.logID)
	}
	if err := cmp.Or(headersFit(r), a.sameLog(r), cleanPath(r)); err != nil {
		p, _ := ProblemOf(err)
		p.Write(w)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// sameLog refuses a request that brings positions of another log.
func (a *API) sameLog(r *http.Request) error {
	if theirs := r.Header.Get("Daybook-Log"); theirs != "" && a.logID != "" && theirs != a.logID {
		return NewProblem(http.StatusBadRequest, "other-log", "Daybook-Log names another log than this one; positions of it mean nothing here, so begin anew").At("header.Daybook-Log")
	}
	return nil
}

// cleanPath refuses a path that the standard mux would redirect.
func cleanPath(r *http.Request) error {
	if p := r.URL.Path; p == "" || p[0] != '/' || p != "/" && path.Clean(p) != p {
		return notFound()
	}
	return nil
}

// recover turns a panic into an answer. The log gets its stack, never the body.
func (a *API) recover(w http.ResponseWriter, r *http.Request) {
	reason := recover()
	if reason == nil {
		return
	}
	if err, ok := reason.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(reason)
	}
	a.logger.Error("a request panicked", "method", r.Method, "route", r.Pattern, "stack", string(debug.Stack()))
	NewProblem(http.StatusInternalServerError, "internal", "an error that nobody foresaw; the server's log says more").Write(w)
}

func notFound() *Problem {
	return NewProblem(http.StatusNotFound, "no-such-route", "nothing is at this address; /docs and /openapi.json list what there is")
}

// elsewhere answers what no operation takes: another method's path is 405.
func (a *API) elsewhere(w http.ResponseWriter, r *http.Request) {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := a.mux.Handler(probe); pattern != "/" {
			allow = append(allow, method)
		}
	}
	if len(allow) == 0 {
		notFound().Write(w)
		return
	}
	if slices.Contains(allow, http.MethodGet) {
		allow = append(allow, http.MethodHead)
	}
	NewProblem(http.StatusMethodNotAllowed, "method-not-allowed", "this address takes other methods: "+strings.Join(allow, ", ")).
		With("Allow", strings.Join(allow, ", ")).Write(w)
}
