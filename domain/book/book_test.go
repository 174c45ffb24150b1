package book_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"daybook.example/domain"
	. "daybook.example/domain/book"
	"daybook.example/domain/domaintest"
)

func given(t testing.TB, events ...Event) domaintest.Spec[Command, State, Event] {
	return domaintest.For(t, Decider).Given(events...)
}

// main is a book in euros with a bank account.
func main(more ...Event) []Event {
	return append([]Event{BookOpened{"main", "EUR", 2}, AccountOpened{"1200", "Bank", Asset, Debit, "EUR"}}, more...)
}

func scale(n int) *int { return &n }

func TestOpeningABook(t *testing.T) {
	t.Parallel()
	for currency, want := range map[domain.Currency]int{"EUR": 2, "JPY": 0, "KWD": 3} {
		given(t).When(Open{Book: "main", FunctionalCurrency: currency}).Then(BookOpened{"main", currency, want})
	}
	given(t).When(Open{"main", "USD", scale(4)}).Then(BookOpened{"main", "USD", 4})
	given(t).When(Open{"main", "USD", scale(0)}).Then(BookOpened{"main", "USD", 0})
	given(t, main()...).When(Open{"main", "EUR", nil}).Then()
}

func TestOpeningAccounts(t *testing.T) {
	t.Parallel()
	for class, side := range map[Class]Side{Asset: Debit, Liability: Credit, Equity: Credit, Income: Credit, Expense: Debit} {
		given(t, main()...).When(OpenAccount{Code: "A-1", Name: "Account", Class: class}).
			Then(AccountOpened{"A-1", "Account", class, side, ""})
	}
	given(t, main()...).When(OpenAccount{"0900", "Accumulated depreciation", Asset, Credit, ""}).
		Then(AccountOpened{"0900", "Accumulated depreciation", Asset, Credit, ""})
	given(t, main()...).When(OpenAccount{Code: "1200", Name: "Bank", Class: Asset, Currency: "EUR"}).Then()
}

func TestRenamingAndBlocking(t *testing.T) {
	t.Parallel()
	given(t, main()...).When(RenameAccount{"1200", "Cash at bank"}).Then(AccountRenamed{"1200", "Cash at bank"})
	given(t, main()...).When(RenameAccount{"1200", "Bank"}).Then()
	given(t, main()...).When(BlockAccount{"1200"}).Then(AccountBlocked{"1200"})
	given(t, main(AccountBlocked{"1200"})...).When(BlockAccount{"1200"}).Then()
}

func TestSidesAreTwo(t *testing.T) {
	t.Parallel()
	require.Equal(t, Credit, Debit.Other())
	require.Equal(t, Debit, Credit.Other())
}

func TestStateIsTheChartOfAccounts(t *testing.T) {
	t.Parallel()
	state := given(t, main(AccountRenamed{"1200", "Cash at bank"}, AccountBlocked{"1200"})...).State()
	require.Equal(t, State{
		Name: "main", FunctionalCurrency: "EUR", Scale: 2, Revision: 3,
		Accounts: map[string]Account{"1200": {"Cash at bank", Asset, Debit, "EUR", true}},
	}, state)
}

