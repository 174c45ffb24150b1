package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	jsonv2 "github.com/go-json-experiment/json"
)

// Named is what every event knows about itself: the name it is stored under.
// The name is explicit and never changes; it is no Go name.
type Named interface{ EventType() string }

// Versioned events say the version of their stored shape; all others are at 1.
type Versioned interface{ SchemaVersion() int }

// Effective events say from when they hold: a date or an instant, or "".
type Effective interface{ EffectiveAt() string }

// SchemaVersion is the version under which event is stored.
func SchemaVersion(event Named) int {
	if v, ok := event.(Versioned); ok {
		return v.SchemaVersion()
	}
	return 1
}

// ErrUnknownType says that a catalog does not list an event's type and version.
var ErrUnknownType = errors.New("event type not in the catalog")

// Encode writes an event in its stored form.
func Encode(event Named) ([]byte, error) {
	data, err := Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", event.EventType(), err)
	}
	return data, nil
}

// Marshal is json.Marshal without the escapes for HTML, which would make stored
// bytes depend on how deep a value lies.
func Marshal(value any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// Unmarshal reads what Marshal wrote, exact in its names and with less CPU than
// encoding/json. Its error shows no value: that may be nobody else's business.
func Unmarshal(data []byte, into any) error {
	err := jsonv2.Unmarshal(data, into)
	for known, ok := errors.AsType[*jsonv2.SemanticError](err); ok; known, ok = errors.AsType[*jsonv2.SemanticError](known.Err) {
		known.JSONValue = nil
	}
	return err
}

// A Shape is one stored form of an event's data: the event's name and the version.
type Shape struct {
	Name    string
	Version int
}

// A Catalog decodes the stored events of one aggregate by type and schema version.
type Catalog[E Named] struct {
	entries  map[Shape]Entry[E]
	types    []reflect.Type
	historic []Shape
}

// An Entry is one line of a catalog.
type Entry[E Named] struct {
	shape  Shape
	goType reflect.Type // nil for a shape no longer written
	decode func([]byte) (E, error)
}

// NewCatalog builds a catalog. Two entries for one shape, a version left out
// below the present one and a shape that nobody can have written are a
// programmer's error.
func NewCatalog[E Named](entries ...Entry[E]) Catalog[E] {
	c := Catalog[E]{entries: make(map[Shape]Entry[E], len(entries))}
	for _, entry := range entries {
		if _, taken := c.entries[entry.shape]; taken {
			panic(fmt.Sprintf("domain: %s version %d is in the catalog twice", entry.shape.Name, entry.shape.Version))
		}
		c.entries[entry.shape] = entry
		if entry.goType != nil {
			c.types = append(c.types, entry.goType)
		} else {
			c.historic = append(c.historic, entry.shape)
		}
	}
	c.requireHistory()
	return c
}

// requireHistory holds every shape against the one that is written today: the
// log keeps all versions for ever, under names that never change.
func (c Catalog[E]) requireHistory() {
	present := map[string]int{}
	for shape, entry := range c.entries {
		if entry.goType == nil {
			continue
		}
		if other := present[shape.Name]; other != 0 {
			panic(fmt.Sprintf("domain: %s is written as version %d and as version %d; only one shape is today's", shape.Name, other, shape.Version))
		}
		present[shape.Name] = shape.Version
	}
	for _, shape := range c.historic {
		if shape.Version < 1 || shape.Version >= present[shape.Name] {
			panic(fmt.Sprintf("domain: %s version %d was never written: today's is version %d", shape.Name, shape.Version, present[shape.Name]))
		}
	}
	for name, today := range present {
		for version := 1; version < today; version++ {
			if _, listed := c.entries[Shape{name, version}]; !listed {
				panic(fmt.Sprintf("domain: %s is at version %d, but nothing lifts version %d", name, today, version))
			}
		}
	}
}

// Decode returns the event stored under name and version. An unlisted one is
// ErrUnknownType.
func (c Catalog[E]) Decode(name string, version int, data []byte) (E, error) {
	entry, ok := c.entries[Shape{name, version}]
	if !ok {
		var none E
		return none, fmt.Errorf("%w: %s version %d", ErrUnknownType, name, version)
	}
	return entry.decode(data)
}

// Types lists the Go types of the events written today, in catalog order.
func (c Catalog[E]) Types() []reflect.Type { return c.types }

// Names lists the stored names of the events written today, in catalog order.
func (c Catalog[E]) Names() []string {
	names := make([]string, len(c.types))
	for i, t := range c.types {
		names[i] = reflect.Zero(t).Interface().(Named).EventType()
	}
	return names
}

// Historic lists the shapes that are no longer written, in catalog order.
func (c Catalog[E]) Historic() []Shape { return c.historic }

// Is makes the entry of event type T. The conversion as is what the compiler checks.
func Is[T, E Named](as func(T) E) Entry[E] {
	var zero T
	return Entry[E]{Shape{zero.EventType(), SchemaVersion(zero)}, reflect.TypeFor[T](), decodeInto(zero.EventType(), as)}
}

// Was makes the entry of a shape no longer written: up lifts the old T to the
// event that took its place, so that nothing else knows the old one. It is pure,
// and total for whatever was ever written. It may rename members, split them and
// fill in what they did not say, but moves no personal value: its place is part
// of how it is sealed, and references lead there. The lines of the old shape move
// from stored.golden into a file of their own, see domaintest.Historic.
func Was[T any, E Named](name string, version int, up func(T) E) Entry[E] {
	return Entry[E]{shape: Shape{name, version}, decode: decodeInto(name, up)}
}

func decodeInto[T any, E Named](name string, as func(T) E) func([]byte) (E, error) {
	return func(data []byte) (E, error) {
		var stored T
		if err := Unmarshal(data, &stored); err != nil {
			var none E
			return none, fmt.Errorf("decode %s: %w", name, err)
		}
		return as(stored), nil
	}
}
