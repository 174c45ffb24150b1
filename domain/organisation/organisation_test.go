package organisation_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the domain takes zones from whoever embeds them

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
	"daybook.example/domain/domaintest"
	. "daybook.example/domain/organisation"
)

var (
	north = uuid.MustParse("00000000-0000-4000-8000-000000000001")
	south = uuid.MustParse("00000000-0000-4000-8000-000000000002")
)

func given(t testing.TB, events ...Event) domaintest.Spec[Command, State, Event] {
	return domaintest.For(t, Decider).Given(events...)
}

func TestNaming(t *testing.T) {
	t.Parallel()
	given(t).When(Name{Name: "Acme", Country: "DE"}).Then(OrganisationNamed{"Acme", "UTC", "DE"})
	berlin := OrganisationNamed{"Acme", "Europe/Berlin", "DE"}
	given(t).When(Name{"Acme", "Europe/Berlin", "DE"}).Then(berlin)
	given(t, berlin).When(Name{Name: "Acme", Country: "DE"}).Then()
	given(t, berlin).When(Name{Name: "Acme SE", Country: "DE"}).Then(OrganisationNamed{"Acme SE", "Europe/Berlin", "DE"})
}

func TestAdding(t *testing.T) {
	t.Parallel()
	given(t).When(AddLegalEntity{north, "Acme North"}).Then(LegalEntityAdded{north, "Acme North"})
	given(t).When(AddLocation{north, "Bremen"}).Then(LocationAdded{north, "Bremen"})
	given(t, LegalEntityAdded{north, "Acme"}).When(AddLegalEntity{north, "Acme"}).Then()
	given(t, LegalEntityAdded{north, "Acme"}).When(AddLocation{south, "Acme"}).Then(LocationAdded{south, "Acme"})
}

func TestDaysBeginInTheZone(t *testing.T) {
	t.Parallel()
	evening := time.Date(2025, 3, 31, 23, 30, 0, 0, time.UTC)
	for zone, want := range map[string]string{
		"UTC": "2025-03-31", "Europe/Berlin": "2025-04-01", "Pacific/Kiritimati": "2025-04-01", "America/Los_Angeles": "2025-03-31",
		"Gone/Zone": "2025-03-31",
	} {
		state := given(t, OrganisationNamed{"Acme", zone, "DE"}).State()
		require.Equal(t, want, state.Today(evening).String(), zone)
	}
	require.Equal(t, "UTC", State{}.Zone())
}

func refusal(code, field string, given []Event, when Command) domaintest.Refusal[Command, Event] {
	return domaintest.Refusal[Command, Event]{Code: code, Field: field, Given: given, When: when}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	domaintest.Refusals(t, Decider, Rules,
		refusal("required", "/name", nil, Name{Country: "DE"}),
		refusal("required", "/country", nil, Name{Name: "Acme"}),
		refusal("text-invalid", "/name", nil, Name{Name: " Acme", Country: "DE"}),
		refusal("country-unknown", "/country", nil, Name{Name: "Acme", Country: "Germany"}),
		refusal("zone-unknown", "/zone", nil, Name{"Acme", "Europe/Atlantis", "DE"}),
		refusal("zone-unknown", "/zone", nil, Name{"Acme", "Local", "DE"}),
		refusal("zone-unknown", "/zone", nil, Name{"Acme", "../UTC", "DE"}),
		refusal("required", "/name", nil, AddLegalEntity{ID: north}),
		refusal("text-invalid", "/name", nil, AddLocation{north, strings.Repeat("x", 201)}),
		refusal("text-invalid", "/name", nil, AddLocation{north, "a\nb"}),
		refusal("already-added", "", []Event{LegalEntityAdded{north, "Acme"}}, AddLegalEntity{north, "Acme SE"}),
		refusal("name-taken", "/name", []Event{LocationAdded{north, "Bremen"}}, AddLocation{south, "Bremen"}),
	)
}

func TestWithoutContextNothingIsDecided(t *testing.T) {
	t.Parallel()
	for _, c := range []Command{AddLegalEntity{Name: "Acme"}, AddLocation{Name: "Bremen"}} {
		_, err := Decider.Decide(State{}, c)
		require.ErrorContains(t, err, "without the ID")
	}
}

func TestStoredShapes(t *testing.T) {
	t.Parallel()
	domaintest.Stored[Event](t, Catalog,
		OrganisationNamed{"Acme & <Söhne>", "Europe/Berlin", "DE"},
		LegalEntityAdded{north, "Acme North"},
		LocationAdded{south, "Bremen"},
	)
	domaintest.EveryEventIsListed(t, Catalog)
	domaintest.WireForm[Command](t, Name{}, AddLegalEntity{}, AddLocation{})
}

func TestProperties(t *testing.T) {
	t.Parallel()
	word := rapid.SampledFrom([]string{"DE", "UTC", "Europe/Berlin", "a", ""})
	id := rapid.SampledFrom([]uuid.UUID{north, south})
	domaintest.Properties(t, domaintest.Model[Command, State, Event]{
		Decider: Decider, Catalog: Catalog,
		Draw: func(t *rapid.T, _ []domain.Recorded[Event]) Command {
			return rapid.SampledFrom([]Command{
				Name{word.Draw(t, "name"), word.Draw(t, "zone"), word.Draw(t, "country")},
				Name{word.Draw(t, "name"), "", "DE"},
				AddLegalEntity{id.Draw(t, "id"), word.Draw(t, "name")},
				AddLocation{id.Draw(t, "id"), word.Draw(t, "name")},
			}).Draw(t, "command")
		},
	})
}
