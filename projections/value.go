package projections

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
)

// Positions are an int8range from a position up to another one; 0 = open.
type Positions struct{ From, To int64 }

// String is the range as Postgres reads it.
func (p Positions) String() string {
	if p.To == 0 {
		return fmt.Sprintf("[%d,)", p.From)
	}
	return fmt.Sprintf("[%d,%d)", p.From, p.To)
}

// Days are a daterange from a day up to another one; the zero Date = open.
type Days struct{ From, To domain.Date }

// String is the range as Postgres reads it.
func (d Days) String() string { return "[" + d.From.String() + "," + d.To.String() + ")" }

// OrNull is null for what is not there: a zero value.
func OrNull[T comparable](value T) any {
	var none T
	if value == none {
		return nil
	}
	return value
}

// textOf writes a value as Postgres reads it.
func textOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case json.RawMessage:
		return string(v)
	case []byte:
		return `\x` + hex.EncodeToString(v)
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04:05.999999Z07:00")
	}
	return fmt.Sprint(value)
}

// appendRow appends a row in COPY's binary form.
func appendRow(to []byte, values []any) []byte {
	to = binary.BigEndian.AppendUint16(to, uint16(len(values)))
	for _, value := range values {
		if value == nil {
			to = append(to, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		to = appendSized(to, value)
	}
	return to
}

// appendBinary appends a value in the binary form of a column's type. This is the
// list of types that Insert takes.
func appendBinary(to []byte, value any) []byte {
	switch v := value.(type) {
	case string: // text, json
		return append(to, v...)
	case json.RawMessage: // jsonb
		return append(append(to, 1), v...)
	case []byte: // bytea
		return append(to, v...)
	case int: // int
		return binary.BigEndian.AppendUint32(to, uint32(v))
	case int64: // bigint
		return binary.BigEndian.AppendUint64(to, uint64(v))
	case uint64: // bigint
		return binary.BigEndian.AppendUint64(to, v)
	case bool: // boolean
		if v {
			return append(to, 1)
		}
		return append(to, 0)
	case uuid.UUID: // uuid
		return append(to, v[:]...)
	case time.Time: // timestamptz
		return binary.BigEndian.AppendUint64(to, uint64(v.UnixMicro()-epoch.UnixMicro()))
	case domain.Date: // date
		return appendDate(to, v)
	case domain.Decimal: // numeric
		return appendNumeric(to, v.String())
	case Positions: // int8range
		return appendRange(to, v.From, v.To, false, v.To == 0)
	case Days: // daterange
		return appendRange(to, v.From, v.To, v.From.IsZero(), v.To.IsZero())
	}
	panic(fmt.Sprintf("projections: no column takes a %T", value))
}

// epoch is where Postgres begins to count.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func appendDate(to []byte, d domain.Date) []byte {
	return binary.BigEndian.AppendUint32(to, uint32(int32((d.Time().Unix()-epoch.Unix())/(24*60*60))))
}

// appendRange appends a range without its last value; either end may be open.
func appendRange(to []byte, from, until any, noFrom, noUntil bool) []byte {
	const withFirst, openBelow, openAbove = 0x02, 0x08, 0x10
	flags := len(to)
	to = append(to, withFirst)
	if noFrom {
		to[flags] = openBelow
	} else {
		to = appendSized(to, from)
	}
	if noUntil {
		to[flags] |= openAbove
		return to
	}
	return appendSized(to, until)
}

// appendSized appends a value behind its length.
func appendSized(to []byte, value any) []byte {
	begin := len(to)
	to = appendBinary(append(to, 0, 0, 0, 0), value)
	binary.BigEndian.PutUint32(to[begin:], uint32(len(to)-begin-4))
	return to
}

// appendNumeric writes decimal notation as Postgres keeps it: groups of four
// digits on both sides of the point, without zeros at the ends, and the scale.
func appendNumeric(to []byte, text string) []byte {
	const negative, group = 0x4000, 4
	text, minus := strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(text, ".")
	scale := len(fraction)
	digits := strings.Repeat("0", (group-len(whole)%group)%group) + whole + fraction + strings.Repeat("0", (group-scale%group)%group)
	weight := (len(whole)+group-1)/group - 1
	for strings.HasPrefix(digits, "0000") {
		digits, weight = digits[group:], weight-1
	}
	for strings.HasSuffix(digits, "0000") {
		digits = digits[:len(digits)-group]
	}
	sign := uint16(0)
	if minus {
		sign = negative
	}
	if digits == "" {
		weight = 0
	}
	to = binary.BigEndian.AppendUint16(to, uint16(len(digits)/group))
	to = binary.BigEndian.AppendUint16(to, uint16(weight))
	to = binary.BigEndian.AppendUint16(to, sign)
	to = binary.BigEndian.AppendUint16(to, uint16(scale))
	for ; digits != ""; digits = digits[group:] {
		n, _ := strconv.Atoi(digits[:group]) // digits, and nothing else
		to = binary.BigEndian.AppendUint16(to, uint16(n))
	}
	return to
}
