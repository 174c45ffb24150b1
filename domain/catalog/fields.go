package catalog

import (
	"encoding"
	"encoding/json"
	"iter"
	"reflect"
	"strings"

	"daybook.example/domain/employee"
)

// A Type is one event as it is written today.
type Type struct {
	Name    string
	Version int // of the schema
	Go      reflect.Type
}

// A Field is one value in an event's data. Path is a JSON pointer in which *
// stands for each element of an array.
type Field struct {
	Path     string
	Purpose  string // under which it is sealed; "" = in clear
	Optional bool
	Nested   bool // it holds another event's data, sealed field by field as that event's type says
}

// Fields lists the values in the event's data, in stored order.
func (t Type) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) { fields(t.Go, "", false, yield) }
}

var (
	jsonText  = reflect.TypeFor[json.Marshaler]()
	plainText = reflect.TypeFor[encoding.TextMarshaler]()
	nested    = reflect.TypeFor[employee.Replacement]()
)

// sealed is what personal values know of themselves.
type sealed interface{ SealedUnder() string }

// fields walks a struct. It returns false when the caller has had enough.
func fields(t reflect.Type, path string, optional bool, yield func(Field) bool) bool {
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		at, absent := path+"/"+name, optional || strings.HasPrefix(options, "omit")
		if field.Anonymous && name == "" {
			at, absent = path, optional
		}
		if !value(field.Type, at, absent, yield) {
			return false
		}
	}
	return true
}

// value lists one field, or what it is made of.
func value(t reflect.Type, path string, optional bool, yield func(Field) bool) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if personal, ok := reflect.Zero(t).Interface().(sealed); ok {
		return yield(Field{Path: path, Purpose: personal.SealedUnder(), Optional: optional})
	}
	switch {
	case t == nested:
		return yield(Field{Path: path + "/type", Optional: optional}) &&
			yield(Field{Path: path + "/schema_version", Optional: optional}) &&
			yield(Field{Path: path + "/data", Optional: optional, Nested: true})
	case t.Implements(jsonText), t.Implements(plainText):
		return yield(Field{Path: path, Optional: optional})
	case t.Kind() == reflect.Slice:
		return value(t.Elem(), path+"/*", optional, yield)
	case t.Kind() == reflect.Struct:
		return fields(t, path, optional, yield)
	}
	return yield(Field{Path: path, Optional: optional})
}
