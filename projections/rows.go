package projections

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// copyMin is how many rows are worth the round trip of a COPY of their own.
const copyMin = 32

// Writes are what a batch changes in the tables, in order. Their statements go to
// the database in one round trip, whatever their number, but for rows that are
// many: those are copied.
type Writes struct{ steps []write }

// A write is some statements, or rows to copy.
type write struct {
	statements *pgx.Batch
	copied     *rowReader
}

// Queue adds a statement.
func (w *Writes) Queue(sql string, arguments ...any) *pgx.QueuedQuery {
	return w.statements().Queue(sql, arguments...)
}

// Insert adds count rows to a table, each in the order of its columns. A value is
// nil, a number, a bool, a uuid.UUID, a time.Time, bytes (bytea), JSON
// (json.RawMessage), or text as Postgres reads it: so are dates, decimals and
// ranges written. Row is called once for each row, from another goroutine, and
// before Send returns.
func (w *Writes) Insert(table, columns string, count int, row func(i int) []any) {
	if count >= copyMin {
		w.steps = append(w.steps, write{copied: &rowReader{table: table, columns: columns, count: count, row: row}})
		return
	}
	for i := range count {
		values := row(i)
		for at, value := range values {
			if value != nil {
				values[at] = string(appendText(nil, value))
			}
		}
		w.Queue("insert into "+table+" ("+columns+") values ("+parameters(len(values))+")", values...)
	}
}

// parameters are $1 to $n.
func parameters(n int) string {
	var list strings.Builder
	for i := range n {
		if i > 0 {
			list.WriteByte(',')
		}
		list.WriteByte('$')
		list.WriteString(strconv.Itoa(i + 1))
	}
	return list.String()
}

func (w *Writes) statements() *pgx.Batch {
	if n := len(w.steps); n > 0 && w.steps[n-1].statements != nil {
		return w.steps[n-1].statements
	}
	w.steps = append(w.steps, write{statements: &pgx.Batch{}})
	return w.steps[len(w.steps)-1].statements
}

// Send writes.
func (w *Writes) Send(ctx context.Context, tx pgx.Tx) error {
	for _, step := range w.steps {
		var err error
		if step.copied != nil {
			err = step.copied.send(ctx, tx)
		} else {
			err = tx.SendBatch(ctx, step.statements).Close()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A rowReader writes rows in COPY's text form as the connection asks for them, so
// that the server is at work meanwhile.
type rowReader struct {
	table, columns string
	count, next    int
	row            func(int) []any
	pending, spare []byte
	failed         error
}

func (r *rowReader) send(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Conn().PgConn().CopyFrom(ctx, r, "copy "+r.table+" ("+r.columns+") from stdin")
	if r.failed != nil {
		return r.failed // and not the server's word for it
	}
	return err
}

// Read never lets a panic out, for it is called from a goroutine of the
// connection's. What it answers is sent to the server, so it says nothing.
func (r *rowReader) Read(into []byte) (n int, err error) {
	if len(r.pending) == 0 {
		r.failed = guard(func() error { return r.fill(len(into)) })
		if r.failed != nil {
			return 0, errors.New("given up")
		}
		if len(r.pending) == 0 {
			return 0, io.EOF
		}
	}
	n = copy(into, r.pending)
	r.pending = r.pending[n:]
	return n, nil
}

// fill writes rows until they are enough for a message.
func (r *rowReader) fill(size int) error {
	text := r.spare[:0]
	for ; r.next < r.count && len(text) < size; r.next++ {
		for i, value := range r.row(r.next) {
			if i > 0 {
				text = append(text, '\t')
			}
			text = appendCopied(text, value)
		}
		text = append(text, '\n')
	}
	r.pending, r.spare = text, text
	return nil
}

// appendCopied appends a value as COPY's text form has it.
func appendCopied(to []byte, value any) []byte {
	if value == nil {
		return append(to, `\N`...)
	}
	begin := len(to)
	to = appendText(to, value)
	return escaped(to, begin)
}

// escaped puts a backslash before what would end a value or a row, and before
// backslashes.
func escaped(text []byte, from int) []byte {
	special := 0
	for _, c := range text[from:] {
		if c == '\\' || c == '\t' || c == '\n' || c == '\r' {
			special++
		}
	}
	if special == 0 {
		return text
	}
	end := len(text)
	text = append(text, make([]byte, special)...)
	for to := len(text); special > 0; {
		end--
		to--
		c := text[end]
		switch c {
		case '\t':
			c = 't'
		case '\n':
			c = 'n'
		case '\r':
			c = 'r'
		case '\\':
		default:
			text[to] = c
			continue
		}
		text[to] = c
		to--
		text[to] = '\\'
		special--
	}
	return text
}

const timestamp = "2006-01-02 15:04:05.999999Z07:00"

// appendText appends a value as Postgres reads it.
func appendText(to []byte, value any) []byte {
	switch v := value.(type) {
	case string:
		return append(to, v...)
	case json.RawMessage:
		return append(to, v...)
	case int64:
		return strconv.AppendInt(to, v, 10)
	case uint64:
		return strconv.AppendUint(to, v, 10)
	case int:
		return strconv.AppendInt(to, int64(v), 10)
	case bool:
		return strconv.AppendBool(to, v)
	case uuid.UUID:
		return appendUUID(to, v)
	case time.Time:
		return v.UTC().AppendFormat(to, timestamp)
	case []byte:
		return hex.AppendEncode(append(to, `\x`...), v)
	}
	panic(fmt.Sprintf("projections: no column takes a %T", value))
}

func appendUUID(to []byte, id uuid.UUID) []byte {
	var text [36]byte
	hex.Encode(text[0:8], id[0:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return append(to, text[:]...)
}
