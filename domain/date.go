package domain

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Date is a business day without time or zone. The zero Date means none.
type Date struct {
	year  int16
	month time.Month
	day   int8
}

// A text that could not be read may be somebody's birth date or pay: no error
// of this package repeats what was given.
var (
	errNoDate   = errors.New("a date has the form YYYY-MM-DD")
	errNoPeriod = errors.New("a period has the form YYYY-MM")
)

// NewDate returns the given day, normalised as time.Date does.
func NewDate(year int, month time.Month, day int) Date {
	return DateOf(time.Date(year, month, day, 0, 0, 0, 0, time.UTC))
}

// DateOf is the day of t in t's own zone.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{int16(y), m, int8(d)}
}

// zones are those that were asked for before, by name: to load one is to parse a file.
var zones sync.Map

// Zone is the zone of a name in the IANA database, UTC for none.
func Zone(name string) (*time.Location, error) {
	if known, ok := zones.Load(name); ok {
		return known.(*time.Location), nil
	}
	zone, err := time.LoadLocation(name)
	if err == nil {
		zones.Store(name, zone)
	}
	return zone, err
}

// ParseDate reads ISO 8601, `2006-01-02`, years 0001 to 9999.
func ParseDate(text string) (Date, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < 1 {
		return Date{}, errNoDate
	}
	return DateOf(t), nil
}

// MustDate is ParseDate for constants.
func MustDate(text string) Date {
	d, err := ParseDate(text)
	if err != nil {
		panic(err)
	}
	return d
}

// IsZero reports whether d is no date.
func (d Date) IsZero() bool { return d == Date{} }

// Time is the start of the day in UTC.
func (d Date) Time() time.Time {
	return time.Date(int(d.year), d.month, int(d.day), 0, 0, 0, 0, time.UTC)
}

// Compare orders days; the zero Date comes first.
func (d Date) Compare(e Date) int {
	if d == e {
		return 0
	}
	if d.Before(e) {
		return -1
	}
	return 1
}

// Before reports whether d is an earlier day than e.
func (d Date) Before(e Date) bool {
	if d.year != e.year {
		return d.year < e.year
	}
	if d.month != e.month {
		return d.month < e.month
	}
	return d.day < e.day
}

// After reports whether d is a later day than e.
func (d Date) After(e Date) bool { return e.Before(d) }

// AddDays returns the day n days later.
func (d Date) AddDays(n int) Date { return DateOf(d.Time().AddDate(0, 0, n)) }

// String writes ISO 8601; the zero Date is "".
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.year, int(d.month), d.day)
}

// MarshalText writes ISO 8601.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads ISO 8601.
func (d *Date) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDate(string(text))
	return err
}

// A Period is an accounting month, `2006-01`. The zero Period means none.
type Period struct {
	year  int16
	month time.Month
}

// ParsePeriod reads `2006-01`.
func ParsePeriod(text string) (Period, error) {
	d, err := ParseDate(text + "-01")
	if err != nil {
		return Period{}, errNoPeriod
	}
	return PeriodOf(d), nil
}

// PeriodOf is the period in which a day falls.
func PeriodOf(d Date) Period { return Period{d.year, d.month} }

// IsZero reports whether p is no period.
func (p Period) IsZero() bool { return p == Period{} }

// First is the period's first day.
func (p Period) First() Date { return Date{p.year, p.month, 1} }

// Last is the period's last day.
func (p Period) Last() Date { return p.Next().First().AddDays(-1) }

// Next is the period after p.
func (p Period) Next() Period { return PeriodOf(p.First().AddDays(31)) }

// Contains reports whether d falls into p.
func (p Period) Contains(d Date) bool { return PeriodOf(d) == p }

// String writes `2006-01`; the zero Period is "".
func (p Period) String() string {
	if p.IsZero() {
		return ""
	}
	return p.First().String()[:7]
}

// Compact writes `200601`, its form in stream names.
func (p Period) Compact() string { return fmt.Sprintf("%04d%02d", p.year, int(p.month)) }

// MarshalText writes `2006-01`.
func (p Period) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads `2006-01`.
func (p *Period) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePeriod(string(text))
	return err
}
