package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/domain/book"
	"daybook.example/domain/catalog"
	"daybook.example/domain/claim"
	"daybook.example/domain/employee"
	"daybook.example/domain/journal"
	"daybook.example/domain/operation"
	"daybook.example/domain/organisation"
	"daybook.example/domain/orgunit"
	"daybook.example/projections"
)

// What an auditor must look at.
const (
	foreign     = "foreign"     // a type that no catalog lists
	misplaced   = "misplaced"   // a type that does not belong into the stream
	undecodable = "undecodable" // not what its type says
)

// A key names an entity.
type key struct{ Kind, Entity string }

// A subject is what an event is about.
type subject struct {
	key
	documentNo string
	action     string
	finding    string
	says       fields // what it sets, without effective dates; nil where dated entities fold it
	dated      bool
}

// fields are the members of a JSON object.
type fields map[string]json.RawMessage

// categories says which category each event type belongs to.
var categories = func() map[string]string {
	all := map[string]string{}
	for aggregate := range catalog.Aggregates() {
		for event := range aggregate.Types() {
			all[event.Name] = aggregate.Category
		}
	}
	return all
}()

// subjectOf describes an event. It never fails: what cannot be described is a
// finding about the stream's own entity.
func subjectOf(e projections.Event) subject {
	category, rest, _ := strings.Cut(e.Stream, "-")
	s := subject{key: key{category, rest}, action: action(e.Type)}
	s.finding = findingOf(e, category)
	if s.finding != "" {
		return s
	}
	if err := s.describe(e, rest); err != nil {
		return subject{key: key{category, rest}, action: s.action, finding: undecodable}
	}
	return s
}

// action is the event type without its category.
func action(eventType string) string {
	if category, listed := categories[eventType]; listed {
		return strings.TrimPrefix(eventType, category+"-")
	}
	return eventType
}

func findingOf(e projections.Event, category string) string {
	home, listed := categories[e.Type]
	switch {
	case !listed:
		return foreign
	case home != category && e.Stream != operation.LogStream:
		return misplaced
	case e.Err != nil:
		return undecodable
	}
	return ""
}

var errNotStorable = errors.New("a text holds a character that no table can keep")

// describe finds the entity of a decoded event and what it sets.
func (s *subject) describe(e projections.Event, rest string) error {
	rows, _, err := projections.SplitPersonal(e.ID, e.Data)
	if err != nil {
		return err
	}
	if bytes.Contains(rows, []byte(`\u0000`)) {
		return errNotStorable
	}
	switch event := e.Decoded.(type) {
	case employee.Event:
		s.key, s.dated = key{"employee", rest}, true
		return nil
	case orgunit.Event:
		s.key, s.dated = key{"org_unit", rest}, true
		return nil
	case organisation.OrganisationNamed:
		return s.about("organisation", organisation.Stream, rows)
	case organisation.LegalEntityAdded:
		return s.about("legal_entity", event.ID.String(), rows, "id")
	case organisation.LocationAdded:
		return s.about("location", event.ID.String(), rows, "id")
	case book.Event:
		return s.book(event, rest, rows)
	case journal.Event:
		return s.journal(event, rest, rows)
	case claim.Event:
		err = s.about("claim", rest, rows)
		s.set("state", s.action)
		return err
	case access.TokenIssued:
		return s.about("token", event.TokenID.String(), rows, "token_id", "hash")
	case access.TokenRevoked:
		err = s.about("token", event.TokenID.String(), rows, "token_id")
		s.set("revoked", true)
		return err
	}
	return s.about("operation", e.Stream, rows)
}

// about sets the entity and takes the event's members but some, which name it.
func (s *subject) about(kind, id string, rows []byte, without ...string) error {
	s.key = key{kind, id}
	var err error
	if s.says, err = members(rows); err != nil {
		return err
	}
	for _, name := range without {
		delete(s.says, name)
	}
	return nil
}

// members are those of an object, each value as it will come back from the table:
// without space between tokens.
func members(object []byte) (fields, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(object), jsontext.AllowDuplicateNames(true))
	if begin, err := d.ReadToken(); err != nil || begin.Kind() == jsontext.KindNull {
		return nil, err
	}
	said, compact := fields{}, isCompact(object)
	for d.PeekKind() != jsontext.KindEndObject {
		token, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		name := token.String()
		value, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		end := int(d.InputOffset())
		text := object[end-len(value) : end : end] // value itself is the decoder's
		if !compact {
			again := bytes.Clone(value)
			if err := (*jsontext.Value)(&again).Compact(); err != nil {
				return nil, err
			}
			text = again
		}
		said[name] = json.RawMessage(text)
	}
	return said, nil
}

// isCompact tells whether no space stands between the tokens of some JSON, as our
// own encoder leaves it.
func isCompact(text []byte) bool {
	inString := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case !inString && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			return false
		}
	}
	return true
}

// set says what an event means beyond its members.
func (s *subject) set(name string, value any) {
	text, err := domain.Marshal(value)
	if err == nil && s.says != nil {
		s.says[name] = text
	}
}

func (s *subject) book(event book.Event, name string, rows []byte) error {
	switch e := event.(type) {
	case book.AccountOpened:
		return s.about("account", name+"/"+e.Code, rows, "code")
	case book.AccountRenamed:
		return s.about("account", name+"/"+e.Code, rows, "code")
	case book.AccountBlocked:
		err := s.about("account", name+"/"+e.Code, rows, "code")
		s.set("blocked", true)
		return err
	}
	return s.about("book", name, rows)
}

func (s *subject) journal(event journal.Event, period string, rows []byte) error {
	switch e := event.(type) {
	case journal.EntryPosted:
		s.documentNo = e.Source.DocumentNo
		return s.about("entry", e.EntryID.String(), rows, "entry_id", "book_revision")
	case journal.EntryReversed:
		return s.about("entry", e.EntryID.String(), rows, "entry_id")
	}
	err := s.about("period", period, rows)
	s.set("state", periodState(event))
	return err
}

func periodState(event journal.Event) string {
	switch event.(type) {
	case journal.PeriodSoftClosed:
		return "soft-closed"
	case journal.PeriodClosed:
		return "closed"
	}
	return "open"
}

// documentPeriod is the period of the document of an entry that is posted to
// another one.
func documentPeriod(e projections.Event) (key, bool) {
	posted, ok := e.Decoded.(journal.EntryPosted)
	_, period, _ := strings.Cut(e.Stream, "-")
	at := strings.LastIndexByte(period, '_')
	if !ok || at < 0 || domain.PeriodOf(posted.DocumentDate) == domain.PeriodOf(posted.PostingDate) {
		return key{}, false
	}
	return key{"period", period[:at+1] + domain.PeriodOf(posted.DocumentDate).Compact()}, true
}

// reversed is the entry that an event reverses.
func reversed(e projections.Event) (key, bool) {
	event, ok := e.Decoded.(journal.EntryReversed)
	return key{"entry", event.ReversesEntryID.String()}, ok
}
