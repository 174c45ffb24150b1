package catalog_test

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/book"
	. "daybook.example/domain/catalog"
	"daybook.example/domain/domaintest"
)

// exceptions are the stored names that break the rule, for ever, with the reason.
var exceptions = map[string]string{
	"orgunit-created":         "OrgUnitCreated: the category is its first two words",
	"orgunit-renamed":         "OrgUnitRenamed: as above",
	"orgunit-moved":           "OrgUnitMoved: as above",
	"orgunit-closed":          "OrgUnitClosed: as above",
	"projection-event-waived": "stands alone",
	"log-named":               "stands alone, in the stream log",
	"log-restored":            "stands alone",
}

var word = regexp.MustCompile(`[A-Z][a-z]*`)

// kebab writes EntryPosted as entry-posted.
func kebab(name string) string {
	return strings.ToLower(strings.Join(word.FindAllString(name, -1), "-"))
}

func TestStoredNamesFollowTheRule(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`)
	broken := map[string]bool{}
	for aggregate := range Aggregates() {
		require.Regexp(t, `^[a-z]+$`, aggregate.Category, "the category ends at the first dash")
		for event := range aggregate.Types() {
			require.Regexp(t, form, event.Name)
			want := kebab(event.Go.Name())
			if !strings.HasPrefix(want, aggregate.Category+"-") {
				want = aggregate.Category + "-" + want
			}
			if event.Name != want {
				require.Contains(t, exceptions, event.Name, "the rule says %s", want)
				broken[event.Name] = true
			}
		}
	}
	require.Len(t, broken, len(exceptions), "an exception that is none")
}

func TestStoredNamesAreUnique(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(Names())
	require.Equal(t, slices.Compact(slices.Clone(names)), names)
	require.Contains(t, names, "employee-hired")
	require.Contains(t, names, "journal-entry-posted")
}

func TestAggregatesAreFoundByCategory(t *testing.T) {
	t.Parallel()
	for aggregate := range Aggregates() {
		found, ok := ByCategory(aggregate.Category)
		require.True(t, ok)
		require.Equal(t, aggregate.Streams, found.Streams, "a category belongs to one kind of stream")
	}
	_, ok := ByCategory("order")
	require.False(t, ok)
}

func TestListsAndDecodes(t *testing.T) {
	t.Parallel()
	for aggregate := range Aggregates() {
		for event := range aggregate.Types() {
			require.True(t, Lists(event.Name))
			decoded, err := Decode(event.Name, event.Version, []byte(`{}`))
			if err == nil {
				require.Equal(t, event.Go, reflect.TypeOf(decoded))
			}
		}
	}
	decoded, err := Decode("book-account-blocked", 1, []byte(`{"code":"1200"}`))
	require.NoError(t, err)
	require.Equal(t, book.AccountBlocked{Code: "1200"}, decoded)
}

func TestWhatIsNotListed(t *testing.T) {
	t.Parallel()
	require.False(t, Lists("book-burnt"))
	for name, version := range map[string]int{"book-burnt": 1, "": 1, "book-opened": 2} {
		decoded, err := Decode(name, version, []byte(`{}`))
		require.ErrorIs(t, err, domain.ErrUnknownType, name)
		require.Nil(t, decoded)
	}
	decoded, err := Decode("book-opened", 1, []byte(`{"scale":"two"}`))
	require.Error(t, err)
	require.True(t, decoded == nil, "no typed nil")
}

// TestClearFields pins which values of each event are stored in clear and which
// are sealed, and under which purpose. A new line that says `clear` is a
// decision: nothing about a person may stand on it.
func TestClearFields(t *testing.T) {
	t.Parallel()
	var got []byte
	for aggregate := range Aggregates() {
		for event := range aggregate.Types() {
			got = fmt.Appendf(got, "%s %d\n", event.Name, event.Version)
			for field := range event.Fields() {
				got = fmt.Appendf(got, "  %s %s\n", field.Path, protection(field))
			}
		}
	}
	domaintest.Golden(t, "clear.golden", got)
}

func protection(f Field) string {
	switch {
	case f.Purpose != "":
		return "sealed " + f.Purpose
	case f.Nested:
		return "as in the event of that type"
	}
	return "clear"
}

// TestFieldsAreWhatIsStored fills every event and compares the paths in its JSON
// with those that Fields says.
func TestFieldsAreWhatIsStored(t *testing.T) {
	t.Parallel()
	for aggregate := range Aggregates() {
		for event := range aggregate.Types() {
			var listed []string
			for field := range event.Fields() {
				listed = append(listed, field.Path)
			}
			require.Equal(t, slices.Compact(slices.Clone(listed)), listed, event.Name)
			for _, path := range stored(t, event) {
				require.Contains(t, listed, path, event.Name)
			}
		}
	}
}

func TestFieldsCanBeReadInPart(t *testing.T) {
	t.Parallel()
	for aggregate := range Aggregates() {
		for event := range aggregate.Types() {
			for range event.Fields() {
				break
			}
			break
		}
		break
	}
	for range Names() {
		break
	}
}
