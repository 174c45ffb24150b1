package edge

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"daybook.example/domain"
)

// ProblemType is what the type of a problem begins with; its code follows.
const ProblemType = "https://daybook.example/problems/"

// A Problem is every answer that is not a success, as RFC 9457 has it. It names
// the rule, the field and the way out, and repeats nothing that was submitted.
type Problem struct {
	Type   string       `json:"type" format:"uri" doc:"Identifies the code for ever."`
	Title  string       `json:"title" doc:"The status in words."`
	Status int          `json:"status"`
	Code   string       `json:"code" doc:"The rule, stable, in kebab case."`
	Field  string       `json:"field,omitempty" doc:"A JSON pointer into the body, or where the parameter stands, such as query.valid_at."`
	Detail string       `json:"detail" doc:"What is wrong and what to do."`
	Hint   string       `json:"hint,omitempty"`
	Errors []FieldError `json:"errors,omitempty" doc:"All fields that are wrong, where there are several."`

	header http.Header
}

// A FieldError is one of several mistakes in a request.
type FieldError struct {
	Code   string `json:"code"`
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// NewProblem makes a problem. A detail is a sentence for the caller; what must
// stay inside goes to the log instead.
func NewProblem(status int, code, detail string) *Problem {
	return &Problem{Type: ProblemType + code, Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// At names the field that is wrong.
func (p *Problem) At(field string) *Problem { p.Field = field; return p }

// Hinting adds a way out.
func (p *Problem) Hinting(hint string) *Problem { p.Hint = hint; return p }

// With adds a header to the answer.
func (p *Problem) With(name, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

// RetryAfter asks the caller to come again.
func (p *Problem) RetryAfter(wait time.Duration) *Problem {
	seconds := max(1, int((wait+time.Second-1)/time.Second))
	return p.With("Retry-After", strconv.Itoa(seconds))
}

func (p *Problem) Error() string {
	if p.Field == "" {
		return p.Code + ": " + p.Detail
	}
	return p.Code + " (" + p.Field + "): " + p.Detail
}

// GetStatus is how huma asks for the status.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders is how huma asks for the headers.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType is how huma asks for the content type.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// Write answers a request with the problem, outside of huma.
func (p *Problem) Write(w http.ResponseWriter) {
	for name, values := range p.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = marshal(w, p)
}

// statuses is the one place that says which status a refusal has.
var statuses = map[domain.Kind]int{
	domain.Rule:     http.StatusUnprocessableEntity,
	domain.NotFound: http.StatusNotFound,
	domain.Taken:    http.StatusConflict,
	domain.Conflict: http.StatusConflict,
	domain.Stale:    http.StatusPreconditionFailed,
	domain.TooLarge: http.StatusRequestEntityTooLarge,
	domain.Unknown:  http.StatusServiceUnavailable,
}

// ProblemOf is what the caller may know of an error. Known is false for an error
// that nobody foresaw: its text stays inside.
func ProblemOf(err error) (p *Problem, known bool) {
	var refusal *domain.Error
	switch {
	case errors.As(err, &p):
		return p, true
	case errors.As(err, &refusal):
		return problemOfRefusal(refusal), true
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return NewProblem(http.StatusServiceUnavailable, "timeout", "the answer took too long; send the same request again, a command with the same Idempotency-Key").RetryAfter(time.Second), true
	}
	return NewProblem(http.StatusInternalServerError, "internal", "an error that nobody foresaw; the server's log says more"), false
}

func problemOfRefusal(refusal *domain.Error) *Problem {
	status, ok := statuses[refusal.Kind]
	if !ok {
		status = http.StatusInternalServerError
	}
	p := NewProblem(status, refusal.Code, refusal.Message).At(refusal.Field)
	if status == http.StatusServiceUnavailable {
		return p.RetryAfter(time.Second)
	}
	return p
}

// fromHuma makes a problem of what huma found wrong. Huma shows the submitted
// value, often the whole body: nothing of it is taken over.
func fromHuma(status int, message string, errs ...error) huma.StatusError {
	p := NewProblem(status, codeOf(status), cmp.Or(message, http.StatusText(status)))
	for _, err := range errs {
		var ours *Problem
		if errors.As(err, &ours) {
			return ours
		}
		var detail huma.ErrorDetailer
		if errors.As(err, &detail) {
			p.Errors = append(p.Errors, fieldError(detail.ErrorDetail()))
		}
	}
	if status == http.StatusInternalServerError && message == "cannot read request body" {
		return NewProblem(http.StatusBadRequest, "body-incomplete", "the body ended before it was complete")
	}
	if len(p.Errors) > 0 {
		first := p.Errors[0]
		p = NewProblem(status, first.Code, first.Detail).At(first.Field).and(p.Errors)
	}
	return p
}

func (p *Problem) and(all []FieldError) *Problem {
	if len(all) > 1 {
		p.Errors = all
	}
	return p
}

func codeOf(status int) string {
	switch status {
	case http.StatusUnprocessableEntity:
		return "invalid"
	case http.StatusRequestEntityTooLarge:
		return "body-too-large"
	}
	return strings.ReplaceAll(strings.ToLower(cmp.Or(http.StatusText(status), "error")), " ", "-")
}

func fieldError(d *huma.ErrorDetail) FieldError {
	message, _, _ := strings.Cut(d.Message, ": ") // what follows a colon may be the value
	if message == "invalid value" {
		message = "the value does not have the form that belongs here; /docs says which"
	}
	code := "invalid"
	if strings.HasPrefix(message, "required ") {
		code = "required"
	}
	return FieldError{Code: code, Field: place(d.Location), Detail: message}
}

var parameterPlace = regexp.MustCompile(`^(path|query|header)\.[A-Za-z0-9_-]{1,64}$`)

// place keeps a location only if it is the name of a parameter of ours.
func place(location string) string {
	if parameterPlace.MatchString(location) {
		return location
	}
	return ""
}
