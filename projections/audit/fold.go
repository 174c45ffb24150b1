package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/employee"
	"daybook.example/domain/orgunit"
	"daybook.example/projections"
)

// A change is one field before and after an event; null where there is none.
type change struct {
	Path string          `json:"path"`
	Old  json.RawMessage `json:"old"`
	New  json.RawMessage `json:"new"`
}

// changesOf compares what is believed of each name, field by field.
func changesOf(before, after fields) []change {
	old, new := flat(before, after), flat(after, before)
	names := maps.Clone(old)
	maps.Copy(names, new)
	changes := []change{}
	for _, path := range slices.Sorted(maps.Keys(names)) {
		if !bytes.Equal(old[path], new[path]) {
			changes = append(changes, change{path, old[path], new[path]})
		}
	}
	return changes
}

// flat lists the leaves of objects under their JSON pointers, but of those that
// stand in beside just so. A reference to a personal value is a leaf, and so is a
// list.
func flat(of, beside fields) fields {
	leaves := fields{}
	for name, value := range of {
		if other, there := beside[name]; !there || !bytes.Equal(value, other) {
			spread(leaves, "/"+name, value)
		}
	}
	return leaves
}

func spread(leaves fields, path string, value json.RawMessage) {
	var inner fields
	if len(value) > 0 && value[0] == '{' {
		inner, _ = members(value) // what is none is a leaf
	}
	if inner == nil {
		if string(value) != "null" {
			leaves[path] = value
		}
		return
	}
	if _, reference := inner["personal"]; reference && len(inner) == 1 {
		leaves[path] = value
		return
	}
	for name, member := range inner {
		spread(leaves, path+"/"+name, member)
	}
}

// patchOf is what turns one state into the next: its members that changed, null
// for those that are gone.
func patchOf(before, after fields) fields {
	patch := fields{}
	for name, value := range after {
		if !bytes.Equal(before[name], value) {
			patch[name] = value
		}
	}
	for name := range before {
		if _, still := after[name]; !still {
			patch[name] = json.RawMessage("null")
		}
	}
	return patch
}

// A folded event of an entity with effective dates is what it changed and what
// is believed after it.
type folded struct {
	changes []change
	state   fields
	facts   []employee.Fact // of an employee
}

// A career is what was said of an employee, and what is believed after the last of
// it.
type career struct {
	said   []employee.Assertion
	facts  []employee.Fact // nil until the first event of the batch
	values map[stated]json.RawMessage
}

// stated is what a fact's value depends on: a spell's end changes that of its
// beginning.
type stated struct {
	attribute  employee.Attribute
	event      uuid.UUID
	employment employee.Employment // or zero
}

// value is a fact's, written once however often it is compared.
func (c *career) value(f employee.Fact) (json.RawMessage, error) {
	by := stated{attribute: f.Attribute, event: f.EventID}
	by.employment, _ = f.Value.(employee.Employment)
	if value, known := c.values[by]; known {
		return value, nil
	}
	value, err := domain.Marshal(f.Value)
	if c.values == nil {
		c.values = map[stated]json.RawMessage{}
	}
	c.values[by] = value
	return value, err
}

// fold compares the beliefs at the event's effective date just before and just
// after it. For a correction the old value is that of the event corrected, for a
// rescission that of the event rescinded.
func (c *career) fold(now employee.Assertion) (folded, error) {
	facts := employee.Timeline(append(slices.Clip(c.said), now))
	state, err := c.state(facts)
	if err != nil {
		return folded{}, err
	}
	f := folded{state: state, facts: facts}
	switch e := now.Event.(type) {
	case employee.FactCorrected:
		f.changes, err = c.corrected(e.CorrectsEventID, now)
	case employee.FactRescinded:
		f.changes, err = c.rescinded(e.RescindsEventID, facts)
	default:
		if c.facts == nil {
			c.facts = employee.Timeline(c.said)
		}
		day := effectiveOn(now.Event)
		f.changes, err = c.compare(c.facts, day, facts, day, func(employee.Attribute) bool { return true })
	}
	return f, err
}

var errNoTarget = errors.New("the event that is spoken about is not in the stream")

// until are the assertions up to an event's own.
func until(said []employee.Assertion, id uuid.UUID) ([]employee.Assertion, error) {
	at := slices.IndexFunc(said, func(a employee.Assertion) bool { return a.ID == id })
	if at < 0 {
		return nil, errNoTarget
	}
	return said[:at+1], nil
}

// corrected compares what the event said when it was recorded with what it should
// have said: what came between does not blur it.
func (c *career) corrected(target uuid.UUID, by employee.Assertion) ([]change, error) {
	then, err := until(c.said, target)
	if err != nil {
		return nil, err
	}
	wrong := effectiveOn(then[len(then)-1].Event)
	right := effectiveOn(by.Event)
	before, after := employee.Timeline(then), employee.Timeline(append(slices.Clip(then), by))
	stated := union(statedBy(before, target), statedBy(after, by.ID))
	changes, err := c.compare(before, wrong, after, right, func(a employee.Attribute) bool { return stated[a] })
	if err == nil && wrong != right {
		changes = append(changes, change{"/effective_from", quoted(wrong), quoted(right)})
	}
	return changes, err
}

