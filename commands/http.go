package commands

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/domain/book"
	"daybook.example/domain/employee"
	"daybook.example/domain/journal"
	"daybook.example/domain/operation"
	"daybook.example/domain/organisation"
	"daybook.example/domain/orgunit"
	"daybook.example/domain/process"
)

// Handlers are the handlers of all categories, one each for a process.
type Handlers struct {
	Core         *Core
	Employees    *Handler[employee.Command, employee.State, employee.Event]
	Organisation *Handler[organisation.Command, organisation.State, organisation.Event]
	OrgUnits     *Handler[orgunit.Command, orgunit.State, orgunit.Event]
	Books        *Handler[book.Command, book.State, book.Event]
	Journals     *Handler[journal.Command, journal.State, journal.Event]
	Tokens       *Handler[access.Command, access.State, access.Event]
	Processes    *Handler[process.Command, process.State, process.Event]
	Operations   *Handler[operation.Command, operation.State, operation.Event]

	// HaltedAt is the event that a read model is halted at, zero for none, or a
	// refusal where there is no such read model. The tables know it.
	HaltedAt func(ctx context.Context, projection string) (uuid.UUID, error)

	zone zoneCache
}

// NewHandlers makes the handlers of all categories.
func NewHandlers(core *Core) *Handlers {
	return &Handlers{
		Core:         core,
		Employees:    NewHandler(core, employee.Decider, employee.Catalog, employee.Category),
		Organisation: NewHandler(core, organisation.Decider, organisation.Catalog, organisation.Category),
		OrgUnits:     NewHandler(core, orgunit.Decider, orgunit.Catalog, orgunit.Category),
		Books:        NewHandler(core, book.Decider, book.Catalog, book.Category),
		Journals:     NewHandler(core, journal.Decider, journal.Catalog, journal.Category),
		Tokens:       NewHandler(core, access.Decider, access.Catalog, access.Category),
		Processes:    NewHandler(core, process.Decider, process.Catalog, process.Category),
		Operations:   NewHandler(core, operation.Decider, operation.Catalog, operation.Category),
	}
}

// zoneCache keeps what the organisation said of its zone for a moment, so that
// not every command reads another stream for its default date.
type zoneCache struct {
	mu    sync.Mutex
	state organisation.State
	until time.Time
}

const zoneLife = 2 * time.Second

// Today is the date in the organisation's zone, by the injected clock.
func (h *Handlers) Today(ctx context.Context) (domain.Date, error) {
	h.zone.mu.Lock()
	defer h.zone.mu.Unlock()
	if now := time.Now(); now.After(h.zone.until) {
		state, _, _, err := h.Organisation.State(ctx, organisation.Stream)
		if err != nil {
			return domain.Date{}, err
		}
		h.zone.state, h.zone.until = state, now.Add(zoneLife)
	}
	return h.zone.state.Today(h.Core.Clock()), nil
}

// renamed makes the next date be reckoned in the zone just stated.
func (h *Handlers) renamed() {
	h.zone.mu.Lock()
	defer h.zone.mu.Unlock()
	h.zone.until = time.Time{}
}

// writes are all commands that the API takes, by route and by name.
type writes struct {
	*Handlers
	api       *edge.API
	tokens    *edge.Tokens
	macKey    []byte
	imported  map[string]importable
	importing *semaphore.Weighted // bytes of lines in flight
}

// Register adds all write routes to the API.
func Register(api *edge.API, handlers *Handlers, tokens *edge.Tokens) {
	w := &writes{
		Handlers:  handlers,
		api:       api,
		tokens:    tokens,
		macKey:    handlers.Core.Keys.Secret("request_mac"),
		imported:  map[string]importable{},
		importing: semaphore.NewWeighted(importBytesMax),
	}
	w.employeeRoutes()
	w.organisationRoutes()
	w.orgUnitRoutes()
	w.bookRoutes()
	w.journalRoutes()
	w.processRoutes()
	w.accessRoutes()
	w.operationRoutes()
	w.importRoutes()
}

// A write declares one command: its route and, under the action's name, its
// line of an import.
type write struct {
	path     string
	action   edge.Action
	summary  string
	creating bool // it may begin its stream
	makes    bool // its answer is 201
	located  bool // what it made is found below its path
}

