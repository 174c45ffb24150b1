package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	. "daybook.example/domain"
)

type opened struct {
	Name  string `json:"name"`
	Seats int    `json:"seats,omitzero"`
	Owner owner  `json:"owner,omitzero"`
}

// An owner has a form of its own within the form of the event.
type owner struct{ Value int }

func (o *owner) UnmarshalJSON(data []byte) error {
	return Unmarshal(data, (*struct{ Value int })(o))
}

func (opened) EventType() string  { return "shop-opened" }
func (opened) SchemaVersion() int { return 2 }

type closed struct{}

func (closed) EventType() string { return "shop-closed" }

func asNamed[E Named](e E) Named { return e }

// opened1 is the shape of version 1: the name was in two parts.
type opened1 struct{ First, Last string }

var shop = NewCatalog(
	Is(asNamed[opened]),
	Is(asNamed[closed]),
	Was("shop-opened", 1, func(o opened1) Named { return opened{Name: o.First + " " + o.Last} }),
)

func TestCatalogDecodesByNameAndVersion(t *testing.T) {
	t.Parallel()
	event, err := shop.Decode("shop-opened", 2, []byte(`{"name":"Corner Shop"}`))
	require.NoError(t, err)
	require.Equal(t, opened{Name: "Corner Shop"}, event)

	event, err = shop.Decode("shop-opened", 1, []byte(`{"First":"Corner","Last":"Shop"}`))
	require.NoError(t, err)
	require.Equal(t, opened{Name: "Corner Shop"}, event, "the old shape is lifted")

	require.Equal(t, []string{"shop-opened", "shop-closed"}, shop.Names(), "old shapes are no events of today")
	require.Len(t, shop.Types(), 2)
	require.Equal(t, []Shape{{"shop-opened", 1}}, shop.Historic())
}

func TestCatalogErrorsNameTheTypeAndShowNoData(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]int{"shop-opened": 3, "shop-moved": 1, "": 0} {
		_, err := shop.Decode(name, version, []byte(`{}`))
		require.ErrorIs(t, err, ErrUnknownType)
	}
	for _, data := range []string{`{"name":["secret"]}`, `{"name":5417}`, `{"name":"secret","seats":"5417"}`, `{"name":"secret"`, `{"name":"a","name":"secret"}`, `{"seats":5417.5}`, `{"owner":{"Value":5417.5}}`} {
		_, err := shop.Decode("shop-opened", 2, []byte(data))
		require.ErrorContains(t, err, "decode shop-opened", data)
		require.NotErrorIs(t, err, ErrUnknownType)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "5417")
	}
}

func TestCatalogRefusesDuplicatesAtStart(t *testing.T) {
	t.Parallel()
	require.Panics(t, func() { NewCatalog(Is(asNamed[closed]), Is(asNamed[closed])) })
	require.Panics(t, func() {
		NewCatalog(Is(asNamed[opened]), Was("shop-opened", 2, func(opened1) Named { return opened{} }))
	})
}

// A version that was forgotten would make every log that holds it unreadable, one
// that never was could only be a guess.
func TestCatalogKnowsEveryVersionThatWasWrittenAndNoOther(t *testing.T) {
	t.Parallel()
	was := func(name string, version int) Entry[Named] {
		return Was(name, version, func(opened1) Named { return opened{} })
	}
	for name, c := range map[string]struct {
		entries []Entry[Named]
		says    string
	}{
		"a version forgotten":      {[]Entry[Named]{Is(asNamed[opened])}, "nothing lifts version 1"},
		"a later version":          {[]Entry[Named]{Is(asNamed[opened]), was("shop-opened", 1), was("shop-opened", 3)}, "version 3 was never written"},
		"version 0":                {[]Entry[Named]{Is(asNamed[opened]), was("shop-opened", 1), was("shop-opened", 0)}, "version 0 was never written"},
		"an old name":              {[]Entry[Named]{Is(asNamed[closed]), was("shop-shut", 1)}, "shop-shut version 1 was never written"},
		"two shapes of today":      {[]Entry[Named]{Is(asNamed[closed]), Is(asNamed[closedAt])}, "only one shape is today's"},
		"the present version lost": {[]Entry[Named]{was("shop-opened", 1)}, "today's is version 0"},
	} {
		said := func() (said any) {
			defer func() { said = recover() }()
			NewCatalog(c.entries...)
			return nil
		}()
		require.Contains(t, said, c.says, name)
	}
}

type closedAt struct{}

func (closedAt) EventType() string  { return "shop-closed" }
func (closedAt) SchemaVersion() int { return 2 }

func TestEncodeSaysWhichEventItCouldNotWrite(t *testing.T) {
	t.Parallel()
	data, err := Encode(opened{Name: "Fish & <Chips>"})
	require.NoError(t, err)
	require.Equal(t, `{"name":"Fish & <Chips>"}`, string(data))
	require.Equal(t, []int{2, 1}, []int{SchemaVersion(opened{}), SchemaVersion(closed{})})

	_, err = Encode(unwritable{make(chan int)})
	require.ErrorContains(t, err, "encode shop-burnt")
}

type unwritable struct{ C chan int }

func (unwritable) EventType() string { return "shop-burnt" }
