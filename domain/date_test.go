package domain_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	. "daybook.example/domain"
)

func TestDateReadsOnlyISO8601(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "2024", "2024-1-1", "2024-02-30", "2023-02-29", "0000-01-01", "24-01-01", "2024-01-01T00:00:00Z",
		" 2024-01-01", "2024-01-01 ", "2024/01/01", "20240101", "-2024-01-01", "12024-01-01", "２０２４-01-01",
	} {
		_, err := ParseDate(text)
		require.Error(t, err, text)
	}
	for _, text := range []string{"0001-01-01", "2024-02-29", "9999-12-31"} {
		d, err := ParseDate(text)
		require.NoError(t, err)
		require.Equal(t, text, d.String())
	}
}

// TestErrorsRepeatNothing: what was given may be somebody's birth date or pay.
func TestErrorsRepeatNothing(t *testing.T) {
	t.Parallel()
	for _, read := range []func(string) error{
		func(text string) error { _, err := ParseDate(text); return err },
		func(text string) error { _, err := ParsePeriod(text); return err },
		func(text string) error { _, err := ParseDecimal(text); return err },
		func(text string) error { return Money{Currency: Currency(text)}.Check("/amount", 2) },
	} {
		require.NotContains(t, read("17.05.1990x").Error(), "1990")
	}
}

func TestDateOrdersAndCountsAsTimeDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d, e := drawDate(t, "d"), drawDate(t, "e")
		require.Equal(t, d.Time().Compare(e.Time()), d.Compare(e))
		require.Equal(t, d.Time().Before(e.Time()), d.Before(e))
		require.Equal(t, d.Time().After(e.Time()), d.After(e))
		require.Equal(t, d == e, d.Compare(e) == 0, "equal days are the same value")
		n := rapid.IntRange(-5000, 5000).Draw(t, "days")
		require.Equal(t, time.Duration(n)*24*time.Hour, d.AddDays(n).Time().Sub(d.Time()))
		require.Equal(t, MustDate(d.String()), d)
		require.True(t, Date{}.Before(d), "none comes first")
	})
}

func drawDate(t *rapid.T, name string) Date {
	return NewDate(rapid.IntRange(1900, 2200).Draw(t, name+" year"), 1, rapid.IntRange(1, 366).Draw(t, name+" day"))
}

func TestDateIsTheDayInItsOwnZone(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 2, 28, 23, 30, 0, 0, time.UTC)
	require.Equal(t, MustDate("2024-02-28"), DateOf(at))
	require.Equal(t, MustDate("2024-02-29"), DateOf(at.In(time.FixedZone("", 14*3600))))
	require.Equal(t, MustDate("2024-02-28"), DateOf(at.In(time.FixedZone("", -11*3600))))
}

func TestNoDateIsLeftOut(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(struct {
		From Date `json:"from,omitzero"`
		To   Date `json:"to,omitzero"`
	}{From: MustDate("2024-02-29")})
	require.NoError(t, err)
	require.JSONEq(t, `{"from":"2024-02-29"}`, string(data))
	require.Empty(t, Date{}.String())
	var d Date
	require.Error(t, json.Unmarshal([]byte(`""`), &d), "an empty text is no date")
	require.Panics(t, func() { MustDate("today") })
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	p, err := ParsePeriod("2024-02")
	require.NoError(t, err)
	require.Equal(t, MustDate("2024-02-01"), p.First())
	require.Equal(t, MustDate("2024-02-29"), p.Last())
	require.Equal(t, "2024-03", p.Next().String())
	require.Equal(t, "202402", p.Compact())
	for _, text := range []string{"", "2024", "2024-00", "2024-13", "2024-2", "2024-02-01", "2024-02 "} {
		_, err := ParsePeriod(text)
		require.Error(t, err, text)
	}
	require.Empty(t, Period{}.String())
	require.True(t, Period{}.IsZero())
}

func TestPeriodsTileTheCalendar(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawDate(t, "d")
		p := PeriodOf(d)
		require.True(t, p.Contains(d) && p.Contains(p.First()) && p.Contains(p.Last()))
		require.False(t, p.Contains(p.First().AddDays(-1)) || p.Contains(p.Last().AddDays(1)))
		require.Equal(t, p.Next().First(), p.Last().AddDays(1))
		var back Period
		text, err := p.MarshalText()
		require.NoError(t, err)
		require.NoError(t, back.UnmarshalText(text))
		require.Equal(t, p, back)
	})
}

func TestAZoneIsLoadedOnce(t *testing.T) {
	t.Parallel()
	zone, err := Zone("Europe/Berlin")
	require.NoError(t, err)
	require.Equal(t, MustDate("2025-01-01"), DateOf(time.Date(2024, 12, 31, 23, 30, 0, 0, time.UTC).In(zone)))
	again, err := Zone("Europe/Berlin")
	require.NoError(t, err)
	require.Same(t, zone, again)

	none, err := Zone("")
	require.NoError(t, err)
	require.Equal(t, time.UTC, none)
	for range 2 {
		_, err = Zone("Europe/Atlantis")
		require.Error(t, err)
	}
}
