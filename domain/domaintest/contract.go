package domaintest

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
)

// Stored requires events to be stored as testdata/stored.golden says and to come
// back as they were, and every type of the catalog to be among them. The golden
// file is for ever: lines may be added.
func Stored[E domain.Named](t testing.TB, catalog domain.Catalog[E], events ...E) {
	t.Helper()
	var got []byte
	for _, event := range events {
		data, err := domain.Encode(event)
		require.NoError(t, err)
		effective := ""
		if e, ok := any(event).(domain.Effective); ok {
			effective = e.EffectiveAt()
		}
		got = fmt.Appendf(got, "%s %d [%s] %s\n", event.EventType(), domain.SchemaVersion(event), effective, data)
		back, err := catalog.Decode(event.EventType(), domain.SchemaVersion(event), data)
		require.NoError(t, err)
		require.Equal(t, event, back, "decoding gives what was encoded")
		older, err := catalog.Decode(event.EventType(), domain.SchemaVersion(event), LaterMembers(t, data))
		require.NoError(t, err)
		require.Equal(t, event, older, "a member that is added later does not stop a reader of today")
	}
	Golden(t, "stored.golden", got)
	for _, name := range catalog.Names() {
		require.Contains(t, string(got), name+" ", "every event is pinned")
	}
}

// LaterMembers adds a member to every object of a stored document, as a later
// version of Daybook may do.
func LaterMembers(t testing.TB, data []byte) []byte {
	t.Helper()
	var document any
	require.NoError(t, json.Unmarshal(data, &document))
	var add func(any)
	add = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			for name, member := range value {
				if name != "keys" { // a source's, whose names are not ours
					add(member)
				}
			}
			value["added_later"] = map[string]any{"why": []int{1}}
		case []any:
			for _, element := range value {
				add(element)
			}
		}
	}
	add(document)
	later, err := json.Marshal(document)
	require.NoError(t, err)
	return later
}

// EveryEventIsListed counts the evolve methods of the package under test against
// its catalog, so that no event is left out.
func EveryEventIsListed[E domain.Named](t testing.TB, catalog domain.Catalog[E]) {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var evolving []string
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && fn.Name.Name == "evolve" {
				evolving = append(evolving, fn.Recv.List[0].Type.(*ast.Ident).Name)
			}
		}
	}
	var listed []string
	for _, listing := range catalog.Types() {
		listed = append(listed, listing.Name())
	}
	require.ElementsMatch(t, evolving, listed)
}

// WireForm requires that the members of commands are snake_case, and that the
// wire cannot bring what is not its to bring, whatever it calls it.
func WireForm[C any](t testing.TB, commands ...C) {
	t.Helper()
	for _, command := range commands {
		kind := reflect.TypeOf(command)
		for field := range kind.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			require.Regexp(t, `^(-|[a-z]+(_[a-z]+)*)$`, name, "%s.%s", kind, field.Name)
			if name == "-" {
				unreachable(t, kind, field.Name)
			}
		}
	}
}

// unreachable sends a number, which no such field could hold, under every name
// that a decoder might know the field by.
func unreachable(t testing.TB, kind reflect.Type, name string) {
	t.Helper()
	snake := strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(name, "${1}_$2"))
	for _, member := range []string{name, strings.ToLower(name), snake, "-"} {
		decoded := reflect.New(kind)
		require.NoError(t, json.Unmarshal(fmt.Appendf(nil, `{%q:17.5}`, member), decoded.Interface()), "%s.%s", kind, name)
		require.True(t, decoded.Elem().IsZero(), "%s.%s", kind, name)
	}
}

// A Model is what Properties needs to know of a decider: how to draw a command
// when so many events are recorded, and what else is always true.
type Model[C, S any, E domain.Named] struct {
	Decider domain.Decider[C, S, E]
	Catalog domain.Catalog[E]
	Rules   map[string]string // that may refuse; nil = any
	Draw    func(t *rapid.T, recorded []domain.Recorded[E]) C
	Always  func(t *rapid.T, state S, recorded []domain.Recorded[E]) // of the end of each list; may be nil
}

