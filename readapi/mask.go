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
// mask, by the caller's role. An absent value stays absent.
func (s *server) reveal(ctx context.Context, tx pgx.Tx, values ...*json.RawMessage) error {
	values = slices.DeleteFunc(slices.Clone(values), func(v *json.RawMessage) bool { return v == nil || !bytes.Contains(*v, []byte(`"personal"`)) })
	if len(values) == 0 {
		return nil
	}
	shown, err := references(values)
	if err != nil {
		return err
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
		if err := tx.SendBatch(ctx, tables).Close(); err != nil {
			return fmt.Errorf("look up personal values: %w", err)
		}
	}
	for _, value := range values {
		if *value, err = eachReference(*value, func(p place) json.RawMessage { return shown[p] }); err != nil {
			return err
		}
	}
	return nil
}

// references are all that the values hold, masked.
func references(values []*json.RawMessage) (map[place]json.RawMessage, error) {
	shown := map[place]json.RawMessage{}
	for _, value := range values {
		_, err := eachReference(*value, func(p place) json.RawMessage {
			shown[p] = masked
			return masked
		})
		if err != nil {
			return nil, err
		}
	}
	return shown, nil
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

// eachReference copies a value from a table with each reference replaced.
func eachReference(value json.RawMessage, put func(place) json.RawMessage) (json.RawMessage, error) {
	return substitute(value, []string{"personal"}, func(_ string, body []byte) (json.RawMessage, error) {
		var p place
		if err := json.Unmarshal(body, &p); err != nil {
			return nil, errors.New("a reference to a personal value cannot be read")
		}
		return put(p), nil
	})
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

// eachMarker copies an event's data with each personal value replaced.
func eachMarker(data json.RawMessage, put func(marker) json.RawMessage) (json.RawMessage, error) {
	return substitute(data, []string{"$personal", "$sealed"}, func(_ string, body []byte) (json.RawMessage, error) {
		var m marker
		if err := json.Unmarshal(body, &m); err != nil {
			return nil, errors.New("the marker of a personal value cannot be read")
		}
		return put(m), nil
	})
}

var errNoJSON = errors.New("a stored value is not well-formed JSON") // the cause would show it

// substitute copies JSON, every other byte as it is, with each object replaced
// whose one member has one of the names. One that has more members is no value of
// ours, and nothing is shown of it.
func substitute(value []byte, names []string, by func(name string, body []byte) (json.RawMessage, error)) (json.RawMessage, error) {
	d := jsontext.NewDecoder(bytes.NewReader(value))
	var out []byte
	from, begin := 0, 0 // what is copied; where the innermost object begins
	for {
		token, err := d.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return append(out, value[from:]...), nil
		case err != nil:
			return nil, errNoJSON
		case token.Kind() == jsontext.KindBeginObject:
			begin = int(d.InputOffset()) - 1
			continue
		case token.Kind() != jsontext.KindString || !isName(d) || !slices.Contains(names, token.String()):
			continue
		}
		name, first := token.String(), isFirst(d)
		body, err := d.ReadValue()
		if err != nil {
			return nil, errNoJSON
		}
		body = slices.Clone(body)
		if end, err := d.ReadToken(); !first || err != nil || end.Kind() != jsontext.KindEndObject {
			return nil, fmt.Errorf("an object with the member %q has other members, too", name)
		}
		replacement, err := by(name, body)
		if err != nil {
			return nil, err
		}
		out = append(append(out, value[from:begin]...), replacement...)
		from = int(d.InputOffset())
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
