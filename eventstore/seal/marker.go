package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// The names of the two markers: an object with such a member, and no other, is
// a personal value in clear, or a sealed one.
const (
	personal = "$personal"
	sealed   = "$sealed"
)

// mentions tells cheaply that name cannot stand in data, written out or with
// escapes.
func mentions(data []byte, name string) bool {
	return bytes.Contains(data, []byte(name)) || bytes.Contains(data, []byte(`\u`))
}

// Marked reports whether data holds a personal value in clear. Bytes that are
// no JSON, but speak of one, count as such.
func Marked(data []byte) bool {
	return mentions(data, personal) && holdsName(data, func(name string) bool { return name == personal })
}

// CheckIncoming refuses JSON of others that uses our markers' names, in any
// letter case: it could pass for a value that the domain marked or that was
// sealed elsewhere. Seal asks it of every value; the API lets no name pass that
// begins with $.
func CheckIncoming(data []byte) error {
	if !bytes.ContainsRune(data, '$') && !bytes.Contains(data, []byte(`\u`)) {
		return nil
	}
	reserved := func(name string) bool { return strings.EqualFold(name, personal) || strings.EqualFold(name, sealed) }
	if holdsName(data, reserved) {
		return ErrMarker
	}
	return nil
}

// holdsName reports whether some object in data has a member that is asked for,
// and true for bytes that are no JSON.
func holdsName(data []byte, asked func(string) bool) bool {
	d := decoders.Get().(*jsontext.Decoder)
	defer decoders.Put(d)
	d.Reset(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		token, err := d.ReadToken()
		if err != nil {
			return !errors.Is(err, io.EOF)
		}
		if token.Kind() == jsontext.KindString && isName(d) && asked(token.String()) {
			return true
		}
	}
}

var decoders = sync.Pool{New: func() any { return jsontext.NewDecoder(new(bytes.Buffer)) }}

// isName reports whether the string just read is the name of a member.
func isName(d *jsontext.Decoder) bool {
	kind, length := d.StackIndex(d.StackDepth())
	return kind == jsontext.KindBeginObject && length%2 == 1
}

// A span is one marker in an event's data.
type span struct {
	name       string // personal or sealed
	path       jsontext.Pointer
	body       jsontext.Value // what the marker's one member holds
	start, end int            // of the object in data
}

// scan finds the markers of data in one pass over its tokens. It does not look
// into a marker: what one holds is sealed as one.
func scan(data []byte) (found []span, err error) {
	d := decoders.Get().(*jsontext.Decoder)
	defer decoders.Put(d)
	d.Reset(bytes.NewBuffer(data))
	begin := 0 // of the innermost object
	for {
		token, err := d.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return found, nil
		case err != nil:
			return nil, errors.New("the data is not well-formed JSON") // the cause would show it
		case token.Kind() == jsontext.KindBeginObject:
			begin = int(d.InputOffset()) - 1
		case token.Kind() == jsontext.KindString && isName(d):
			name := token.String()
			if name != personal && name != sealed {
				continue
			}
			s, err := scanMarker(d, name, begin)
			if err != nil {
				return nil, err
			}
			found = append(found, s)
		}
	}
}

// scanMarker reads on from a marker's name to the end of its object.
func scanMarker(d *jsontext.Decoder, name string, begin int) (span, error) {
	path := d.StackPointer().Parent()
	_, length := d.StackIndex(d.StackDepth())
	body, err := d.ReadValue()
	if err != nil {
		return span{}, errors.New("the data is not well-formed JSON")
	}
	s := span{name: name, path: path, body: bytes.Clone(body), start: begin}
	if end, err := d.ReadToken(); length != 1 || err != nil || end.Kind() != jsontext.KindEndObject {
		return span{}, fmt.Errorf("%s: %w: each is the one member of its object", path, ErrMarker)
	}
	s.end = int(d.InputOffset())
	return s, nil
}

// replace copies data with each span replaced by what by appends for it, given
// its number.
func replace(data []byte, found []span, by func([]byte, int) ([]byte, error)) (out []byte, err error) {
	if len(found) == 0 {
		return data, nil
	}
	out = make([]byte, 0, len(data)+len(found)*160)
	from := 0
	for i, s := range found {
		out = append(out, data[from:s.start]...)
		if out, err = by(out, i); err != nil {
			return nil, err
		}
		from = s.end
	}
	return append(out, data[from:]...), nil
}
