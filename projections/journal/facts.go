package journal

import (
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/journal"
	"daybook.example/domain/organisation"
	"daybook.example/projections"
)

// A subject is what a fact of a book is about.
type subject struct {
	Kind string `json:"kind"`
	Book string `json:"book"`
	Key  string `json:"key"`
}

// The kinds of subject.
const (
	aBook     = "book"
	anAccount = "account"
	aPeriod   = "period"
	theZone   = "zone"
)

// value is what is known of a subject, by name.
type value map[string]any

// A fact is a row of book_fact: a value with the time for which it was known.
type fact struct {
	subject
	Value        value      `json:"value"`
	Recorded     span       `json:"recorded"`
	RecordedFrom time.Time  `json:"recorded_from"`
	RecordedTo   *time.Time `json:"recorded_to"`
	EventID      uuid.UUID  `json:"event_id"`
	SupersededBy *uuid.UUID `json:"superseded_by"`
	last
}

// A span is an int8range from a position to another one, if any.
type span struct {
	from int64
	to   *int64
}

// MarshalText writes what Postgres reads.
func (s span) MarshalText() ([]byte, error) {
	if s.to == nil {
		return fmt.Appendf(nil, "[%d,)", s.from), nil
	}
	return fmt.Appendf(nil, "[%d,%d)", s.from, *s.to), nil
}

// UnmarshalText reads the open ranges, the only ones that are loaded.
func (s *span) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "[%d,)", &s.from)
	return err
}

// change says what an event makes known, as additions to what was known before;
// a nil takes away. Events that are entries change no fact.
func change(e projections.Event) (subject, value) {
	switch event := e.Decoded.(type) {
	case organisation.OrganisationNamed:
		return subject{Kind: theZone}, value{"zone": event.Zone}
	case book.BookOpened:
		return subject{aBook, event.Book, ""}, value{"functional_currency": event.FunctionalCurrency, "scale": event.Scale}
	case book.AccountOpened:
		v := value{"name": event.Name, "class": event.Class, "normal_side": event.NormalSide, "blocked": false}
		if event.Currency != "" {
			v["currency"] = event.Currency
		}
		return subject{anAccount, bookOf(e), event.Code}, v
	case book.AccountRenamed:
		return subject{anAccount, bookOf(e), event.Code}, value{"name": event.Name}
	case book.AccountBlocked:
		return subject{anAccount, bookOf(e), event.Code}, value{"blocked": true}
	}
	return periodChange(e)
}

func periodChange(e projections.Event) (subject, value) {
	at := placeOf(e)
	period := subject{aPeriod, at.Book, at.Period}
	switch event := e.Decoded.(type) {
	case journal.PeriodOpened:
		v := value{"state": "open"}
		if !event.OpeningFrom.IsZero() {
			v["opening_from"] = event.OpeningFrom
		}
		return period, v
	case journal.PeriodSoftClosed:
		return period, value{"state": "soft-closed", "approval_id": nil, "reason": nil}
	case journal.PeriodClosed:
		return period, value{
			"state": "closed", "closed_by": e.Meta.Actor.ID, "trial_balance_hash": event.TrialBalanceHash,
			"approval_id": nil, "reason": nil,
		}
	case journal.PeriodReopened:
		return period, value{
			"state": "open", "closed_by": nil, "trial_balance_hash": nil,
			"approval_id": event.ApprovalID, "reason": event.Reason,
		}
	}
	return subject{}, nil
}

// with is a value with additions; a nil takes away.
func (v value) with(additions value) value {
	sum := value{}
	maps.Copy(sum, v)
	maps.Copy(sum, additions)
	maps.DeleteFunc(sum, func(_ string, said any) bool { return said == nil })
	return sum
}

// opened is the fact that an event makes known of a subject.
func opened(s subject, v value, e projections.Event) *fact {
	return &fact{subject: s, Value: v, Recorded: span{from: e.Pos()}, RecordedFrom: e.Label, EventID: e.ID, last: lastOf(e)}
}

// close ends a fact's time.
func (f *fact) close(e projections.Event) {
	until := e.Pos()
	f.Recorded.to, f.RecordedTo, f.SupersededBy, f.last = &until, &e.Label, &e.ID, lastOf(e)
}

// isClosed says whether a period that is known as f takes no entries.
func (f *fact) isClosed() bool { return f != nil && f.Value["state"] != "open" }

// monthOf is the period of a day as its subject's key.
func monthOf(day domain.Date) string { return domain.PeriodOf(day).String() }
