package readapi

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/domain/access"
	"daybook.example/eventstore"
	"daybook.example/eventstore/seal"
)

// seen says which role sees the values of which purpose in what is not about
// the caller alone: every cell is declared.
var seen = map[access.Role][]string{
	access.Employee:   {},
	access.HR:         {"identity", "contact", "health", "note", "applicant"},
	access.Payroll:    {"identity", "contact", "bank", "payroll", "applicant"},
	access.Finance:    {},
	access.Auditor:    {},
	access.Integrator: {},
	access.Operator:   {},
	access.Admin:      {"identity", "contact", "bank", "payroll", "health", "note", "applicant"},
}

func TestGivenEachRoleAndPurposeWhenAnEventIsShownThenTheMaskIsWhatTheTableSays(t *testing.T) {
	t.Parallel()
	keys, err := seal.Create(t.TempDir() + "/keys")
	require.NoError(t, err)
	subject, id := uuid.New(), uuid.New()
	const stream = "employee-1"
	members := map[string]any{"employee_no": "7"}
	for _, purpose := range purposes {
		members[purpose] = map[string]any{"$personal": map[string]any{"subject": subject, "purpose": purpose, "value": "canary-" + purpose}}
	}
	data, err := domain.Marshal(members)
	require.NoError(t, err)
	data, err = keys.Seal(stream, id, data)
	require.NoError(t, err)
	require.NoError(t, keys.Destroy(subject, "contact"))
	event := eventstore.Recorded{ID: id, Stream: stream, Data: data}

	for role, purposesSeen := range seen {
		f := &feed{server: &server{Options: Options{Keys: keys}}, principal: edge.Principal{Role: role, EmployeeID: uuid.New()}}
		shown, err := f.unveil(event)
		require.NoError(t, err)
		var got map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(shown, &got))
		require.JSONEq(t, `"7"`, string(got["employee_no"]))
		for _, purpose := range purposes {
			want := `{"masked":true}`
			for _, visible := range purposesSeen {
				if visible == purpose {
					want = fmt.Sprintf(`"canary-%s"`, purpose)
				}
				if visible == purpose && purpose == "contact" {
					want = `{"erased":true}`
				}
			}
			require.JSONEq(t, want, string(got[purpose]), "%s as %s", purpose, role)
		}
	}
	require.Len(t, seen, len(access.Roles))
}

func TestGivenJSONWhenPersonalValuesAreReplacedThenEveryOtherByteStays(t *testing.T) {
	t.Parallel()
	mask := func(marker) json.RawMessage { return masked }
	sealed := `{"$sealed":{"subject":"x","purpose":"note","key":"k","nonce":"n","data":"d"}}`
	for given, want := range map[string]string{
		`{"b": 1.50,"a":"<&>"}`:                   `{"b": 1.50,"a":"<&>"}`,
		`{"a":` + sealed + `, "z":[]}`:            `{"a":{"masked":true}, "z":[]}`,
		`[` + sealed + `,{"c":[` + sealed + `]}]`: `[{"masked":true},{"c":[{"masked":true}]}]`,
		`{"a":"$sealed","personal":{"b":1}}`:      `{"a":"$sealed","personal":{"b":1}}`,
	} {
		got, err := eachMarker(json.RawMessage(given), mask)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestGivenAMarkerWithMoreMembersWhenItIsReplacedThenNothingIsShown(t *testing.T) {
	t.Parallel()
	for _, given := range []string{
		`{"a":{"$personal":{"purpose":"note","value":"canary"},"b":1}}`,
		`{"a":{"b":1,"$sealed":{"purpose":"note"}}}`,
		`{"a":{"$personal":"canary"}}`,
		`{"a":{"$personal":{"purpose":"note","value":"canary"}`,
	} {
		got, err := eachMarker(json.RawMessage(given), func(m marker) json.RawMessage { return m.Value })
		require.Error(t, err, given)
		require.NotContains(t, err.Error(), "canary")
		require.Nil(t, got)
	}
}
