package domain

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// A Purpose says why personal data is held. Each subject has one key per
// purpose, so contact data can be erased while payroll evidence stays.
type Purpose interface{ Purpose() string }

// The purposes of domain.md 2.6. They are types, so that a value sealed under
// the wrong one does not compile.
type (
	identityPurpose  struct{}
	contactPurpose   struct{}
	bankPurpose      struct{}
	payrollPurpose   struct{}
	healthPurpose    struct{}
	notePurpose      struct{}
	applicantPurpose struct{}
)

// Purpose returns the stored name.
func (identityPurpose) Purpose() string { return "identity" }

// Purpose returns the stored name.
func (contactPurpose) Purpose() string { return "contact" }

// Purpose returns the stored name.
func (bankPurpose) Purpose() string { return "bank" }

// Purpose returns the stored name.
func (payrollPurpose) Purpose() string { return "payroll" }

// Purpose returns the stored name.
func (healthPurpose) Purpose() string { return "health" }

// Purpose returns the stored name.
func (notePurpose) Purpose() string { return "note" }

// Purpose returns the stored name.
func (applicantPurpose) Purpose() string { return "applicant" }

// One alias per purpose: a value is sealed under its subject's key of that purpose.
type (
	// Identity is a value sealed for the purpose identity.
	Identity[T any] = Personal[identityPurpose, T]
	// Contact is a value sealed for the purpose contact.
	Contact[T any] = Personal[contactPurpose, T]
	// Bank is a value sealed for the purpose bank.
	Bank[T any] = Personal[bankPurpose, T]
	// Payroll is a value sealed for the purpose payroll.
	Payroll[T any] = Personal[payrollPurpose, T]
	// Health is a value sealed for the purpose health.
	Health[T any] = Personal[healthPurpose, T]
	// Note is a value sealed for the purpose note.
	Note[T any] = Personal[notePurpose, T]
	// Applicant is a value sealed for the purpose applicant.
	Applicant[T any] = Personal[applicantPurpose, T]
)

// Personal is a value about a person. In stored bytes it is sealed; the domain
// sees it in clear, or erased, or (by readers without keys) still sealed.
type Personal[P Purpose, T any] struct {
	Subject uuid.UUID
	Value   T // zero unless clear
	hidden  hidden
}

type hidden uint8

const (
	open hidden = iota
	erased
	sealed
)

// Of makes the personal value of a subject. It is a method, so that the purpose
// comes with the type: domain.Payroll[Money]{}.Of(subject, pay).
func (p Personal[P, T]) Of(subject uuid.UUID, value T) *Personal[P, T] {
	return &Personal[P, T]{Subject: subject, Value: value}
}

// Clear reports whether Value may be used.
func (p Personal[P, T]) Clear() bool { return p.hidden == open }

// Erased reports whether the key of the value was destroyed.
func (p Personal[P, T]) Erased() bool { return p.hidden == erased }

// SealedUnder is the stored name of the purpose.
func (Personal[P, T]) SealedUnder() string {
	var purpose P
	return purpose.Purpose()
}

// Reference points to the value where it is stored: under path, a JSON pointer,
// in the data of event. It needs no key. No value has no reference.
func (p *Personal[P, T]) Reference(event uuid.UUID, path string) *Reference {
	if p == nil {
		return nil
	}
	return &Reference{Place{Subject: p.Subject, Purpose: p.SealedUnder(), Path: path, EventID: event}}
}

// A Reference stands for a personal value wherever the value itself may not.
type Reference struct {
	Personal Place `json:"personal"`
}

// A Place is where one personal value is stored. Without the event, an old
// value and a new one could not be told apart.
type Place struct {
	Subject uuid.UUID `json:"subject"`
	Purpose string    `json:"purpose"`
	Path    string    `json:"path"`
	EventID uuid.UUID `json:"event_id"`
}

// marker is the form between the domain and the sealing; golden in eventstore/seal.
type marker struct {
	Personal *markedValue `json:"$personal,omitempty"`
	Sealed   *markedValue `json:"$sealed,omitempty"`
}

type markedValue struct {
	Subject uuid.UUID       `json:"subject"`
	Purpose string          `json:"purpose"`
	Value   json.RawMessage `json:"value,omitempty"`
	Erased  bool            `json:"erased,omitempty"`
}

// MarshalJSON writes the marker that eventstore/seal turns into ciphertext.
// Only a clear value can be written again.
func (p Personal[P, T]) MarshalJSON() ([]byte, error) {
	if p.hidden != open {
		return nil, errors.New("a personal value that is erased or sealed cannot be written")
	}
	value, err := Marshal(p.Value)
	if err != nil {
		return nil, err
	}
	return Marshal(marker{Personal: &markedValue{Subject: p.Subject, Purpose: p.SealedUnder(), Value: value}})
}

// UnmarshalJSON reads an opened, an erased or a still sealed value.
func (p *Personal[P, T]) UnmarshalJSON(data []byte) error {
	var m marker
	if err := Unmarshal(data, &m); err != nil {
		return err
	}
	found := m.Personal
	if found == nil {
		found = m.Sealed
	}
	switch {
	case found == nil || m.Personal != nil && m.Sealed != nil:
		return errors.New("a personal value is either marked or sealed")
	case found.Purpose != p.SealedUnder():
		return fmt.Errorf("a personal value is marked %.20q where %q belongs", found.Purpose, p.SealedUnder())
	}
	*p = Personal[P, T]{Subject: found.Subject}
	switch {
	case m.Sealed != nil:
		p.hidden = sealed
		return nil
	case found.Erased:
		p.hidden = erased
		return nil
	}
	if Unmarshal(found.Value, &p.Value) != nil {
		return fmt.Errorf("a personal value of purpose %q does not decode", found.Purpose) // the cause would show it
	}
	return nil
}
