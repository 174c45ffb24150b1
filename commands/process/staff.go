package process

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/domain/employee"
	"daybook.example/domain/organisation"
)

// Staff is who is employed when, and who reports to whom, as the log says it up to
// an event. It is a fold in memory of the employees' events, without anything
// personal: the only form in which "who reports to her from that day on" can be
// answered rightly after corrections and rescissions, which name nothing but an
// event. The timeline is the domain's own.
type Staff struct {
	people  map[uuid.UUID]*person
	reports map[uuid.UUID]map[uuid.UUID]bool // who was ever said to report to somebody
	zone    *time.Location                   // in which the organisation's days begin
	changed Change
}

// A Change is whom the last event concerns. It is empty where nothing changed that
// is known here.
type Change struct {
	Employee  uuid.UUID
	Spells    bool        // when the employee is employed
	Probation bool        // until when the employee is on probation, or what was decided about it
	Managers  []uuid.UUID // to whom the employee reports differently now, or did
}

// A person is what is known of one employee.
type person struct {
	revision  uint64
	said      []employee.Assertion
	spells    []spell
	managers  []managed
	probation Probation
}

// A Probation is that of somebody's last spell. Without an end there is none.
type Probation struct {
	End   domain.Date // the last day
	State ProbationState
}

// A ProbationState says whether somebody must still decide.
type ProbationState string

// The states of a probation.
const (
	NoProbation        ProbationState = ""
	ProbationOpen      ProbationState = "open"
	ProbationConfirmed ProbationState = "confirmed"
	ProbationLeft      ProbationState = "left" // an end of the employment is recorded
)

// A spell is a time of employment; the last day is zero while it is open.
type spell struct{ from, last domain.Date }

func (s spell) holds(day domain.Date) bool {
	return !day.Before(s.from) && (s.last.IsZero() || !day.After(s.last))
}

// managed is a time under one manager.
type managed struct {
	manager uuid.UUID
	from    domain.Date
	to      domain.Date // exclusive; zero: until further notice
	by      uuid.UUID   // the event that says so now
}

// A Report is somebody who is said to report to a manager from a day on.
type Report struct {
	Employee uuid.UUID
	From     domain.Date
}

// NewStaff knows nobody yet.
func NewStaff() *Staff {
	return &Staff{people: map[uuid.UUID]*person{}, reports: map[uuid.UUID]map[uuid.UUID]bool{}, zone: time.UTC}
}

// Changed is what the last event changed.
func (s *Staff) Changed() Change { return s.changed }

// Apply hears of the next event of the log.
func (s *Staff) Apply(e Event) {
	s.changed = Change{}
	if named, ok := e.Decoded.(organisation.OrganisationNamed); ok {
		if zone, err := domain.Zone(named.Zone); err == nil {
			s.zone = zone
		}
	}
	said, isEmployees := e.Decoded.(employee.Event)
	if !isEmployees {
		return
	}
	id, err := uuid.Parse(e.Stream[min(len(e.Stream), len(employee.Category)+1):])
	if err != nil {
		return // nobody's stream; the audit log lists it as a finding
	}
	p := s.people[id]
	if p == nil {
		p = &person{}
		s.people[id] = p
	}
	p.revision = e.Revision
	kept, relevant := plain(said)
	if !relevant {
		return
	}
	before := *p
	p.said = append(p.said, employee.Assertion{Recording: domain.Recording{ID: e.ID, Revision: e.Revision}, Event: kept})
	p.fold()
	s.changed = Change{
		Employee: id, Spells: !slices.Equal(before.spells, p.spells), Probation: before.probation != p.probation,
		Managers: differing(before.managers, p.managers),
	}
	for _, m := range p.managers {
		if s.reports[m.manager] == nil {
			s.reports[m.manager] = map[uuid.UUID]bool{}
		}
		s.reports[m.manager][id] = true
	}
}

// plain is the event without anything personal; irrelevant ones are not kept.
func plain(event employee.Event) (kept employee.Event, relevant bool) {
	switch e := event.(type) {
	case employee.EmployeeHired:
		return employee.EmployeeHired{Terms: dates(e.Terms)}, true
	case employee.EmployeeRehired:
		return employee.EmployeeRehired{Terms: dates(e.Terms)}, true
	case employee.ManagerAssigned:
		return e, true
	case employee.EmploymentTerminated:
		return employee.EmploymentTerminated{LastDay: e.LastDay}, true
	case employee.EmployeeRetired:
		return employee.EmployeeRetired{LastDay: e.LastDay}, true
	case employee.ProbationConfirmed:
		return e, true
	case employee.ProbationExtended:
		return employee.ProbationExtended{ProbationEnd: e.ProbationEnd, EffectiveFrom: e.EffectiveFrom}, true
	case employee.FactCorrected:
		if e.Replacement.Event == nil {
			return nil, false
		}
		right, relevant := plain(e.Replacement.Event)
		return employee.FactCorrected{CorrectsEventID: e.CorrectsEventID, Replacement: employee.Replacement{Event: right}}, relevant
	case employee.FactRescinded:
		return employee.FactRescinded{RescindsEventID: e.RescindsEventID}, true
	}
	return nil, false
}

func dates(t employee.Terms) employee.Terms {
	return employee.Terms{HireDate: t.HireDate, ProbationEnd: t.ProbationEnd}
}

