package domaintest_test

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"daybook.example/domain"
	"daybook.example/domain/domaintest"
)

// opened has a past: version 1 had name and town in one member, version 2 called
// the phone tel, version 3 knew no currency.
type opened struct {
	Name     string                   `json:"name"`
	Town     string                   `json:"town"`
	Keeper   *domain.Identity[string] `json:"keeper,omitempty"`
	Phone    string                   `json:"phone,omitempty"`
	Currency string                   `json:"currency"`
}

func (opened) EventType() string  { return "shop-opened" }
func (opened) SchemaVersion() int { return 4 }

type opened1 struct {
	Name   string                   `json:"name"`
	Keeper *domain.Identity[string] `json:"keeper"`
	Tel    string                   `json:"tel"`
}

type opened2 struct {
	Name string `json:"name"`
	Town string `json:"town"`
	Tel  string `json:"tel"`
}

var present = domain.Is(func(e opened) domain.Named { return e })

func split(o opened1) domain.Named {
	name, town, _ := strings.Cut(o.Name, ", ")
	return opened{Name: name, Town: town, Keeper: o.Keeper, Phone: o.Tel, Currency: "EUR"}
}

func rename(o opened2) domain.Named {
	return opened{Name: o.Name, Town: o.Town, Phone: o.Tel, Currency: "EUR"}
}

func fill(o opened) domain.Named {
	o.Currency = cmp.Or(o.Currency, "EUR")
	return o
}

func shop(one, two, three domain.Entry[domain.Named]) domain.Catalog[domain.Named] {
	return domain.NewCatalog(present, one, two, three)
}

func TestGivenOldShapesWhenTheyAreReadThenGoldenFilesSayWhatBecameOfThem(t *testing.T) {
	t.Parallel()
	c := shop(domain.Was("shop-opened", 1, split), domain.Was("shop-opened", 2, rename), domain.Was("shop-opened", 3, fill))
	require.Len(t, c.Historic(), 3)
	require.NoError(t, domaintest.Historic("testdata", c.Historic(), c.Decode))

	event, err := c.Decode("shop-opened", 1, []byte(`{"name":"Corner Shop, Bremen","tel":"1"}`))
	require.NoError(t, err)
	require.Equal(t, opened{Name: "Corner Shop", Town: "Bremen", Phone: "1", Currency: "EUR"}, event)
	for _, version := range []int{-1, 0, 5, 99} {
		_, err := c.Decode("shop-opened", version, []byte(`{}`))
		require.ErrorIs(t, err, domain.ErrUnknownType, "version %d is no guess", version)
	}
}

func TestGivenAnOldShapeThatNoFilePinsOrAnotherLiftThenTheCheckFails(t *testing.T) {
	t.Parallel()
	one, two, three := domain.Was("shop-opened", 1, split), domain.Was("shop-opened", 2, rename), domain.Was("shop-opened", 3, fill)
	moved := domain.Was("shop-opened", 1, func(o opened1) domain.Named { return transferred{Manager: o.Keeper} })
	forgetful := domain.Was("shop-opened", 2, func(o opened2) domain.Named { return opened{Name: o.Name, Phone: o.Tel, Currency: "EUR"} })
	strict := domain.Was("shop-opened", 3, func(o struct {
		Phone int `json:"phone"`
	}) domain.Named {
		return opened{}
	})
	for name, c := range map[string]struct {
		catalog domain.Catalog[domain.Named]
		change  func(folder string) error
		says    string
	}{
		"no file":          {shop(one, two, three), func(f string) error { return os.Remove(f + "shop-opened.2.golden") }, "shop-opened version 2: no golden file pins"},
		"an empty file":    {shop(one, two, three), func(f string) error { return os.WriteFile(f+"shop-opened.2.golden", nil, 0o600) }, "holds no line"},
		"no shape":         {shop(one, two, three), func(f string) error { return os.WriteFile(f+"shop-shut.1.golden", nil, 0o600) }, "shop-shut.1.golden pins a shape that the catalog does not list"},
		"another lift":     {shop(one, forgetful, three), nil, "shop-opened version 2: it is decoded into something else"},
		"undecodable":      {shop(one, two, strict), nil, "shop-opened version 3: lift"},
		"moved to a place": {shop(moved, two, three), nil, `the personal value at "/manager" was not there`},
	} {
		folder := t.TempDir() + "/"
		require.NoError(t, os.CopyFS(folder, os.DirFS("testdata")))
		if c.change != nil {
			require.NoError(t, c.change(folder))
		}
		require.ErrorContains(t, domaintest.Historic(folder, c.catalog.Historic(), c.catalog.Decode), c.says, name)
	}
	require.Error(t, domaintest.Historic(filepath.Join(t.TempDir(), "nowhere"), nil, nil))
}

// transferred has the keeper of the old shape under another name.
type transferred struct {
	opened
	Manager *domain.Identity[string] `json:"manager"`
}
