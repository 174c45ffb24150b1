package domain_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	. "daybook.example/domain"
)

func TestDecimalReadsOnlyItsCanonicalText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " 1", "+1", "01", "-01", "1.", ".5", "1e3", "1E3", "1,5", "1_000", "0x1", "NaN", "Infinity", "-0", "-0.00", "--1",
		"١", strings.Repeat("9", 25), "0." + strings.Repeat("1", 13),
	} {
		_, err := ParseDecimal(text)
		require.Error(t, err, text)
	}
	for _, text := range []string{"0", "0.00", "-1.50", "1.5", strings.Repeat("9", 24) + "." + strings.Repeat("9", 12)} {
		d, err := ParseDecimal(text)
		require.NoError(t, err)
		require.Equal(t, text, d.String(), "the scale is kept")
	}
	require.Panics(t, func() { MustDecimal("one") })
}

func drawDecimal(t *rapid.T, name string) Decimal {
	text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,23})(\.[0-9]{1,12})?`).
		Filter(func(s string) bool { return s[0] != '-' || strings.ContainsAny(s, "123456789") }).Draw(t, name)
	return MustDecimal(text)
}

func rational(t require.TestingT, d Decimal) *big.Rat {
	r, ok := new(big.Rat).SetString(d.String())
	require.True(t, ok)
	return r
}

// TestDecimalAgainstRationals compares all arithmetic with exact fractions.
func TestDecimalAgainstRationals(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d, e := drawDecimal(t, "d"), drawDecimal(t, "e")
		x, y := rational(t, d), rational(t, e)
		require.Zero(t, rational(t, d.Add(e)).Cmp(new(big.Rat).Add(x, y)))
		require.Zero(t, rational(t, d.Sub(e)).Cmp(new(big.Rat).Sub(x, y)))
		require.Zero(t, rational(t, d.Neg()).Cmp(new(big.Rat).Neg(x)))
		require.Equal(t, x.Cmp(y), d.Compare(e))
		require.Equal(t, x.Sign(), d.Sign())
		require.Equal(t, max(d.Scale(), e.Scale()), d.Add(e).Scale())
		require.Equal(t, d.Add(e), e.Add(d))
		require.Equal(t, 0, d.Sub(d).Sign())
		require.Equal(t, d.Sub(d), d.Zero())
		require.NotContains(t, d.Sub(d).String(), "-", "there is no negative zero")
	})
}

func TestDecimalAtAScaleIsTheSameNumberOrRefused(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawDecimal(t, "d")
		scale := rapid.IntRange(0, 12).Draw(t, "scale")
		at, err := d.At(scale)
		require.Equal(t, err == nil, d.Fits(scale))
		shift := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		require.Equal(t, shift.Mul(shift, rational(t, d)).IsInt(), err == nil, "refused only where digits would be lost")
		if err == nil {
			require.Equal(t, scale, at.Scale())
			require.Zero(t, at.Compare(d))
		}
	})
}

// TestLongSumsStayExact adds far more than one parsed number can hold.
func TestLongSumsStayExact(t *testing.T) {
	t.Parallel()
	largest := MustDecimal(strings.Repeat("9", 24) + ".999999999999")
	sum, want := Decimal{}, new(big.Rat)
	for range 1000 {
		sum, want = sum.Add(largest), want.Add(want, rational(t, largest))
	}
	require.Zero(t, rational(t, sum).Cmp(want))
}

func TestZeroValuesAreUseful(t *testing.T) {
	t.Parallel()
	require.Equal(t, "0", Decimal{}.String())
	require.Equal(t, 0, Decimal{}.Compare(MustDecimal("0.00")))
	require.Equal(t, MustDecimal("1.50"), Decimal{}.Add(MustDecimal("1.50")))
	require.True(t, Money{}.IsZero())
	require.False(t, NewMoney("0", "EUR").IsZero(), "nothing is also an amount")
}

func TestMoneyInJSONIsNeverANumber(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(NewMoney("1234.5600", "EUR"))
	require.NoError(t, err)
	require.Equal(t, `{"amount":"1234.5600","currency":"EUR"}`, string(data))
	var m Money
	require.NoError(t, json.Unmarshal(data, &m))
	require.Equal(t, NewMoney("1234.5600", "EUR"), m)
	require.Error(t, json.Unmarshal([]byte(`{"amount":1234.56,"currency":"EUR"}`), &m))
	require.Equal(t, "1234.5600 EUR", m.String())
}

func TestMoneyChecks(t *testing.T) {
	t.Parallel()
	require.NoError(t, NewMoney("1.25", "EUR").Check("/amount", 2))
	require.NoError(t, NewMoney("1.2500", "EUR").Check("/amount", 2), "zeros lose nothing")
	require.Equal(t, Refuse("scale-exceeded", "/amount/amount", "the amount has more than 2 decimal places"), NewMoney("1.251", "EUR").Check("/amount", 2))
	for _, c := range []Currency{"", "eur", "EURO", "XXY"} {
		require.ErrorIs(t, NewMoney("1", c).Check("/amount", 2), Code("currency-unknown"), string(c))
		require.False(t, c.Valid())
	}
	require.Equal(t, []int{2, 0, 3}, []int{Currency("EUR").Digits(), Currency("JPY").Digits(), Currency("KWD").Digits()})
}
