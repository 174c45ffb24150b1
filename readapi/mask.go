package readapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/eventstore"
)

// What stands in the place of a personal value that is not shown.
var (
	masked = json.RawMessage(`{"masked":true}`)
	erased = json.RawMessage(`{"erased":true}`)
)

// personTables hold the values of a purpose in clear. Values of other purposes
// stand in no table: they are opened from their event.
var personTables = map[string]string{
	"identity": "api.person_identity", "contact": "api.person_contact", "bank": "api.person_bank", "payroll": "api.person_pay",
}

// A place is where a personal value is stored; it is comparable.
type place = domain.Place

// reveal is the one way on which what stands in tables reaches a caller: it puts
// what each reference in the values stands for in the reference's place, or the
// mask, by the caller's role. An absent value stays absent. It is what is asked of a
// snapshot last.
func (s *server) reveal(ctx context.Context, tx *reading, values ...*json.RawMessage) error {
	found := make([][]reference, len(values))
	shown := map[place]json.RawMessage{}
	for i, value := range values {
		if value == nil || !bytes.Contains(*value, []byte(`"personal"`)) {
			continue
		}
		var err error
		if found[i], err = references(*value); err != nil {
			return err
		}
		for _, r := range found[i] {
			shown[r.place] = masked
		}
	}
	if len(shown) == 0 {
		return nil
	}
	visible, err := s.visible(ctx, tx, shown)
	if err != nil {
		return err
	}
	tables := &pgx.Batch{}
	for purpose, places := range visible {
		if table, projected := personTables[purpose]; projected {
			lookIn(tables, table, places, shown)
		} else if err := s.openPlaces(ctx, tx, places, shown); err != nil {
			return fmt.Errorf("look up personal values: %w", err)
		}
	}
	if tables.Len() > 0 {
		if err := tx.lastly(ctx, tables); err != nil {
			return fmt.Errorf("look up personal values: %w", err)
		}
	}
	for i, value := range values {
		if len(found[i]) > 0 {
			*value = replaced(*value, found[i], shown)
		}
	}
	return nil
}

// A reference is where in a value from a table it names the place of a personal one.
type reference struct {
	place
	from, to int
}

// references are all that a value holds.
func references(value json.RawMessage) (all []reference, err error) {
	err = find(value, []string{"personal"}, func(from, to int, body []byte) error {
		r := reference{from: from, to: to}
		if domain.Unmarshal(body, &r.place) != nil {
			return errors.New("a reference to a personal value cannot be read")
		}
		all = append(all, r)
		return nil
	})
	return all, err
}

// replaced is a value, every other byte as it is, with what its references stand for.
func replaced(value json.RawMessage, references []reference, shown map[place]json.RawMessage) (out json.RawMessage) {
	from := 0
	for _, r := range references {
		out = append(append(out, value[from:r.from]...), shown[r.place]...)
		from = r.to
	}
	return append(out, value[from:]...)
}

// visible are the places that the caller may look into, by purpose.
func (s *server) visible(ctx context.Context, tx pgx.Tx, shown map[place]json.RawMessage) (map[string][]place, error) {
	principal, _ := edge.PrincipalFrom(ctx)
	own, err := subjectOf(ctx, tx, principal.EmployeeID)
	if err != nil {
		return nil, err
	}
	visible := map[string][]place{}
	for p := range shown {
		owner := uuid.Nil
		if own != uuid.Nil && p.Subject == own {
			owner = principal.EmployeeID
		}
		if edge.CanSee(principal, p.Purpose, owner) {
			visible[p.Purpose] = append(visible[p.Purpose], p)
		}
	}
	return visible, nil
}

// subjectOf is the person behind an employee; none where that is not known.
func subjectOf(ctx context.Context, tx pgx.Tx, employee uuid.UUID) (subject uuid.UUID, err error) {
	if employee == uuid.Nil {
		return subject, nil
	}
	err = tx.QueryRow(ctx, "select coalesce(subject_id, $2) from api.employee where employee_id = $1", employee, uuid.Nil).Scan(&subject)
	if errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, nil
	}
	return subject, err
}

// lookIn fetches values from the table of a purpose. A value without a row is
// erased: rows are written in the transaction that writes the reference. The
// planner does not see how many places there are, so one plan does for all.
func lookIn(tables *pgx.Batch, table string, places []place, shown map[place]json.RawMessage) {
	subjects, events, paths := make([][16]byte, len(places)), make([][16]byte, len(places)), make([]string, len(places))
	for i, p := range places {
		subjects[i], events[i], paths[i] = p.Subject, p.EventID, p.Path
		shown[p] = erased
	}
	tables.Queue(`select at, (select value from `+table+` v where v.subject = p.subject and v.event_id = p.event_id and v.path = p.path)
		from unnest((select $1::uuid[]), (select $2::uuid[]), (select $3::text[])) with ordinality as p(subject, event_id, path, at)`,
		subjects, events, paths).Query(func(rows pgx.Rows) error {
		var at int
		var value json.RawMessage
		_, err := pgx.ForEachRow(rows, []any{&at, &value}, func() error {
			if value != nil {
				shown[places[at-1]] = bytes.Clone(value)
			}
			return nil
		})
		return err
	})
}

