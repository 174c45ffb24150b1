package domain_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	. "daybook.example/domain"
	"daybook.example/domain/domaintest"
)

// TestDerivedIDs pins how IDs come about: an idempotency key must be found
// again for ever.
func TestDerivedIDs(t *testing.T) {
	t.Parallel()
	command := CommandID("principal-1", "POST", "/v1/employees", "key-1")
	var got []byte
	for _, line := range []struct {
		what string
		id   uuid.UUID
	}{
		{"no part", Derive()},
		{"parts", Derive("a", "b")},
		{"command", command},
		{"entity", EntityID(command)},
		{"subject", SubjectID(command)},
		{"event 0", EventID(command, "00ff", "employee-1", 0)},
		{"event 10", EventID(command, "00ff", "employee-1", 10)},
	} {
		got = fmt.Appendf(got, "%s %s\n", line.what, line.id)
	}
	domaintest.Golden(t, "identity.golden", got)
	require.Equal(t, uuid.Version(5), command.Version())
}

func TestEachPartOfAnIDCounts(t *testing.T) {
	t.Parallel()
	part := rapid.StringMatching(`[a-c/]{0,3}`)
	rapid.Check(t, func(t *rapid.T) {
		a := []string{part.Draw(t, "a0"), part.Draw(t, "a1"), part.Draw(t, "a2")}
		b := []string{part.Draw(t, "b0"), part.Draw(t, "b1"), part.Draw(t, "b2")}
		require.Equal(t, fmt.Sprint(a) == fmt.Sprint(b), Derive(a...) == Derive(b...))
	})
	command := CommandID("p", "POST", "/", "k")
	all := map[uuid.UUID]bool{
		EventID(command, "m", "s", 0): true, EventID(command, "m", "s", 1): true, EventID(command, "m", "t", 0): true,
		EventID(command, "n", "s", 0): true, EventID(uuid.Nil, "m", "s", 0): true, EntityID(command): true, SubjectID(command): true,
	}
	require.Len(t, all, 7)
}

// TestMetadata pins the bytes that stand beside every event.
func TestMetadata(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 2, 29, 12, 0, 0, 123456000, time.UTC)
	least := Metadata{
		CommandID: ada, CorrelationID: ada, CausationID: ada, Actor: Actor{ID: "principal-1", Kind: User},
		RecordedAt: at, SchemaVersion: 1, SoftwareVersion: "0.1.0", PolicyVersion: "1",
	}
	full := least
	full.RequestMAC, full.CausationID, full.OnBehalfOf = "00ff", bert, "principal-2"
	full.EffectiveAt, full.ReasonCode, full.SubjectIDs, full.ApprovalID = "2024-02-01", "promotion", []uuid.UUID{ada}, &bert
	full.Actor.Kind = Service
	full.Source = &Source{System: "adventureworks", Ref: "hr/Employee.csv:2", RecordedAt: &at, Keys: map[string]string{"b": "2", "a": "1"}}
	whole := least
	whole.RecordedAt = at.Truncate(time.Second) // a fraction ends with its last digit that is not zero
	whole.Source = &Source{System: "r&d", Ref: "<1>"}
	var got []byte
	for _, m := range []Metadata{least, full, whole} {
		data, err := Marshal(m)
		require.NoError(t, err)
		got = append(append(got, data...), '\n')
		var back Metadata
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, m, back)
		var older Metadata
		require.NoError(t, json.Unmarshal(domaintest.LaterMembers(t, data), &older))
		require.Equal(t, m, older, "a member that is added later does not stop a reader of today")
	}
	domaintest.Golden(t, "metadata.golden", got)
}

func TestErrorsCompareByCode(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("decide: %w", Refuse("manager-self", "/manager_employee_id", "nobody is %s", "their own manager"))
	require.ErrorIs(t, err, Code("manager-self"))
	require.NotErrorIs(t, err, Code("spell-overlap"))
	require.NotErrorIs(t, err, &Error{Code: "manager-self", Field: "/other"})
	require.NotErrorIs(t, err, errors.New("manager-self"))
	require.EqualError(t, err, "decide: manager-self (/manager_employee_id): nobody is their own manager")
	require.EqualError(t, Refuse("not-hired", "", "hire first"), "not-hired: hire first")
}