// A call is one delivery of one command.
type call struct {
	Request
	principal edge.Principal
	at        map[string]string // what stands in the braces of the path
	importing bool
}

// entity is the ID of what the command creates.
func (c call) entity() uuid.UUID { return domain.EntityID(c.CommandID) }

// id is the UUID in the braces of that name.
func (c call) id(name string) (uuid.UUID, error) {
	id, err := uuid.Parse(c.at[name])
	if err != nil || len(c.at[name]) != len(uuid.Nil.String()) {
		return id, misplaced(name, "a UUID")
	}
	return id, nil
}

func misplaced(name, wanted string) error {
	return edge.NewProblem(http.StatusUnprocessableEntity, "invalid", "in this place of the address belongs "+wanted).At("path." + name)
}

// pending is a command on its way: calling it waits for the answer.
type pending func() (Answer, error)

// of is the same command, with an ID for its answer.
func (p pending) of(id string) pending {
	return func() (Answer, error) {
		answer, err := p()
		answer.ID = id
		return answer, err
	}
}

// WriteParams are what every write takes beside its body. They are exported
// because huma passes over embedded structs that are not.
type WriteParams struct {
	IdempotencyKey string    `header:"Idempotency-Key" maxLength:"255" doc:"Makes the command happen once, however often it is sent. Without it every request is a new command."`
	IfMatch        string    `header:"If-Match" maxLength:"64" doc:"The ETag that the decision rests on, or * for: it must exist."`
	DryRun         bool      `query:"dry_run" doc:"Decide, but record nothing."`
	CorrelationID  uuid.UUID `header:"Daybook-Correlation-Id" doc:"Ties together what belongs to one process."`
	CausationID    uuid.UUID `header:"Daybook-Causation-Id" doc:"What led to this command."`
	ApprovalID     uuid.UUID `header:"Daybook-Approval-Id"`
	OnBehalfOf     string    `header:"Daybook-On-Behalf-Of" pattern:"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$" doc:"The opaque ID of the principal who wanted it; no name."`
	ReasonCode     string    `header:"Daybook-Reason-Code" pattern:"^[a-z0-9]+(-[a-z0-9]+)*$" maxLength:"64" doc:"Why, as a code in kebab case."`
}

type writeInput struct {
	WriteParams
	RawBody []byte `contentType:"application/json"`
}

type written struct {
	Status   int
	Position string `header:"Daybook-Position"`
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     Answer
}

// add declares a command: run turns a call and its body into a command on its way.
func add[B any](w *writes, d write, run func(context.Context, call, B) (pending, error)) {
	names := braces(d.path)
	w.imported[string(d.action)] = importable{names, func(ctx context.Context, c call, raw []byte) (pending, error) {
		return start(ctx, d, c, raw, run)
	}}
	edge.Register(w.api, w.operation(d, edge.SchemaOf[B](w.api)), func(ctx context.Context, in *writeInput) (*written, error) {
		c, err := w.call(ctx, in, names)
		if err != nil {
			return nil, err
		}
		command, err := start(ctx, d, c, in.RawBody, run)
		if err != nil {
			return nil, err
		}
		answer, err := command()
		if err != nil {
			return nil, err
		}
		return d.written(ctx, c, answer), nil
	})
}

// start checks the right to a command before anything is read from it.
func start[B any](ctx context.Context, d write, c call, raw []byte, run func(context.Context, call, B) (pending, error)) (pending, error) {
	if err := d.permits(c); err != nil {
		return nil, err
	}
	body, err := edge.Decode[B](raw)
	if err != nil {
		return nil, err
	}
	c.Creating = d.creating
	return run(ctx, c, body)
}

const employeePath = "/v1/employees/{id}/"

// permits asks the role table, and whom the command concerns.
func (d write) permits(c call) error {
	var concerned uuid.UUID
	if strings.HasPrefix(d.path, employeePath) {
		id, err := c.id("id")
		if err != nil {
			return err
		}
		concerned = id
	}
	return c.may(d.action, concerned)
}

// may refuses what the role table does not allow for an employee's record.
func (c call) may(action edge.Action, concerned uuid.UUID) error {
	if !edge.May(c.principal, action, concerned) {
		return edge.Forbidden()
	}
	return nil
}

