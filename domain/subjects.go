package domain

import (
	"reflect"
	"slices"

	"github.com/google/uuid"
)

// Subjects lists the people whose personal values an event holds, each once, in
// the order of its fields.
func Subjects(event any) []uuid.UUID {
	return subjects(nil, reflect.ValueOf(event))
}

type personal interface{ subject() uuid.UUID }

func (p Personal[P, T]) subject() uuid.UUID { return p.Subject }

func subjects(found []uuid.UUID, v reflect.Value) []uuid.UUID {
	if v.IsValid() && v.CanInterface() && v.Kind() == reflect.Struct {
		if p, ok := v.Interface().(personal); ok {
			if slices.Contains(found, p.subject()) {
				return found
			}
			return append(found, p.subject())
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return subjects(found, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			found = subjects(found, v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			found = subjects(found, v.Index(i))
		}
	}
	return found
}