func refusal(code, field string, given []Event, when Command) domaintest.Refusal[Command, Event] {
	return domaintest.Refusal[Command, Event]{Code: code, Field: field, Given: given, When: when}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	account := func(change func(*OpenAccount)) Command {
		c := OpenAccount{Code: "1400", Name: "Receivables", Class: Asset}
		change(&c)
		return c
	}
	domaintest.Refusals(t, Decider, Rules,
		refusal("required", "/functional_currency", nil, Open{Book: "main"}),
		refusal("currency-unknown", "/functional_currency", nil, Open{Book: "main", FunctionalCurrency: "EURO"}),
		refusal("book-name-invalid", "/book", nil, Open{Book: "", FunctionalCurrency: "EUR"}),
		refusal("book-name-invalid", "/book", nil, Open{Book: "main_2", FunctionalCurrency: "EUR"}),
		refusal("book-name-invalid", "/book", nil, Open{Book: "main-2", FunctionalCurrency: "EUR"}),
		refusal("book-name-invalid", "/book", nil, Open{Book: "Main", FunctionalCurrency: "EUR"}),
		refusal("book-name-invalid", "/book", nil, Open{Book: strings.Repeat("a", 33), FunctionalCurrency: "EUR"}),
		refusal("scale-range", "/scale", nil, Open{"main", "EUR", scale(7)}),
		refusal("scale-range", "/scale", nil, Open{"main", "EUR", scale(-1)}),
		refusal("book-already-open", "", main(), Open{"main", "USD", nil}),
		refusal("book-already-open", "", main(), Open{"main", "EUR", scale(4)}),
		refusal("book-not-open", "", nil, account(func(*OpenAccount) {})),
		refusal("book-not-open", "", nil, RenameAccount{"1200", "Bank"}),
		refusal("book-not-open", "", nil, BlockAccount{"1200"}),
		refusal("required", "/name", main(), account(func(c *OpenAccount) { c.Name = "" })),
		refusal("required", "/class", main(), account(func(c *OpenAccount) { c.Class = "" })),
		refusal("text-invalid", "/name", main(), account(func(c *OpenAccount) { c.Name = "a\tb" })),
		refusal("value-unknown", "/class", main(), account(func(c *OpenAccount) { c.Class = "assets" })),
		refusal("value-unknown", "/normal_side", main(), account(func(c *OpenAccount) { c.NormalSide = "d" })),
		refusal("currency-unknown", "/currency", main(), account(func(c *OpenAccount) { c.Currency = "XYZ" })),
		refusal("account-invalid", "/code", main(), account(func(c *OpenAccount) { c.Code = "" })),
		refusal("account-invalid", "/code", main(), account(func(c *OpenAccount) { c.Code = "14 00" })),
		refusal("account-exists", "/code", main(), account(func(c *OpenAccount) { c.Code = "1200" })),
		refusal("account-unknown", "", main(), RenameAccount{"1400", "Receivables"}),
		refusal("account-unknown", "", main(), BlockAccount{"1400"}),
		refusal("required", "/name", main(), RenameAccount{Code: "1200"}),
	)
}

func TestStoredShapes(t *testing.T) {
	t.Parallel()
	domaintest.Stored[Event](t, Catalog,
		BookOpened{"main", "EUR", 2},
		AccountOpened{"1200", "Bank", Asset, Debit, "EUR"},
		AccountOpened{"8400", "Revenue", Income, Credit, ""},
		AccountRenamed{"1200", "Cash & cash equivalents"},
		AccountBlocked{"1200"},
	)
	domaintest.EveryEventIsListed(t, Catalog)
	domaintest.WireForm[Command](t, Open{}, OpenAccount{}, RenameAccount{}, BlockAccount{})
}

func TestProperties(t *testing.T) {
	t.Parallel()
	domaintest.Properties(t, domaintest.Model[Command, State, Event]{
		Decider: Decider, Catalog: Catalog,
		Draw: func(t *rapid.T, _ []domain.Recorded[Event]) Command {
			code := rapid.SampledFrom([]string{"1200", "8400", ""}).Draw(t, "code")
			name := rapid.SampledFrom([]string{"Bank", "Cash", ""}).Draw(t, "name")
			currency := rapid.SampledFrom([]domain.Currency{"EUR", "USD", "", "EURO"}).Draw(t, "currency")
			class := rapid.SampledFrom([]Class{Asset, Income, "none"}).Draw(t, "class")
			return rapid.SampledFrom([]Command{
				Open{"main", currency, nil}, OpenAccount{code, name, class, "", currency}, RenameAccount{code, name}, BlockAccount{code},
			}).Draw(t, "command")
		},
		Always: func(t *rapid.T, s State, facts []domain.Recorded[Event]) {
			require.Equal(t, max(0, len(facts)-1), int(s.Revision))
		},
	})
}
