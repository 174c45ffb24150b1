package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
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

type shape struct {
	name    string
	version int
}

// A Catalog decodes the stored events of one aggregate by type and schema version.
type Catalog[E Named] struct {
	entries map[shape]Entry[E]
	types   []reflect.Type
}

// An Entry is one line of a catalog.
type Entry[E Named] struct {
	shape
	goType reflect.Type // nil for a shape no longer written
	decode func([]byte) (E, error)
}

// NewCatalog builds a catalog; two entries for one shape are a programmer's error.
func NewCatalog[E Named](entries ...Entry[E]) Catalog[E] {
	c := Catalog[E]{entries: make(map[shape]Entry[E], len(entries))}
	for _, entry := range entries {
		if _, taken := c.entries[entry.shape]; taken {
			panic(fmt.Sprintf("domain: %s version %d is in the catalog twice", entry.name, entry.version))
		}
		c.entries[entry.shape] = entry
		if entry.goType != nil {
			c.types = append(c.types, entry.goType)
		}
	}
	return c
}

// Decode returns the event stored under name and version. An unlisted one is
// ErrUnknownType.
func (c Catalog[E]) Decode(name string, version int, data []byte) (E, error) {
	entry, ok := c.entries[shape{name, version}]
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

// Is makes the entry of event type T. The conversion as is what the compiler checks.
func Is[T, E Named](as func(T) E) Entry[E] {
	var zero T
	return Entry[E]{shape{zero.EventType(), SchemaVersion(zero)}, reflect.TypeFor[T](), decodeInto(zero.EventType(), as)}
}

// Was makes the entry of a shape no longer written: up lifts the old T to the
// event that took its place, so that nothing else knows the old one.
func Was[T any, E Named](name string, version int, up func(T) E) Entry[E] {
	return Entry[E]{shape: shape{name, version}, decode: decodeInto(name, up)}
}

func decodeInto[T any, E Named](name string, as func(T) E) func([]byte) (E, error) {
	return func(data []byte) (E, error) {
		var stored T
		if err := json.Unmarshal(data, &stored); err != nil {
			var none E
			return none, fmt.Errorf("decode %s: %w", name, err)
		}
		return as(stored), nil
	}
}
