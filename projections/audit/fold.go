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
)

// A change is one field before and after an event; null where there is none.
type change struct {
	Path string          `json:"path"`
	Old  json.RawMessage `json:"old"`
	New  json.RawMessage `json:"new"`
}

// changesOf compares what is believed of each name, field by field.
func changesOf(before, after fields) []change {
	old, new := flat(before), flat(after)
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

// flat lists the leaves of objects under their JSON pointers. A reference to a
// personal value is a leaf, and so is a list.
func flat(of fields) fields {
	leaves := fields{}
	for name, value := range of {
		spread(leaves, "/"+name, value)
	}
	return leaves
}

func spread(leaves fields, path string, value json.RawMessage) {
	var members fields
	if len(value) == 0 || value[0] != '{' || json.Unmarshal(value, &members) != nil {
		if string(value) != "null" {
			leaves[path] = value
		}
		return
	}
	if _, reference := members["personal"]; reference && len(members) == 1 {
		leaves[path] = value
		return
	}
	for name, member := range members {
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
}

// foldEmployee compares the beliefs at the event's effective date just before and
// just after it. For a correction the old value is that of the event corrected,
// for a rescission that of the event rescinded.
func foldEmployee(before []employee.Assertion, now employee.Assertion) (folded, error) {
	after := append(slices.Clip(before), now)
	facts := employee.Timeline(after)
	state, err := stateOf(facts)
	if err != nil {
		return folded{}, err
	}
	f := folded{state: state}
	switch e := now.Event.(type) {
	case employee.FactCorrected:
		f.changes, err = corrected(before, e.CorrectsEventID, now)
	case employee.FactRescinded:
		f.changes, err = rescinded(before, e.RescindsEventID, facts)
	default:
		day := effectiveOn(now.Event)
		f.changes, err = compare(employee.Timeline(before), day, facts, day, func(employee.Attribute) bool { return true })
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
func corrected(said []employee.Assertion, target uuid.UUID, by employee.Assertion) ([]change, error) {
	then, err := until(said, target)
	if err != nil {
		return nil, err
	}
	wrong := effectiveOn(then[len(then)-1].Event)
	right := effectiveOn(by.Event)
	before, after := employee.Timeline(then), employee.Timeline(append(slices.Clip(then), by))
	stated := union(statedBy(before, target), statedBy(after, by.ID))
	changes, err := compare(before, wrong, after, right, func(a employee.Attribute) bool { return stated[a] })
	if err == nil && wrong != right {
		changes = append(changes, change{"/effective_from", quoted(wrong), quoted(right)})
	}
	return changes, err
}

func quoted(day domain.Date) json.RawMessage { return json.RawMessage(`"` + day.String() + `"`) }

// rescinded compares what the event said with what is believed without it.
func rescinded(said []employee.Assertion, target uuid.UUID, after []employee.Fact) ([]change, error) {
	then, err := until(said, target)
	if err != nil {
		return nil, err
	}
	before := employee.Timeline(then)
	stated := statedBy(before, target)
	day := effectiveOn(then[len(then)-1].Event)
	return compare(before, day, after, day, func(a employee.Attribute) bool { return stated[a] })
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
func compare(before []employee.Fact, from domain.Date, after []employee.Fact, to domain.Date, some func(employee.Attribute) bool) ([]change, error) {
	old, err := believedOn(before, from, some)
	if err != nil {
		return nil, err
	}
	new, err := believedOn(after, to, some)
	return changesOf(old, new), err
}

func believedOn(facts []employee.Fact, day domain.Date, some func(employee.Attribute) bool) (fields, error) {
	believed := fields{}
	for _, fact := range facts {
		if !some(fact.Attribute) || !fact.Holds(day) {
			continue
		}
		value, err := domain.Marshal(fact.Value)
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
	From  domain.Date     `json:"from"`
	To    domain.Date     `json:"to,omitzero"`
	Value json.RawMessage `json:"value"`
}

// stateOf is what is believed of all days.
func stateOf(facts []employee.Fact) (fields, error) {
	spans := map[string][]span{}
	for _, fact := range facts {
		value, err := domain.Marshal(fact.Value)
		if err != nil {
			return nil, err
		}
		spans[string(fact.Attribute)] = append(spans[string(fact.Attribute)], span{fact.From, fact.To, value})
	}
	return marshalSpans(spans)
}

func marshalSpans(spans map[string][]span) (state fields, err error) {
	state = fields{}
	for name, list := range spans {
		if state[name], err = domain.Marshal(list); err != nil {
			return nil, err
		}
	}
	return state, nil
}

// effectiveOn is the day from which an event holds, the zero one for none.
func effectiveOn(event domain.Named) (day domain.Date) {
	if effective, ok := event.(domain.Effective); ok {
		day, _ = domain.ParseDate(effective.EffectiveAt())
	}
	return day
}

// foldOrgUnit does the same for an org unit, whose events only ever change.
func foldOrgUnit(before []domain.Recorded[orgunit.Event], now domain.Recorded[orgunit.Event]) (folded, error) {
	after := append(slices.Clip(before), now)
	day := effectiveOn(now.Event)
	spans := map[string][]span{}
	for _, line := range orgUnitLines(after) {
		list := spans[line.name]
		if n := len(list); n > 0 {
			list[n-1].To = line.from
			if list[n-1].From == line.from {
				list = list[:n-1]
			}
		}
		spans[line.name] = append(list, span{From: line.from, Value: line.value})
	}
	state, err := marshalSpans(spans)
	return folded{changesOf(orgUnitOn(before, day), orgUnitOn(after, day)), state}, err
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
			say("parent", orNull(e.Parent))
		case orgunit.OrgUnitRenamed:
			say("name", e.Name)
		case orgunit.OrgUnitMoved:
			say("parent", orNull(e.Parent))
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
