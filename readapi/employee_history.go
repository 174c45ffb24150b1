package readapi

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/commands/edge"
	"daybook.example/domain"
)

// A FactRectangle is what was believed of one attribute: from a day to a day,
// from one position in the log to another. Ends are exclusive and absent while open.
type FactRectangle struct {
	Attribute    string          `json:"attribute"`
	Value        json.RawMessage `json:"value"`
	ValidFrom    *string         `json:"valid_from,omitempty" format:"date"`
	ValidTo      *string         `json:"valid_to,omitempty" format:"date"`
	KnownFrom    position        `json:"known_from"`
	KnownTo      *position       `json:"known_to,omitempty"`
	RecordedFrom time.Time       `json:"recorded_from"`
	RecordedTo   *time.Time      `json:"recorded_to,omitempty"`
	EventID      uuid.UUID       `json:"event_id" doc:"The event by which it was believed."`
	Cause        string          `json:"cause" enum:"changed,corrected,rescinded"`
	SupersededBy *uuid.UUID      `json:"superseded_by,omitempty"`
}

// rectangles are all that was believed of an employee up to what is known,
// in the order of attribute, day and recording. What ended later is shown open.
func rectangles(ctx context.Context, tx pgx.Tx, at AsOf, id uuid.UUID) ([]FactRectangle, error) {
	rows, err := tx.Query(ctx, `select attribute, value, lower(valid)::text, upper(valid)::text, lower(recorded),
		  case when upper(recorded) <= $2 then upper(recorded) end, recorded_from, case when upper(recorded) <= $2 then recorded_to end,
		  event_id, cause, case when upper(recorded) <= $2 then superseded_by end
		from api.employee_fact
		where employee_id = $1 and lower(recorded) <= $2
		order by attribute, lower(valid) nulls first, lower(recorded)`, id, at.Known)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f FactRectangle, err error) {
		err = row.Scan(&f.Attribute, &f.Value, &f.ValidFrom, &f.ValidTo, &f.KnownFrom, &f.KnownTo, &f.RecordedFrom, &f.RecordedTo,
			&f.EventID, &f.Cause, &f.SupersededBy)
		f.RecordedFrom = f.RecordedFrom.UTC()
		return f, err
	})
}

// A HistoryEvent is a column of the grid: from this event on something else was
// believed.
type HistoryEvent struct {
	Position   position  `json:"position"`
	RecordedAt time.Time `json:"recorded_at"`
	EventID    uuid.UUID `json:"event_id"`
	EventType  string    `json:"event_type"`
	Revision   int64     `json:"revision"`
}

// A HistoryRow is a row of the grid: one attribute on days that were never told
// apart, and what was believed after each of the columns' events; null is nothing.
type HistoryRow struct {
	Attribute string            `json:"attribute"`
	ValidFrom *string           `json:"valid_from,omitempty" format:"date"`
	ValidTo   *string           `json:"valid_to,omitempty" format:"date"`
	Values    []json.RawMessage `json:"values"`
}

// columns are the events that changed what is believed in these rectangles.
func columns(ctx context.Context, tx pgx.Tx, at AsOf, id uuid.UUID, facts []FactRectangle) ([]HistoryEvent, error) {
	var changes []int64
	for _, f := range facts {
		changes = append(changes, int64(f.KnownFrom))
		if f.KnownTo != nil {
			changes = append(changes, int64(*f.KnownTo))
		}
	}
	rows, err := tx.Query(ctx, `select position, recorded_at, event_id, event_type, revision from api.employee_event
		where employee_id = $1 and position <= $2 and position = any($3) order by position`, id, at.Known, changes)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e HistoryEvent, err error) {
		err = row.Scan(&e.Position, &e.RecordedAt, &e.EventID, &e.EventType, &e.Revision)
		e.RecordedAt = e.RecordedAt.UTC()
		return e, err
	})
}

// grid lays rectangles, in their order, out over rows of days and columns of
// events.
func grid(facts []FactRectangle, events []HistoryEvent) []HistoryRow {
	rows := []HistoryRow{}
	for len(facts) > 0 {
		n := 1
		for n < len(facts) && facts[n].Attribute == facts[0].Attribute {
			n++
		}
		rows = append(rows, attributeRows(facts[:n], events)...)
		facts = facts[n:]
	}
	return rows
}

// endOfDays sorts behind every date, as the empty text sorts before.
const endOfDays = "~"