// openPlaces opens values that stand in no table from the events that hold them.
// Of an event that the audit log has not seen yet they stay masked.
func (s *server) openPlaces(ctx context.Context, tx pgx.Tx, places []place, shown map[place]json.RawMessage) error {
	for _, p := range places {
		var stream string
		var revision int64
		err := tx.QueryRow(ctx, "select stream, revision from api.audit_log where event_id = $1", p.EventID).Scan(&stream, &revision)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		events, err := s.Store.ReadStream(ctx, stream, uint64(revision), eventstore.Forwards, 1)
		if err != nil || len(events) == 0 {
			return fmt.Errorf("read the event of a personal value: %w", err)
		}
		opened, err := s.Keys.Open(stream, p.EventID, events[0].Data)
		if err != nil {
			return err
		}
		shown[p] = valueAt(opened, p.Path)
	}
	return nil
}

// valueAt is the opened value under a JSON pointer, or erased.
func valueAt(opened []byte, path string) json.RawMessage {
	at := json.RawMessage(opened)
	for name := range jsontext.Pointer(path).Tokens() {
		var object map[string]json.RawMessage
		if json.Unmarshal(at, &object) != nil {
			return erased
		}
		at = object[name]
	}
	found := erased
	_, err := eachMarker(at, func(m marker) json.RawMessage {
		found = m.shown(func(string) bool { return true })
		return found
	})
	if err != nil {
		return erased
	}
	return found
}

// A marker is a personal value in an event, opened or sealed.
type marker struct {
	Purpose string          `json:"purpose"`
	Value   json.RawMessage `json:"value"`
	Erased  bool            `json:"erased"`
}

// shown is what a caller sees of the value.
func (m marker) shown(sees func(purpose string) bool) json.RawMessage {
	switch {
	case !sees(m.Purpose):
		return masked
	case m.Erased:
		return erased
	case m.Value == nil: // still sealed
		return masked
	}
	return m.Value
}

// eachMarker copies an event's data, every other byte as it is, with each personal
// value replaced.
func eachMarker(data json.RawMessage, put func(marker) json.RawMessage) (out json.RawMessage, err error) {
	copied := 0
	err = find(data, []string{"$personal", "$sealed"}, func(from, to int, body []byte) error {
		var m marker
		if err := json.Unmarshal(body, &m); err != nil {
			return errors.New("the marker of a personal value cannot be read")
		}
		out = append(append(out, data[copied:from]...), put(m)...)
		copied = to
		return nil
	})
	if err != nil {
		return nil, err
	}
	return append(out, data[copied:]...), nil
}

var errNoJSON = errors.New("a stored value is not well-formed JSON") // the cause would show it

// find goes over JSON and finds each object whose one member has one of the names:
// where it begins and ends, and the member. One that has more members is no value of
// ours, and nothing is shown of it.
func find(value []byte, names []string, found func(from, to int, body []byte) error) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(value)) // which it reads without copying it
	begin := 0                                       // of the innermost object
	for {
		token, err := d.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return errNoJSON
		case token.Kind() == jsontext.KindBeginObject:
			begin = int(d.InputOffset()) - 1
			continue
		case token.Kind() != jsontext.KindString || !isName(d) || !slices.Contains(names, token.String()):
			continue
		}
		name, first := token.String(), isFirst(d)
		body, err := d.ReadValue()
		if err != nil {
			return errNoJSON
		}
		ended := int(d.InputOffset())
		body = value[ended-len(body) : ended]
		if end, err := d.ReadToken(); !first || err != nil || end.Kind() != jsontext.KindEndObject {
			return fmt.Errorf("an object with the member %q has other members, too", name)
		}
		if err := found(begin, int(d.InputOffset()), body); err != nil {
			return err
		}
	}
}

// isName reports whether the string just read is the name of a member.
func isName(d *jsontext.Decoder) bool {
	kind, length := d.StackIndex(d.StackDepth())
	return kind == jsontext.KindBeginObject && length%2 == 1
}

// isFirst reports whether the name just read is the first of its object.
func isFirst(d *jsontext.Decoder) bool {
	_, length := d.StackIndex(d.StackDepth())
	return length == 1
}
