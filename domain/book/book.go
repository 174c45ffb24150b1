// Package book decides which accounts a book has and in which currency and at
// which scale it is kept. Entries are posted to the book's periods: see journal.
package book

import (
	"cmp"
	"regexp"

	"daybook.example/domain"
	"daybook.example/domain/field"
)

// Category is the category of a book's stream.
const Category = "book"

// ScaleMax is the largest scale of a book, in decimal places.
const ScaleMax = 6

// Stream is the stream of one book.
func Stream(name string) string { return Category + "-" + name }

// Decider is the book's behaviour.
var Decider = domain.Decider[Command, State, Event]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, fact domain.Recorded[Event]) State { return fact.Event.evolve(s, fact.Recording) },
}

// A Command is one intent towards a book.
type Command interface{ decide(State) ([]Event, error) }

// State is what the book is now. The zero State is no book.
type State struct {
	Name               string
	FunctionalCurrency domain.Currency
	Scale              int                // decimal places of every amount in the book
	Accounts           map[string]Account // by code
	Revision           uint64             // of the last event
}

// An Account is a line of the book's chart of accounts.
type Account struct {
	Name       string
	Class      Class
	NormalSide Side
	Currency   domain.Currency // of every line; none = any
	Blocked    bool
}

// Class is what an account's balance is part of.
type Class string

// The classes.
const (
	Asset     Class = "asset"
	Liability Class = "liability"
	Equity    Class = "equity"
	Income    Class = "income"
	Expense   Class = "expense"
)

// normalSide is the side on which accounts of the class grow.
func (c Class) normalSide() Side {
	if c == Asset || c == Expense {
		return Debit
	}
	return Credit
}

// Side is a side of an account.
type Side string

// The sides.
const (
	Debit  Side = "D"
	Credit Side = "C"
)

// Other is the opposite side.
func (s Side) Other() Side {
	if s == Debit {
		return Credit
	}
	return Debit
}

// Rules are the stable codes of all refusals, with what each asks for.
var Rules = map[string]string{
	"required":          "the field must be given",
	"text-invalid":      "text has at most 200 characters, no control characters, and no blanks around it",
	"value-unknown":     "the value is one of those listed",
	"currency-unknown":  "a currency is an ISO 4217 code",
	"book-name-invalid": "a book's name has 1 to 32 lower-case letters and digits",
	"scale-range":       "a book's scale is from 0 to 6 decimal places",
	"book-already-open": "a book is opened once",
	"book-not-open":     "open the book first",
	"account-invalid":   "an account's code has 1 to 32 letters, digits, dots, - and _",
	"account-exists":    "an account is opened once",
	"account-unknown":   "the account is one of the book's",
}

// The name is part of stream names, which are cut at dashes and underscores.
var nameForm = regexp.MustCompile(`^[a-z0-9]{1,32}$`)

var codeForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$`)

// Open opens a book.
type Open struct {
	Book               string          `json:"book"`
	FunctionalCurrency domain.Currency `json:"functional_currency"`
	Scale              *int            `json:"scale,omitempty"` // default: that of the currency's minor unit
}

func (c Open) decide(s State) ([]Event, error) {
	if err := cmp.Or(
		field.Required("/functional_currency", c.FunctionalCurrency),
		field.Currency("/functional_currency", c.FunctionalCurrency),
	); err != nil {
		return nil, err
	}
	opened := BookOpened{c.Book, c.FunctionalCurrency, min(c.FunctionalCurrency.Digits(), ScaleMax)}
	if c.Scale != nil {
		opened.Scale = *c.Scale
	}
	switch {
	case !nameForm.MatchString(c.Book):
		return nil, domain.Refuse("book-name-invalid", "/book", "a book's name has 1 to 32 lower-case letters and digits")
	case opened.Scale < 0 || opened.Scale > ScaleMax:
		return nil, domain.Refuse("scale-range", "/scale", "a book's scale is from 0 to %d decimal places", ScaleMax)
	case s.Name == "":
		return []Event{opened}, nil
	case opened == BookOpened{s.Name, s.FunctionalCurrency, s.Scale}:
		return nil, nil
	}
	return nil, domain.Refuse("book-already-open", "", "this book is open already, in %s at scale %d; neither can change", string(s.FunctionalCurrency), s.Scale)
}

// OpenAccount adds an account to the book.
type OpenAccount struct {
	Code       string          `json:"code"`
	Name       string          `json:"name"`
	Class      Class           `json:"class" enum:"asset,liability,equity,income,expense"`
	NormalSide Side            `json:"normal_side,omitempty" enum:"D,C"` // default: that of the class
	Currency   domain.Currency `json:"currency,omitempty"`               // of every line; none = any
}

func (c OpenAccount) decide(s State) ([]Event, error) {
	if err := cmp.Or(
		s.open(),
		field.Line("/name", c.Name),
		field.Required("/class", c.Class),
		field.OneOf("/class", c.Class, Asset, Liability, Equity, Income, Expense),
		field.OneOf("/normal_side", c.NormalSide, Debit, Credit),
		field.Currency("/currency", c.Currency),
	); err != nil {
		return nil, err
	}
	if !codeForm.MatchString(c.Code) {
		return nil, domain.Refuse("account-invalid", "/code", "an account's code has 1 to 32 letters, digits, dots, - and _")
	}
	c.NormalSide = cmp.Or(c.NormalSide, c.Class.normalSide())
	switch was, exists := s.Accounts[c.Code]; {
	case !exists:
		return []Event{AccountOpened(c)}, nil
	case was == Account{c.Name, c.Class, c.NormalSide, c.Currency, was.Blocked}:
		return nil, nil
	}
	return nil, domain.Refuse("account-exists", "/code", "the book has this account already; rename it, or open one under another code")
}

func (s State) open() error {
	if s.Name == "" {
		return domain.Refuse("book-not-open", "", "there is no such book yet: open it first")
	}
	return nil
}

// account finds an account by its code.
func (s State) account(code string) (Account, error) {
	if err := s.open(); err != nil {
		return Account{}, err
	}
	account, exists := s.Accounts[code]
	if !exists {
		return Account{}, &domain.Error{Kind: domain.NotFound, Code: "account-unknown", Message: "the book has no such account; its accounts say which there are"}
	}
	return account, nil
}

// RenameAccount gives an account another name.
type RenameAccount struct {
	Code string `json:"-"` // from the path
	Name string `json:"name"`
}

func (c RenameAccount) decide(s State) ([]Event, error) {
	account, err := s.account(c.Code)
	if err := cmp.Or(err, field.Line("/name", c.Name)); err != nil {
		return nil, err
	}
	if account.Name == c.Name {
		return nil, nil
	}
	return []Event{AccountRenamed(c)}, nil
}

// BlockAccount keeps new entries off an account. An entry that is decided in the
// same moment may still come, for it stands in another stream; it names the
// book's revision that it was decided on.
type BlockAccount struct {
	Code string `json:"-"` // from the path
}

func (c BlockAccount) decide(s State) ([]Event, error) {
	account, err := s.account(c.Code)
	if err != nil || account.Blocked {
		return nil, err
	}
	return []Event{AccountBlocked(c)}, nil
}