// fold reads the timeline of what was said.
func (p *person) fold() {
	p.spells, p.managers, p.probation = nil, nil, Probation{}
	facts := employee.Timeline(p.said)
	for _, fact := range facts {
		switch value := fact.Value.(type) {
		case employee.Employment:
			if value.Status == employee.Active {
				p.spells = append(p.spells, spell{fact.From, value.LastDay})
				p.probation = probationOf(value)
			}
		case employee.Manager:
			p.managers = append(p.managers, managed{value.ManagerEmployeeID, fact.From, fact.To, fact.EventID})
		case employee.Probation:
			if n := len(p.spells); n > 0 && p.spells[n-1].holds(fact.From) {
				p.probation.decide(value)
			}
		}
	}
}

// probationOf is what a spell begins with. Employment comes first in a timeline.
func probationOf(spell employee.Employment) Probation {
	switch {
	case spell.ProbationEnd.IsZero():
		return Probation{}
	case !spell.LastDay.IsZero():
		return Probation{spell.ProbationEnd, ProbationLeft}
	}
	return Probation{spell.ProbationEnd, ProbationOpen}
}

func (p *Probation) decide(decided employee.Probation) {
	switch {
	case p.State != ProbationOpen:
	case decided.Status == employee.Confirmed:
		p.State = ProbationConfirmed
	case decided.Status == employee.Extended:
		p.End = decided.ProbationEnd
	}
}

// differing are the managers of times that only one of two lists has.
func differing(before, after []managed) (managers []uuid.UUID) {
	add := func(all, other []managed) {
		for _, m := range all {
			if !slices.Contains(other, m) && !slices.Contains(managers, m.manager) {
				managers = append(managers, m.manager)
			}
		}
	}
	add(before, after)
	add(after, before)
	slices.SortFunc(managers, byBytes)
	return managers
}

func byBytes(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// Revision is that of an employee's stream, as far as it is known here.
func (s *Staff) Revision(id uuid.UUID) (uint64, bool) {
	p := s.people[id]
	if p == nil {
		return 0, false
	}
	return p.revision, true
}

// Employed reports whether somebody is employed on a day.
func (s *Staff) Employed(id uuid.UUID, day domain.Date) bool {
	p := s.people[id]
	return p != nil && slices.ContainsFunc(p.spells, func(sp spell) bool { return sp.holds(day) })
}

// Gone says from which day on somebody is not employed any more, as far as is
// known. Who never was, because the hire was rescinded, is gone from the first day.
func (s *Staff) Gone(id uuid.UUID) (from domain.Date, gone bool) {
	p := s.people[id]
	if p == nil || len(p.said) == 0 {
		return domain.Date{}, false
	}
	if len(p.spells) == 0 {
		return domain.Date{}, true
	}
	last := p.spells[len(p.spells)-1].last
	if last.IsZero() {
		return domain.Date{}, false
	}
	return last.AddDays(1), true
}

// ReportsFrom lists who reports to a manager on some day from a day on, by ID and
// then by day.
func (s *Staff) ReportsFrom(manager uuid.UUID, day domain.Date) (all []Report) {
	for id := range s.reports[manager] {
		for _, m := range s.people[id].managers {
			if m.manager == manager && (m.to.IsZero() || m.to.After(day)) {
				all = append(all, Report{id, later(m.from, day)})
			}
		}
	}
	slices.SortFunc(all, func(a, b Report) int {
		return cmp.Or(byBytes(a.Employee, b.Employee), a.From.Compare(b.From))
	})
	return all
}

func later(a, b domain.Date) domain.Date {
	if a.Before(b) {
		return b
	}
	return a
}

// manager is to whom somebody reports on a day, or did last before it.
func (s *Staff) manager(id uuid.UUID, day domain.Date) uuid.UUID {
	var last uuid.UUID
	if p := s.people[id]; p != nil {
		for _, m := range p.managers {
			if !m.from.After(day) {
				last = m.manager
			}
		}
	}
	return last
}

// Successor is whom somebody reports to from a day on whose manager is not there
// any more: the manager's manager, or the first above who is employed on that day.
func (s *Staff) Successor(report, manager uuid.UUID, day domain.Date) (uuid.UUID, bool) {
	seen := map[uuid.UUID]bool{report: true, manager: true}
	next := s.manager(manager, day)
	for ; next != uuid.Nil && !seen[next]; next = s.manager(next, day) {
		if s.Employed(next, day) {
			return next, true
		}
		seen[next] = true
	}
	return uuid.Nil, false
}

// Probation is that of an employee's last spell.
func (s *Staff) Probation(id uuid.UUID) Probation {
	if p := s.people[id]; p != nil {
		return p.probation
	}
	return Probation{}
}

// Morning is when a day begins in the organisation's zone.
func (s *Staff) Morning(day domain.Date) time.Time {
	t := day.Time()
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, s.zone).UTC()
}

// Says reports whether an event still says, as it was recorded, to whom an
// employee reports: nobody has corrected, rescinded or overridden it since.
func (s *Staff) Says(id, event uuid.UUID) bool {
	p := s.people[id]
	return p != nil && slices.ContainsFunc(p.managers, func(m managed) bool { return m.by == event })
}