// attributeRows cuts time at every day on which something of one attribute
// ever began or ended.
func attributeRows(facts []FactRectangle, events []HistoryEvent) (rows []HistoryRow) {
	var cuts []string
	for _, f := range facts {
		cuts = append(cuts, from(f), to(f))
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	for i, cut := range cuts[:len(cuts)-1] {
		row := HistoryRow{Attribute: facts[0].Attribute, ValidFrom: day(cut), ValidTo: day(cuts[i+1]), Values: make([]json.RawMessage, len(events))}
		said := false
		for k, event := range events {
			at := slices.IndexFunc(facts, func(f FactRectangle) bool { return from(f) <= cut && cut < to(f) && f.knownAt(event.Position) })
			if at >= 0 {
				row.Values[k], said = facts[at].Value, true
			}
		}
		if said {
			rows = append(rows, row)
		}
	}
	return rows
}

func from(f FactRectangle) string { return deref(f.ValidFrom, "") }
func to(f FactRectangle) string   { return deref(f.ValidTo, endOfDays) }

func deref(text *string, otherwise string) string {
	if text == nil {
		return otherwise
	}
	return cmp.Or(*text, otherwise)
}

func day(cut string) *string {
	if cut == "" || cut == endOfDays {
		return nil
	}
	return &cut
}

func (f FactRectangle) knownAt(p position) bool {
	return f.KnownFrom <= p && (f.KnownTo == nil || p < *f.KnownTo)
}

// EmployeeFacts is what the facts of an employee are asked by.
type EmployeeFacts struct {
	OneEmployee
	Attribute string `query:"attribute" maxLength:"64" doc:"Only this attribute, such as compensation."`
}

// FactList is what was believed of an employee, and when.
type FactList struct {
	AsOf
	ID    uuid.UUID       `json:"id"`
	Items []FactRectangle `json:"items"`
}

// History is the grid of what was believed of an employee.
type History struct {
	AsOf
	ID     uuid.UUID      `json:"id"`
	Events []HistoryEvent `json:"events" doc:"The columns, in the order of recording."`
	Rows   []HistoryRow   `json:"rows"`
}

func (s *server) employeeFacts(ctx context.Context, in *EmployeeFacts) (*answer[FactList], error) {
	return believed(ctx, s, in, nil, func(at AsOf, facts []FactRectangle, _ []HistoryEvent) FactList {
		if in.KnownAt != "" {
			facts = slices.DeleteFunc(facts, func(f FactRectangle) bool { return !f.knownAt(position(at.Known)) })
		}
		return FactList{at, in.ID, facts}
	})
}

func (s *server) employeeHistory(ctx context.Context, in *EmployeeFacts) (*answer[History], error) {
	return believed(ctx, s, in, columns, func(at AsOf, facts []FactRectangle, events []HistoryEvent) History {
		return History{at, in.ID, events, grid(facts, events)}
	})
}

// believed reads an employee's rectangles, masked, and the events that are asked
// about them, if any. A day restricts them only where one was asked for. Also what
// is believed no longer is history, as after a rescinded hire.
func believed[T any](ctx context.Context, s *server, in *EmployeeFacts, about func(context.Context, pgx.Tx, AsOf, uuid.UUID, []FactRectangle) ([]HistoryEvent, error),
	answering func(AsOf, []FactRectangle, []HistoryEvent) T,
) (*answer[T], error) {
	principal, _ := edge.PrincipalFrom(ctx)
	if !edge.May(principal, edge.ReadEmployees, in.ID) {
		return nil, edge.Forbidden()
	}
	return asOf(ctx, s, employeeFact, in.AsOfParams, func(ctx context.Context, tx *reading, at AsOf) (T, error) {
		var none T
		facts, err := rectangles(ctx, tx, at, in.ID)
		if err != nil {
			return none, err
		}
		if len(facts) == 0 {
			return none, unknownEmployee()
		}
		if in.ValidAt == "" {
			at.ValidAt = domain.Date{}
		}
		facts = slices.DeleteFunc(facts, func(f FactRectangle) bool {
			return in.Attribute != "" && f.Attribute != in.Attribute || !f.holdsOn(at.ValidAt)
		})
		var events []HistoryEvent
		if about != nil {
			if events, err = about(ctx, tx, at, in.ID, facts); err != nil {
				return none, err
			}
		}
		values := make([]*json.RawMessage, len(facts))
		for i := range facts {
			values[i] = &facts[i].Value
		}
		if err := s.reveal(ctx, tx, values...); err != nil {
			return none, err
		}
		return answering(at, facts, events), nil
	})
}

// holdsOn reports whether a fact holds on a day; none is any.
func (f FactRectangle) holdsOn(day domain.Date) bool {
	return day.IsZero() || from(f) <= day.String() && day.String() < to(f)
}
