package domain

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bojanz/currency"
	"github.com/cockroachdb/apd/v3"
)

// A Decimal is an exact number whose text keeps its scale: 1.50 is not written
// as 1.5. At most 24 digits before the point and 12 behind. The zero Decimal is 0.
// It is comparable with ==, which tells 1.50 from 1.5; Compare does not.
type Decimal struct{ text string }

var errNoDecimal = errors.New(`a decimal number is a text such as "1234.50": at most 24 digits before the point, 12 behind, no exponent, no leading zeros`)

const (
	wholeMax    = 24 // digits before the point
	fractionMax = 12 // and behind
)

// exact never rounds within the digits that Decimal allows; what would is refused by parse.
var exact = apd.BaseContext.WithPrecision(80)

// ParseDecimal reads plain decimal notation: no exponent, no plus sign, no
// leading zeros, no negative zero.
func ParseDecimal(text string) (Decimal, error) {
	number, negative := strings.CutPrefix(text, "-")
	whole, fraction, pointed := strings.Cut(number, ".")
	switch {
	case !digits(whole, wholeMax), len(whole) > 1 && whole[0] == '0':
		return Decimal{}, errNoDecimal
	case pointed && !digits(fraction, fractionMax):
		return Decimal{}, errNoDecimal
	case negative && strings.Trim(number, "0.") == "":
		return Decimal{}, errNoDecimal
	}
	return Decimal{text}, nil
}

// digits reports whether text is nothing else, and neither empty nor too long.
func digits(text string, most int) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return text != "" && len(text) <= most
}

// MustDecimal is ParseDecimal for constants.
func MustDecimal(text string) Decimal {
	d, err := ParseDecimal(text)
	if err != nil {
		panic(err)
	}
	return d
}

func (d Decimal) number() *apd.Decimal {
	n, _, err := apd.NewFromString(d.String())
	if err != nil {
		panic(err) // the constructors let nothing else in
	}
	return n
}

func decimal(n *apd.Decimal) Decimal {
	if n.IsZero() {
		n.Negative = false
	}
	return Decimal{n.Text('f')}
}

// String writes d with its scale.
func (d Decimal) String() string {
	if d.text == "" {
		return "0"
	}
	return d.text
}

// Zero is 0 at d's scale.
func (d Decimal) Zero() Decimal {
	point := strings.IndexByte(d.text, '.')
	if point < 0 {
		return Decimal{"0"}
	}
	return Decimal{"0." + strings.Repeat("0", len(d.text)-point-1)}
}

// Scale is the number of digits behind the point.
func (d Decimal) Scale() int { return int(-d.number().Exponent) }

// Sign is -1, 0 or 1.
func (d Decimal) Sign() int { return d.number().Sign() }

// Compare orders by value.
func (d Decimal) Compare(e Decimal) int { return d.number().Cmp(e.number()) }

// Add is d + e, at the larger scale of both. Sums of amounts far beyond what
// ParseDecimal takes stay exact.
func (d Decimal) Add(e Decimal) Decimal {
	var sum apd.Decimal
	if _, err := exact.Add(&sum, d.number(), e.number()); err != nil {
		panic(err)
	}
	return decimal(&sum)
}

// Neg is -d.
func (d Decimal) Neg() Decimal {
	n := d.number()
	return decimal(n.Neg(n))
}

// Sub is d - e.
func (d Decimal) Sub(e Decimal) Decimal { return d.Add(e.Neg()) }

// Fits reports whether d is exact at scale.
func (d Decimal) Fits(scale int) bool {
	_, ok := d.at(scale)
	return ok
}

// At writes d at scale, padded with zeros. It is an error to lose digits.
func (d Decimal) At(scale int) (Decimal, error) {
	at, ok := d.at(scale)
	if !ok {
		return Decimal{}, fmt.Errorf("%s has more than %d decimal places", d, scale)
	}
	return at, nil
}

func (d Decimal) at(scale int) (Decimal, bool) {
	var q apd.Decimal
	cond, err := exact.Quantize(&q, d.number(), int32(-scale))
	if err != nil || cond.Inexact() {
		return Decimal{}, false
	}
	return decimal(&q), true
}

// MarshalText writes d with its scale; JSON carries it as a string, never a number.
func (d Decimal) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDecimal takes.
func (d *Decimal) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDecimal(string(text))
	return err
}

// A Currency is an ISO 4217 code. The zero Currency means none.
type Currency string

// Valid reports whether c is a code of ISO 4217. None is not one, although the
// library lets it pass.
func (c Currency) Valid() bool { return c != "" && currency.IsValid(string(c)) }

// Digits is the scale of the currency's minor unit.
func (c Currency) Digits() int {
	digits, _ := currency.GetDigits(string(c))
	return int(digits)
}

// Money is an exact amount in a currency.
type Money struct {
	Amount   Decimal  `json:"amount"`
	Currency Currency `json:"currency"`
}

// NewMoney is Money for constants.
func NewMoney(amount string, c Currency) Money { return Money{MustDecimal(amount), c} }

// Check refuses an unknown currency and more decimal places than scale.
// field is the JSON pointer that the refusal names.
func (m Money) Check(field string, scale int) error {
	if !m.Currency.Valid() {
		return Refuse("currency-unknown", field+"/currency", "a currency is an ISO 4217 code of three capital letters")
	}
	if !m.Amount.Fits(scale) {
		return Refuse("scale-exceeded", field+"/amount", "the amount has more than %d decimal places", scale)
	}
	return nil
}

// IsZero reports whether no money was given at all; an amount of 0 EUR is given.
func (m Money) IsZero() bool { return m == Money{} }

func (m Money) String() string { return m.Amount.String() + " " + string(m.Currency) }
