package edge

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/eventstore"
)

// Limits of one JSON document.
const (
	depthMax  = 64
	arrayMax  = 10_000
	stringMax = 64 << 10
)

// Decode reads one JSON document strictly: no duplicate or unknown names, exact
// case, no null, nothing behind the end. Malformed is 400, everything else 422
// with the field.
func Decode[T any](raw []byte) (T, error) {
	var value T
	if err := scan(raw); err != nil {
		return value, err
	}
	if err := json.Unmarshal(raw, &value, json.RejectUnknownMembers(true)); err != nil {
		return value, misfit(err)
	}
	return value, nil
}

// Canonical is the RFC 8785 form of a JSON document, the same however it was
// spaced and ordered.
func Canonical(raw []byte) ([]byte, error) {
	value := jsontext.Value(bytes.Clone(raw))
	if err := value.Canonicalize(); err != nil {
		return nil, malformed(err)
	}
	return value, nil
}

// marshal writes JSON without the escapes for HTML.
func marshal(w io.Writer, value any) error {
	enc := stdjson.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// unmarshal serves huma, where it decodes by itself.
func unmarshal(raw []byte, into any) error {
	if err := scan(raw); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into, json.RejectUnknownMembers(true)); err != nil {
		return misfit(err)
	}
	return nil
}

// scan checks in one pass what no Go type says.
func scan(raw []byte) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	for {
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) && dec.StackDepth() == 0 && dec.InputOffset() > 0 {
			return trailing(dec)
		}
		if err != nil {
			return malformed(err)
		}
		if err := allowed(dec, token); err != nil {
			return err
		}
		if dec.StackDepth() == 0 {
			return trailing(dec)
		}
	}
}

// trailing refuses a second value behind the first.
func trailing(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return NewProblem(http.StatusBadRequest, "trailing-data", "one JSON value was expected, but more follows it")
	}
	return nil
}

// allowed checks one token against the limits.
func allowed(dec *jsontext.Decoder, token jsontext.Token) error {
	kind, length := dec.StackIndex(dec.StackDepth())
	name := kind == '{' && length%2 == 1
	switch {
	case token.Kind() == 'n':
		return NewProblem(http.StatusUnprocessableEntity, "null", "null stands for nothing here; leave the member out").At(pointer(dec.StackPointer()))
	case dec.StackDepth() > depthMax:
		return NewProblem(http.StatusUnprocessableEntity, "too-deep", fmt.Sprintf("the body is nested more than %d deep", depthMax))
	case kind == '[' && length > arrayMax:
		return NewProblem(http.StatusUnprocessableEntity, "array-too-long", fmt.Sprintf("an array has at most %d members", arrayMax)).At(pointer(dec.StackPointer().Parent()))
	case token.Kind() != '"':
		return nil
	}
	text := token.String()
	switch {
	case len(text) > stringMax:
		return NewProblem(http.StatusUnprocessableEntity, "string-too-long", fmt.Sprintf("a text has at most %d bytes", stringMax)).At(pointer(dec.StackPointer()))
	case name && strings.HasPrefix(text, "$"): // such names mark sealed values
		return NewProblem(http.StatusUnprocessableEntity, "unknown-field", "names that begin with $ cannot be given").At(pointer(dec.StackPointer().Parent()))
	}
	return nil
}

func malformed(err error) *Problem {
	detail := "the body is not well-formed JSON"
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return NewProblem(http.StatusBadRequest, "malformed", detail)
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return NewProblem(http.StatusBadRequest, "duplicate-name", "a name stands twice in one object").At(pointer(syntax.JSONPointer))
	}
	return NewProblem(http.StatusBadRequest, "malformed", fmt.Sprintf("%s: see byte %d", detail, syntax.ByteOffset))
}

// misfit says where a document does not fit its type. The value is not shown.
func misfit(err error) *Problem {
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return malformed(err)
	}
	at := pointer(semantic.JSONPointer)
	if errors.Is(err, json.ErrUnknownName) {
		return NewProblem(http.StatusUnprocessableEntity, "unknown-field", "there is no such member here; names are written exactly as documented, in lower case").At(at)
	}
	return NewProblem(http.StatusUnprocessableEntity, "wrong-type", "here belongs "+expected(semantic.GoType)).At(at)
}

var forms = map[reflect.Type]string{
	reflect.TypeFor[domain.Date]():         "a date of the form YYYY-MM-DD",
	reflect.TypeFor[domain.Period]():       "a period of the form YYYY-MM",
	reflect.TypeFor[domain.Decimal]():      `a decimal number as a string, such as "1234.50", with at most 24 digits before the point and 12 behind`,
	reflect.TypeFor[uuid.UUID]():           "a UUID",
	reflect.TypeFor[eventstore.Position](): "a position of the form <commit>/<prepare>",
}

func expected(t reflect.Type) string {
	if t == nil {
		return "another kind of value"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if form, ok := forms[t]; ok {
		return form
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a whole number"
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// pointer writes where something stands, as far as names look like ours: others
// could hold anything.
func pointer(p jsontext.Pointer) string {
	var at strings.Builder
	for name := range p.Tokens() {
		if !plainName.MatchString(name) {
			break
		}
		at.WriteString("/" + name)
	}
	return at.String()
}
