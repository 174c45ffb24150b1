package book

import "daybook.example/domain"

// Event is one fact in a book's stream. The types below are the stored format:
// fields may be added, never renamed or reused; a changed meaning is a new event.
// testdata/stored.golden pins every shape.
type Event interface {
	domain.Named
	evolve(State, domain.Recording) State
}

// Catalog decodes every event of a book's stream.
var Catalog = domain.NewCatalog(
	domain.Is(asEvent[BookOpened]),
	domain.Is(asEvent[AccountOpened]),
	domain.Is(asEvent[AccountRenamed]),
	domain.Is(asEvent[AccountBlocked]),
)

func asEvent[E Event](event E) Event { return event }

// BookOpened fixes for ever what the book's amounts are.
type BookOpened struct {
	Book               string          `json:"book"`
	FunctionalCurrency domain.Currency `json:"functional_currency"`
	Scale              int             `json:"scale"`
}

// AccountOpened adds an account to the chart. Which sub-ledger controls it will be
// said by a member control_of, from the day there are sub-ledgers.
type AccountOpened struct {
	Code       string          `json:"code"`
	Name       string          `json:"name"`
	Class      Class           `json:"class"`
	NormalSide Side            `json:"normal_side"`
	Currency   domain.Currency `json:"currency,omitempty"`
}

// AccountRenamed states an account's name.
type AccountRenamed struct {
	Code string `json:"code"`
	Name string `json:"name"`
}

// AccountBlocked keeps new entries off an account.
type AccountBlocked struct {
	Code string `json:"code"`
}

// EventType is the stored name.
func (BookOpened) EventType() string { return "book-opened" }

// EventType is the stored name.
func (AccountOpened) EventType() string { return "book-account-opened" }

// EventType is the stored name.
func (AccountRenamed) EventType() string { return "book-account-renamed" }

// EventType is the stored name.
func (AccountBlocked) EventType() string { return "book-account-blocked" }

func (e BookOpened) evolve(s State, r domain.Recording) State {
	s.Name, s.FunctionalCurrency, s.Scale, s.Revision = e.Book, e.FunctionalCurrency, e.Scale, r.Revision
	return s
}

func (e AccountOpened) evolve(s State, r domain.Recording) State {
	return s.with(r, e.Code, Account{Name: e.Name, Class: e.Class, NormalSide: e.NormalSide, Currency: e.Currency})
}

func (e AccountRenamed) evolve(s State, r domain.Recording) State {
	account := s.Accounts[e.Code]
	account.Name = e.Name
	return s.with(r, e.Code, account)
}

func (e AccountBlocked) evolve(s State, r domain.Recording) State {
	account := s.Accounts[e.Code]
	account.Blocked = true
	return s.with(r, e.Code, account)
}

func (s State) with(r domain.Recording, code string, account Account) State {
	if s.Accounts == nil {
		s.Accounts = map[string]Account{}
	}
	s.Accounts[code] = account
	s.Revision = r.Revision
	return s
}