// Properties checks what is true of every decider, for any list of commands: it
// does not panic, deciding is deterministic and changes nothing, encoding loses
// nothing, folding in halves is folding the whole, and so is folding a copy. An
// event in the wrong place does not panic either.
//
// More and longer lists: go test ./domain/... -run Properties -rapid.checks=10000 -rapid.steps=200
func Properties[C, S any, E domain.Named](t *testing.T, m Model[C, S, E]) {
	t.Helper()
	for _, kind := range m.Catalog.Types() {
		stray := domain.Recorded[E]{Event: reflect.Zero(kind).Interface().(E)}
		require.NotPanics(t, func() { m.Decider.Evolve(m.Decider.Initial, stray) }, kind)
	}
	rapid.Check(t, func(t *rapid.T) {
		var facts []domain.Recorded[E]
		state := m.Decider.Initial
		for range steps(t) {
			if rapid.IntRange(0, 63).Draw(t, "idle") == 0 { // so that a list that fails is made shorter
				continue
			}
			for _, event := range m.decide(t, state, m.Draw(t, facts)) {
				fact := m.stored(t, event, len(facts))
				facts, state = append(facts, fact), m.Decider.Evolve(state, fact)
			}
		}
		require.Equal(t, m.fold(facts), state, "decide changes nothing")
		half := rapid.IntRange(0, len(facts)).Draw(t, "half")
		require.Equal(t, state, m.Decider.Fold(m.fold(facts[:half]), facts[half:]...), "halves make the whole")
		if m.Decider.Copy != nil {
			m.copied(t, facts[:half], facts[half:], state)
		}
		if m.Always != nil {
			m.Always(t, state, facts)
		}
	})
}

// copied lets a copy go on, which leaves its original where it was.
func (m Model[C, S, E]) copied(t *rapid.T, facts, more []domain.Recorded[E], state S) {
	original := m.fold(facts)
	require.Equal(t, state, m.Decider.Fold(m.Decider.Copy(original), more...), "a copy goes on like its original")
	require.Equal(t, m.fold(facts), original, "a copy shares nothing")
}

// steps are as many as -rapid.steps says; rapid's own Repeat takes it for an
// average and draws a few very long lists, which take most of the time.
func steps(t *rapid.T) int {
	n, err := strconv.Atoi(flag.Lookup("rapid.steps").Value.String())
	require.NoError(t, err)
	return n
}

// decide decides twice and requires the same both times.
func (m Model[C, S, E]) decide(t *rapid.T, state S, command C) []E {
	events, err := m.Decider.Decide(state, command)
	again, errAgain := m.Decider.Decide(state, command)
	require.Equal(t, err, errAgain, "decide is deterministic")
	require.Equal(t, events, again, "decide is deterministic")
	if err != nil && m.Rules != nil {
		m.refused(t, events, err)
	}
	return events
}

func (m Model[C, S, E]) refused(t *rapid.T, events []E, err error) {
	require.Empty(t, events)
	var refusal *domain.Error
	require.ErrorAs(t, err, &refusal)
	require.Contains(t, m.Rules, refusal.Code, "a refusal names a rule that is listed")
}

func (m Model[C, S, E]) fold(facts []domain.Recorded[E]) S {
	return m.Decider.Fold(m.Decider.Initial, facts...)
}

// stored is the event as it comes back from the store.
func (m Model[C, S, E]) stored(t *rapid.T, event E, revision int) domain.Recorded[E] {
	data, err := domain.Encode(event)
	require.NoError(t, err)
	back, err := m.Catalog.Decode(event.EventType(), domain.SchemaVersion(event), data)
	require.NoError(t, err)
	require.Equal(t, event, back, "decoding gives what was encoded")
	return domain.Recorded[E]{Recording: domain.Recording{ID: FactID(revision), Revision: uint64(revision)}, Event: back}
}

// A Refusal is one case in which a command is refused.
type Refusal[C, E any] struct {
	Code, Field string
	Given       []E
	When        C
}

// Refusals checks each case, and that together they show every rule.
func Refusals[C, S, E any](t *testing.T, d domain.Decider[C, S, E], rules map[string]string, cases ...Refusal[C, E]) {
	t.Helper()
	shown := map[string]bool{}
	for _, c := range cases {
		shown[c.Code] = true
		t.Run(c.Code+" "+c.Field, func(t *testing.T) {
			t.Parallel()
			For(t, d).Given(c.Given...).When(c.When).ThenRefused(c.Code, c.Field)
		})
	}
	for rule := range rules {
		require.True(t, shown[rule], "no case shows the rule %s", rule)
	}
	for code := range shown {
		require.Contains(t, rules, code, "a rule that is not listed")
	}
}
