package company

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/book"
	"daybook.example/domain/employee"
	"daybook.example/domain/journal"
	"daybook.example/domain/organisation"
	"daybook.example/domain/orgunit"
)

// A world carries the steps out on deciders alone, without a store.
type world struct {
	t      *testing.T
	count  map[string]int
	events map[string]uuid.UUID
	lines  map[string]any // streams by name
}

func (w *world) Event(key, eventType string) uuid.UUID {
	id, ok := w.events[key+" "+eventType]
	require.True(w.t, ok, "%s of %s was not recorded before", eventType, key)
	return id
}

type line[C, S any, E domain.Named] struct {
	state S
	facts []domain.Recorded[E]
}

func carryOut[C, S any, E domain.Named](w *world, d domain.Decider[C, S, E], stream string, step Step, cmd C) *line[C, S, E] {
	l, ok := w.lines[stream].(*line[C, S, E])
	if !ok {
		l = &line[C, S, E]{state: d.Initial}
		w.lines[stream] = l
	}
	events, err := d.Decide(l.state, cmd)
	require.NoError(w.t, err, "step %s", step.Key)
	require.NotEmpty(w.t, events, "step %s does nothing", step.Key)
	for i, event := range events {
		id := domain.EventID(Command(step.Key), "", stream, i)
		fact := domain.Recorded[E]{Recording: domain.Recording{ID: id, Revision: uint64(len(l.facts))}, Event: event}
		l.facts, l.state = append(l.facts, fact), d.Evolve(l.state, fact)
		w.count[event.EventType()]++
		w.events[step.Key+" "+event.EventType()] = id
	}
	return l
}

func (w *world) book() book.State {
	l, ok := w.lines[book.Stream(Book)].(*line[book.Command, book.State, book.Event])
	require.True(w.t, ok, "the book is open before its periods")
	return l.state
}

func (w *world) entry(stream string, id uuid.UUID) journal.Event {
	for _, fact := range w.lines[stream].(*line[journal.Command, journal.State, journal.Event]).facts {
		if posted, ok := fact.Event.(journal.EntryPosted); ok && posted.EntryID == id {
			return posted
		}
	}
	return nil
}

func (w *world) do(step Step) {
	created := ID(step.Key)
	today := domain.DateOf(step.At)
	period := func() string {
		name, month, _ := strings.Cut(step.Target, "/")
		p, err := domain.ParsePeriod(month)
		require.NoError(w.t, err)
		return journal.Stream(name, p)
	}
	switch cmd := step.Make(w).(type) {
	case employee.Command:
		self := uuid.MustParse(step.Target)
		carryOut(w, employee.Decider, employee.Stream(self), step, cmd.With(employee.Context{
			Self: self, Subject: domain.SubjectID(Command(step.Key)), Today: today}))
	case organisation.Name:
		carryOut(w, organisation.Decider, organisation.Stream, step, organisation.Command(cmd))
	case organisation.AddLegalEntity:
		cmd.ID = created
		carryOut(w, organisation.Decider, organisation.Stream, step, organisation.Command(cmd))
	case organisation.AddLocation:
		cmd.ID = created
		carryOut(w, organisation.Decider, organisation.Stream, step, organisation.Command(cmd))
	case orgunit.Command:
		self := uuid.MustParse(step.Target)
		carryOut(w, orgunit.Decider, orgunit.Stream(self), step, cmd.With(orgunit.Context{Self: self, Today: today}))
	case book.Command:
		carryOut(w, book.Decider, book.Stream(step.Target), step, cmd)
	case journal.OpenPeriod:
		cmd.Book = w.book()
		carryOut(w, journal.Decider, period(), step, journal.Command(cmd))
	case journal.PostEntry:
		cmd.Book, cmd.EntryID = w.book(), created
		carryOut(w, journal.Decider, period(), step, journal.Command(cmd))
	case Reversal:
		cmd.Command.EntryID, cmd.Command.Original = created, w.entry(period(), cmd.Entry)
		carryOut(w, journal.Decider, period(), step, journal.Command(cmd.Command))
	case journal.Command:
		carryOut(w, journal.Decider, period(), step, cmd)
	default:
		require.Fail(w.t, "unknown command", "%T", cmd)
	}
}

func live(t *testing.T, seed uint64) *world {
	w := &world{t: t, count: map[string]int{}, events: map[string]uuid.UUID{}, lines: map[string]any{}}
	for _, step := range Steps(seed) {
		w.do(step)
	}
	return w
}

func TestTheCompanyLivesThroughEverything(t *testing.T) {
	t.Parallel()
	w := live(t, 1)
	require.Equal(t, People+1, w.count["employee-hired"], "and one who never started")
	require.Equal(t, 10, w.count["employee-fact-corrected"])
	require.Equal(t, 3, stepsOf("rescind-"), "one of them takes back a hire, with all that it brought")
	require.Equal(t, 1, w.count["journal-entry-reversed"])
	require.Equal(t, Months, w.count["journal-period-opened"])
	require.Equal(t, Closed+1, w.count["journal-period-closed"], "one is closed twice")
	for _, names := range [][]string{
		employee.Catalog.Names(), organisation.Catalog.Names(), orgunit.Catalog.Names(), book.Catalog.Names(), journal.Catalog.Names(),
	} {
		for _, name := range names {
			require.NotZero(t, w.count[name], "%s happens at least once", name)
		}
	}
}

func stepsOf(prefix string) (count int) {
	for _, step := range Steps(1) {
		if strings.HasPrefix(step.Key, prefix) {
			count++
		}
	}
	return count
}

func TestTheSameSeedMakesTheSameCompany(t *testing.T) {
	t.Parallel()
	require.Equal(t, fmt.Sprint(live(t, 7).events), fmt.Sprint(live(t, 7).events))
	require.NotEqual(t, fmt.Sprint(live(t, 7).count), fmt.Sprint(live(t, 8).count))
}

func TestTwoDocumentsAreOlderThanTheMonthTheyArePostedIn(t *testing.T) {
	t.Parallel()
	late := 0
	for _, step := range Steps(1) {
		entry, ok := step.Make(anything{}).(journal.PostEntry)
		if ok && domain.PeriodOf(entry.DocumentDate) != domain.PeriodOf(entry.PostingDate) {
			late++
		}
	}
	require.Equal(t, 2, late)
}

func TestTheStoryEndsWithItsLastDay(t *testing.T) {
	t.Parallel()
	steps := Steps(1)
	require.False(t, steps[0].At.Before(first.Time()))
	require.True(t, steps[len(steps)-1].At.Before(last.AddDays(1).Time()))
	require.WithinDuration(t, last.Time(), steps[len(steps)-1].At, 45*24*time.Hour)
}

type anything struct{}

func (anything) Event(string, string) uuid.UUID { return uuid.Max }