func quoted(day domain.Date) json.RawMessage { return json.RawMessage(`"` + day.String() + `"`) }

// rescinded compares what the event said with what is believed without it.
func (c *career) rescinded(target uuid.UUID, after []employee.Fact) ([]change, error) {
	then, err := until(c.said, target)
	if err != nil {
		return nil, err
	}
	before := employee.Timeline(then)
	stated := statedBy(before, target)
	day := effectiveOn(then[len(then)-1].Event)
	return c.compare(before, day, after, day, func(a employee.Attribute) bool { return stated[a] })
}

// statedBy are the attributes that an event says something about.
func statedBy(facts []employee.Fact, event uuid.UUID) map[employee.Attribute]bool {
	stated := map[employee.Attribute]bool{}
	for _, fact := range facts {
		if fact.EventID == event {
			stated[fact.Attribute] = true
		}
	}
	return stated
}

func union(a, b map[employee.Attribute]bool) map[employee.Attribute]bool {
	maps.Copy(a, b)
	return a
}

// compare lists the changes of some attributes from one day of a timeline to a
// day of another.
func (c *career) compare(before []employee.Fact, from domain.Date, after []employee.Fact, to domain.Date, some func(employee.Attribute) bool) ([]change, error) {
	old, err := c.believedOn(before, from, some)
	if err != nil {
		return nil, err
	}
	new, err := c.believedOn(after, to, some)
	return changesOf(old, new), err
}

func (c *career) believedOn(facts []employee.Fact, day domain.Date, some func(employee.Attribute) bool) (fields, error) {
	believed := fields{}
	for _, fact := range facts {
		if !some(fact.Attribute) || !fact.Holds(day) {
			continue
		}
		value, err := c.value(fact)
		if err != nil {
			return nil, err
		}
		believed[string(fact.Attribute)] = value
	}
	return believed, nil
}

// A span is one value of an attribute in the state of an entity with effective
// dates.
type span struct {
	from, to domain.Date
	value    json.RawMessage
}

// state is what is believed of all days.
func (c *career) state(facts []employee.Fact) (fields, error) {
	spans := map[string][]span{}
	for _, fact := range facts {
		value, err := c.value(fact)
		if err != nil {
			return nil, err
		}
		spans[string(fact.Attribute)] = append(spans[string(fact.Attribute)], span{fact.From, fact.To, value})
	}
	return spansJSON(spans), nil
}

// spansJSON writes each name's spans as a list of {from, to, value}, without a to
// where there is none.
func spansJSON(spans map[string][]span) fields {
	state := make(fields, len(spans))
	for name, list := range spans {
		text := []byte{'['}
		for i, s := range list {
			if i > 0 {
				text = append(text, ',')
			}
			text = append(text, `{"from":"`+s.from.String()...)
			if !s.to.IsZero() {
				text = append(text, `","to":"`+s.to.String()...)
			}
			text = append(append(append(text, `","value":`...), s.value...), '}')
		}
		state[name] = append(text, ']')
	}
	return state
}

// effectiveOn is the day from which an event holds, the zero one for none.
func effectiveOn(event domain.Named) (day domain.Date) {
	if effective, ok := event.(domain.Effective); ok {
		day, _ = domain.ParseDate(effective.EffectiveAt())
	}
	return day
}

// foldOrgUnit does the same for an org unit, whose events only ever change.
func foldOrgUnit(before []domain.Recorded[orgunit.Event], now domain.Recorded[orgunit.Event]) folded {
	after := append(slices.Clip(before), now)
	day := effectiveOn(now.Event)
	spans := map[string][]span{}
	for _, line := range orgUnitLines(after) {
		list := spans[line.name]
		if n := len(list); n > 0 {
			list[n-1].to = line.from
			if list[n-1].from == line.from {
				list = list[:n-1]
			}
		}
		spans[line.name] = append(list, span{from: line.from, value: line.value})
	}
	return folded{changes: changesOf(orgUnitOn(before, day), orgUnitOn(after, day)), state: spansJSON(spans)}
}

// A line is one value of an org unit from a day on.
type line struct {
	name  string
	from  domain.Date
	value json.RawMessage
}

// orgUnitLines are by day, and of one day in the order of recording.
func orgUnitLines(said []domain.Recorded[orgunit.Event]) []line {
	var lines []line
	for _, a := range said {
		from := effectiveOn(a.Event)
		say := func(name string, value any) {
			text, _ := domain.Marshal(value) // strings, UUIDs and booleans
			lines = append(lines, line{name, from, text})
		}
		switch e := a.Event.(type) {
		case orgunit.OrgUnitCreated:
			say("name", e.Name)
			say("parent", projections.OrNull(e.Parent))
		case orgunit.OrgUnitRenamed:
			say("name", e.Name)
		case orgunit.OrgUnitMoved:
			say("parent", projections.OrNull(e.Parent))
		case orgunit.OrgUnitClosed:
			say("closed", true)
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Or(a.from.Compare(b.from)) })
	return lines
}

func orgUnitOn(said []domain.Recorded[orgunit.Event], day domain.Date) fields {
	believed := fields{}
	for _, line := range orgUnitLines(said) {
		if !day.Before(line.from) {
			believed[line.name] = line.value
		}
	}
	return believed
}
