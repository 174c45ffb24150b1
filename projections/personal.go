package projections

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"daybook.example/domain"
)

// A Personal is one personal value of an event: where it is stored and, where
// it could be opened, what it says.
type Personal struct {
	domain.Place
	Value json.RawMessage // nil while sealed, and after erasure
}

// SplitPersonal takes the personal values out of an event's data, opened or
// not, and leaves a reference in the place of each. What it returns first may
// stand in any table, what it returns second only in a person_* table.
func SplitPersonal(event uuid.UUID, data []byte) (rest []byte, found []Personal, err error) {
	if !bytes.ContainsRune(data, '$') && !bytes.Contains(data, []byte(`\u`)) {
		return data, nil, nil
	}
	var from int
	d := jsontext.NewDecoder(bytes.NewBuffer(data))
	for {
		begin, err := nextMarker(d)
		if errors.Is(err, io.EOF) {
			return append(rest, data[from:]...), found, nil
		}
		if err != nil {
			return nil, nil, err
		}
		value, err := readMarker(d)
		if err != nil {
			return nil, nil, err
		}
		value.EventID = event
		reference, err := domain.Marshal(domain.Reference{Personal: value.Place})
		if err != nil {
			return nil, nil, err
		}
		rest = append(append(rest, data[from:begin]...), reference...)
		from = int(d.InputOffset())
		found = append(found, value)
	}
}

// nextMarker reads on until a marker's name and returns where its object begins.
func nextMarker(d *jsontext.Decoder) (begin int, err error) {
	for {
		token, err := d.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return 0, err
		case err != nil:
			return 0, errNoJSON
		case token.Kind() == jsontext.KindBeginObject:
			begin = int(d.InputOffset()) - 1
		case token.Kind() == jsontext.KindString && isMarker(d, token.String()):
			return begin, nil
		}
	}
}

var errNoJSON = errors.New("the event's data is not well-formed JSON") // the cause would show it

func isMarker(d *jsontext.Decoder, name string) bool {
	kind, length := d.StackIndex(d.StackDepth())
	return kind == jsontext.KindBeginObject && length == 1 && (name == "$personal" || name == "$sealed")
}

// readMarker reads the rest of a marker, its closing brace included.
func readMarker(d *jsontext.Decoder) (Personal, error) {
	path := string(d.StackPointer().Parent())
	body, err := d.ReadValue()
	if err != nil {
		return Personal{}, errNoJSON
	}
	var m struct {
		Subject uuid.UUID       `json:"subject"`
		Purpose string          `json:"purpose"`
		Value   json.RawMessage `json:"value"`
	}
	bad := json.Unmarshal(body, &m)
	if end, err := d.ReadToken(); bad != nil || err != nil || end.Kind() != jsontext.KindEndObject {
		return Personal{}, fmt.Errorf("the personal value at %s is not marked as one", path)
	}
	return Personal{domain.Place{Subject: m.Subject, Purpose: m.Purpose, Path: path}, m.Value}, nil
}
