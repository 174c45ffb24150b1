// Package seal keeps personal values unreadable in stored events. Each subject
// has one key per purpose; destroying the key erases the values for good, while
// the stored bytes, and every proof over them, stay as they are.
//
// README.md describes the bytes and the key files.
package seal

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// Errors that a caller decides by.
var (
	// ErrKeyMissing means that a value cannot be opened though nobody destroyed
	// its key: the keys are incomplete.
	ErrKeyMissing = errors.New("the key of a personal value is missing: restore the keys from their backup")
	// ErrForged means that a sealed value is not where it was sealed, or not as
	// it was.
	ErrForged = errors.New("a sealed value does not fit its place")
	// ErrMarker means that a marker of ours stands where only the domain or the
	// sealing may set one.
	ErrMarker = errors.New("the names $personal and $sealed are reserved")
)

// A place is where one value stands and whose it is. All of it is
// authenticated, so that a sealed value moved elsewhere does not open.
type place struct {
	stream  string
	event   uuid.UUID
	path    jsontext.Pointer
	subject uuid.UUID
	purpose string
}

// additional is what AES-GCM authenticates beside the value: stream, event ID,
// JSON pointer, subject and purpose, joined by NUL.
func (p place) additional(buffer []byte) []byte {
	buffer = append(append(buffer, p.stream...), 0)
	buffer = append(append(buffer, p.event.String()...), 0)
	buffer = append(append(buffer, p.path...), 0)
	buffer = append(append(buffer, p.subject.String()...), 0)
	return append(buffer, p.purpose...)
}

// Seal turns each marked value of an event's data into a sealed one and leaves
// every other byte as it is; data without markers is returned itself. It makes
// the keys that are missing, on disk before it returns.
func (k *Keyring) Seal(stream string, event uuid.UUID, data []byte) ([]byte, error) {
	if !mentions(data, personal) && !mentions(data, sealed) {
		return data, nil
	}
	found, err := scan(data)
	if err != nil {
		return nil, fmt.Errorf("seal an event of %s: %w", stream, err)
	}
	marks, err := parseMarks(found)
	if err == nil {
		err = k.makeKeys(marks)
	}
	if err != nil {
		return nil, fmt.Errorf("seal an event of %s: %w", stream, err)
	}
	out, err := replace(data, found, func(out []byte, i int) ([]byte, error) {
		return k.sealOne(out, place{stream, event, found[i].path, marks[i].Subject, marks[i].Purpose}, marks[i].Value)
	})
	if err != nil {
		return nil, fmt.Errorf("seal an event of %s: %w", stream, err)
	}
	return out, nil
}

// A mark is what a marker of a personal value holds.
type mark struct {
	Subject uuid.UUID      `json:"subject"`
	Purpose string         `json:"purpose"`
	Value   jsontext.Value `json:"value"`
}

func parseMarks(found []span) ([]mark, error) {
	marks := make([]mark, len(found))
	for i, s := range found {
		if s.name != personal {
			return nil, fmt.Errorf("%s: %w", s.path, ErrMarker)
		}
		m := &marks[i]
		malformed := json.Unmarshal(s.body, m, json.RejectUnknownMembers(true)) != nil
		if malformed || m.Subject == uuid.Nil || m.Purpose == "" || m.Value == nil || CheckIncoming(m.Value) != nil {
			return nil, fmt.Errorf("%s: not a marker of a personal value", s.path) // the cause would show it
		}
	}
	return marks, nil
}

// makeKeys makes all keys that a subject lacks at once, for each time costs a
// sync.
func (k *Keyring) makeKeys(marks []mark) error {
	for i, m := range marks {
		s, err := k.subject(m.Subject)
		if err != nil {
			return err
		}
		if _, ok := s.keys[m.Purpose]; ok {
			continue
		}
		var purposes []string
		for _, other := range marks[i:] {
			if other.Subject == m.Subject {
				purposes = append(purposes, other.Purpose)
			}
		}
		if _, err := k.addKeys(m.Subject, purposes...); err != nil {
			return err
		}
	}
	return nil
}

// sealOne appends the sealed form of one value.
func (k *Keyring) sealOne(out []byte, p place, value []byte) ([]byte, error) {
	key, err := k.current(p.subject, p.purpose)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.path, err)
	}
	nonce, box := key.seal(k.random, value, p.additional(make([]byte, 0, 256)))

	out = append(out, `{"$sealed":{"subject":"`...)
	out = append(out, p.subject.String()...)
	out = append(out, `","purpose":`...)
	out, _ = jsontext.AppendQuote(out, p.purpose)
	out = append(out, `,"key":"`...)
	out = append(out, key.id.String()...)
	out = append(out, `","nonce":"`...)
	out = base64.StdEncoding.AppendEncode(out, nonce)
	out = append(out, `","data":"`...)
	out = base64.StdEncoding.AppendEncode(out, box)
	return append(out, `"}}`...), nil
}

// Open turns each sealed value of an event's data back into a marked one, or
// into an erased one when its key was destroyed.
func (k *Keyring) Open(stream string, event uuid.UUID, data []byte) ([]byte, error) {
	if !mentions(data, sealed) && !mentions(data, personal) {
		return data, nil
	}
	found, err := scan(data)
	if err != nil {
		return nil, fmt.Errorf("open event %s of %s: %w", event, stream, err)
	}
	out, err := replace(data, found, func(out []byte, i int) ([]byte, error) {
		return k.openOne(out, stream, event, found[i])
	})
	if err != nil {
		return nil, fmt.Errorf("open event %s of %s: %w", event, stream, err)
	}
	return out, nil
}

func (k *Keyring) openOne(out []byte, stream string, event uuid.UUID, s span) ([]byte, error) {
	var m struct {
		Subject uuid.UUID `json:"subject"`
		Purpose string    `json:"purpose"`
		Key     uuid.UUID `json:"key"`
		Nonce   []byte    `json:"nonce"`
		Data    []byte    `json:"data"`
	}
	if s.name != sealed {
		return nil, fmt.Errorf("%s: stored in clear: %w", s.path, ErrMarker)
	}
	// The members are all there will ever be: another cipher is another key, and
	// another form another marker, which today's readers do not take for this one.
	if json.Unmarshal(s.body, &m, json.RejectUnknownMembers(true)) != nil {
		return nil, fmt.Errorf("%s: %w", s.path, ErrForged)
	}
	out = append(out, `{"$personal":{"subject":"`...)
	out = append(out, m.Subject.String()...)
	out = append(out, `","purpose":`...)
	out, _ = jsontext.AppendQuote(out, m.Purpose)

	key, err := k.byID(m.Subject, m.Purpose, m.Key)
	switch {
	case errors.Is(err, errDestroyed):
		return append(out, `,"erased":true}}`...), nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	p := place{stream, event, s.path, m.Subject, m.Purpose}
	out = append(out, `,"value":`...)
	if out, err = key.open(out, m.Nonce, m.Data, p.additional(make([]byte, 0, 256))); err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	return append(out, `}}`...), nil
}
