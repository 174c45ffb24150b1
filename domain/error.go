package domain

import "fmt"

// A Kind is what an error means to the caller; one place maps it to a status.
type Kind int

// Kinds of refusal.
const (
	Rule     Kind = iota // a business rule is broken (422)
	NotFound             // the thing named does not exist (404)
	Taken                // a unique value has another owner (409)
	Conflict             // others kept changing the same stream (409)
	Stale                // the revision expected by the caller is not the present one (412)
	TooLarge             // more than one append can hold (413)
	Unknown              // the result is not known yet; ask again with the same key (503)
)

// An Error is a refusal that can be shown to anyone: it names the rule, the
// field and the way out, and never holds a personal value.
type Error struct {
	Kind    Kind
	Code    string // the rule, stable, in kebab case
	Field   string // a JSON pointer into the command, or ""
	Message string
}

func (e *Error) Error() string {
	if e.Field == "" {
		return e.Code + ": " + e.Message
	}
	return e.Code + " (" + e.Field + "): " + e.Message
}

// Is makes errors of one code equal to errors.Is.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Field == "" || t.Field == e.Field)
}

// Refuse builds the refusal of a broken rule.
func Refuse(code, field, format string, args ...any) error {
	return &Error{Kind: Rule, Code: code, Field: field, Message: fmt.Sprintf(format, args...)}
}

// Code returns an error to compare with: errors.Is(err, domain.Code("taken")).
func Code(code string) error { return &Error{Code: code} }
