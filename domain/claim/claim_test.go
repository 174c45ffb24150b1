package claim_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
	. "daybook.example/domain/claim"
	"daybook.example/domain/domaintest"
)

const (
	sally = "employee-sally"
	bob   = "employee-bob"
)

var (
	first  = uuid.MustParse("00000000-0000-4000-8000-000000000001")
	second = uuid.MustParse("00000000-0000-4000-8000-000000000002")
	noon   = time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)
)

func given(t testing.TB, events ...Event) domaintest.Spec[Command, State, Event] {
	return domaintest.For(t, Decider).Given(events...)
}

func TestTaking(t *testing.T) {
	t.Parallel()
	taken := Taken{sally, first, noon}
	given(t).When(Take{sally, first, noon}).Then(taken)
	given(t, taken).When(Take{sally, first, noon}).Then()
	given(t, taken).When(Take{sally, first, noon.Add(time.Minute)}).Then(Taken{sally, first, noon.Add(time.Minute)})
	given(t, taken, Confirmed{sally}).When(Take{sally, second, noon.Add(time.Hour)}).Then()
	given(t, taken, Released{sally, "refused"}).When(Take{bob, second, noon}).Then(Taken{bob, second, noon})
}

func TestConfirmingAndReleasing(t *testing.T) {
	t.Parallel()
	taken := Taken{sally, first, noon}
	given(t, taken).When(Confirm{sally}).Then(Confirmed{sally})
	given(t, taken, Confirmed{sally}).When(Confirm{sally}).Then()
	given(t, taken).When(Release{sally, "refused"}).Then(Released{sally, "refused"})
	given(t, taken, Confirmed{sally}).When(Release{sally, "rescinded"}).Then(Released{sally, "rescinded"})
	given(t).When(Release{sally, "refused"}).Then()
}

func TestStreamNamesHoldTheSetAndTheHMAC(t *testing.T) {
	t.Parallel()
	require.Equal(t, "claim-employee_no-00ff", Stream("employee_no", "00ff"))
}

func refusal(code, field string, given []Event, when Command) domaintest.Refusal[Command, Event] {
	return domaintest.Refusal[Command, Event]{Code: code, Field: field, Given: given, When: when}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	taken := Taken{sally, first, noon}
	domaintest.Refusals(t, Decider, Rules,
		refusal("required", "/owner", nil, Take{CommandID: first, Expires: noon}),
		refusal("required", "/expires", nil, Take{Owner: sally, CommandID: first}),
		refusal("taken", "", []Event{taken}, Take{bob, second, noon}),
		refusal("taken", "", []Event{taken, Confirmed{sally}}, Take{bob, second, noon}),
		refusal("taken", "", []Event{taken}, Take{sally, second, noon}),
		refusal("claim-lost", "", nil, Confirm{sally}),
		refusal("claim-lost", "", []Event{taken}, Confirm{bob}),
		refusal("claim-lost", "", []Event{taken, Released{sally, "expired"}}, Confirm{sally}),
		refusal("claim-of-other", "", []Event{taken}, Release{bob, "refused"}),
	)
}

func TestStoredShapes(t *testing.T) {
	t.Parallel()
	domaintest.Stored[Event](t, Catalog, Taken{sally, first, noon.Add(time.Microsecond)}, Confirmed{sally}, Released{sally, "refused"})
	domaintest.EveryEventIsListed(t, Catalog)
}

// TestProperties also shows that a value never changes hands without a release.
func TestProperties(t *testing.T) {
	t.Parallel()
	domaintest.Properties(t, domaintest.Model[Command, State, Event]{
		Decider: Decider, Catalog: Catalog,
		Draw: func(t *rapid.T, _ []domain.Recorded[Event]) Command {
			owner := rapid.SampledFrom([]string{sally, bob}).Draw(t, "owner")
			command := rapid.SampledFrom([]uuid.UUID{first, second}).Draw(t, "command ID")
			expires := noon.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "minutes")) * time.Minute)
			return rapid.SampledFrom([]Command{Take{owner, command, expires}, Confirm{owner}, Release{owner, "refused"}}).Draw(t, "command")
		},
		Always: func(t *rapid.T, _ State, facts []domain.Recorded[Event]) {
			owner := ""
			for _, fact := range facts {
				switch e := fact.Event.(type) {
				case Taken:
					require.Contains(t, []string{"", e.Owner}, owner)
					owner = e.Owner
				case Confirmed:
					require.Equal(t, owner, e.Owner)
				case Released:
					require.Equal(t, owner, e.Owner)
					owner = ""
				}
			}
		},
	})
}