func (w *writes) operation(d write, body *huma.Schema) edge.Operation {
	tag, _, _ := strings.Cut(strings.TrimPrefix(d.path, "/v1/"), "/")
	op := edge.Operation{Method: http.MethodPost, Path: d.path, Summary: d.summary, Tag: tag, Action: d.action, Body: body, Places: map[string]*huma.Schema{}}
	for _, name := range braces(d.path) {
		op.Places[name] = w.place(name)
	}
	if d.makes {
		op.Status = http.StatusCreated
	}
	return op
}

// place describes what stands in the braces of that name.
func (w *writes) place(name string) *huma.Schema {
	switch name {
	case "book":
		return &huma.Schema{Type: huma.TypeString, Pattern: bookForm.String()}
	case "name": // of a read model or of a process
		return &huma.Schema{Type: huma.TypeString, Pattern: "^[a-z]+([-_][a-z]+)*$", MaxLength: &processNameMax}
	case "account":
		return &huma.Schema{Type: huma.TypeString}
	case "period":
		return edge.SchemaOf[domain.Period](w.api)
	}
	return edge.SchemaOf[uuid.UUID](w.api)
}

var bracePattern = regexp.MustCompile(`\{([a-z]+)\}`)

// braces lists the names in the braces of a path.
func braces(path string) (names []string) {
	for _, match := range bracePattern.FindAllStringSubmatch(path, -1) {
		names = append(names, match[1])
	}
	return names
}

// call makes the call that an HTTP request is.
func (w *writes) call(ctx context.Context, in *writeInput, names []string) (call, error) {
	principal, _ := edge.PrincipalFrom(ctx)
	r := edge.RequestFrom(ctx)
	c := call{principal: principal, at: make(map[string]string, len(names))}
	for _, name := range names {
		c.at[name] = r.PathValue(name)
	}
	mac, err := w.mac(in.RawBody)
	if err != nil {
		return c, err
	}
	c.Request = Request{
		CommandID: uuid.Must(uuid.NewV7()), RequestMAC: mac, Fresh: true,
		Principal: principal.ID, Kind: principal.Kind, OnBehalfOf: in.OnBehalfOf,
		ReasonCode: in.ReasonCode, DryRun: in.DryRun,
	}
	if in.IdempotencyKey != "" {
		c.CommandID, c.Fresh = domain.CommandID(principal.ID, r.Method, r.URL.EscapedPath(), in.IdempotencyKey), false
	}
	c.CorrelationID = cmp.Or(in.CorrelationID, c.CommandID)
	c.CausationID = cmp.Or(in.CausationID, c.CommandID)
	if in.ApprovalID != uuid.Nil {
		c.ApprovalID = &in.ApprovalID
	}
	c.IfMatch, c.IfMatchAny, err = ifMatch(in.IfMatch)
	return c, err
}

// mac is by what a request is known again: the HMAC of its canonical form, never
// a plain hash, from which a body with few unknowns could be guessed.
func (w *writes) mac(raw []byte) (string, error) {
	canonical, err := edge.Canonical(raw)
	if err != nil {
		return "", err
	}
	h := hmac.New(sha256.New, w.macKey)
	h.Write(canonical)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// ifMatch reads the header of that name: one strong ETag, or *.
func ifMatch(header string) (revision *uint64, any bool, err error) {
	text := strings.TrimSpace(header)
	if text == "" || text == "*" {
		return nil, text == "*", nil
	}
	if unquoted, found := strings.CutPrefix(text, `"`); found {
		text = strings.TrimSuffix(unquoted, `"`)
	}
	number, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return nil, false, edge.NewProblem(http.StatusBadRequest, "if-match-malformed", "If-Match is one ETag as an answer gave it, or *").At("header.If-Match")
	}
	return &number, false, nil
}

// written is the HTTP form of an answer. What recorded nothing is 200.
func (d write) written(ctx context.Context, c call, answer Answer) *written {
	out := &written{Status: http.StatusOK, Position: answer.Position.String(), ETag: fmt.Sprintf("%q", strconv.FormatUint(answer.Revision, 10)), Body: answer}
	if d.makes && !c.DryRun && len(answer.Events) > 0 {
		out.Status = http.StatusCreated
		if d.located {
			out.Location = edge.RequestFrom(ctx).URL.EscapedPath() + "/" + answer.ID
		}
	}
	return out
}
