package projections

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// copyMin is how many rows are worth the round trip of a COPY of their own.
const copyMin = 32

// Writes are what a batch changes in the tables, in order, after it has read what
// it needs. Their statements go to the database with the commit, whatever their
// number, but for rows that are many: those are copied before.
type Writes struct{ steps []write }

// A write is some statements, rows to copy, or what follows from them.
type write struct {
	statements *pgx.Batch
	copied     *rowReader
	then       func(*Writes)
}

// Queue adds a statement. Its result is not looked at, for the commit may be sent
// behind it.
func (w *Writes) Queue(sql string, arguments ...any) { w.statements().Queue(sql, arguments...) }

// Hit adds an update that has to hit so many rows: if it does not, the server ends
// the transaction, and the error is amiss.
func (w *Writes) Hit(rows int, amiss error, update string, arguments ...any) {
	w.statements().Queue(hitting(rows, update), arguments...).Fn = func(results pgx.BatchResults) error {
		return missed(results, amiss)
	}
}

// hitting makes an update fail, by a division, that does not hit so many rows. All
// that was sent behind it fails too.
func hitting(rows int, update string) string {
	return fmt.Sprintf("with hit as (%s returning 1) select 1 / (count(*) = %d)::int from hit", update, rows)
}

// missed reads the result of a statement that hitting made.
func missed(results pgx.BatchResults, amiss error) error {
	_, err := results.Exec()
	var sql *pgconn.PgError
	if errors.As(err, &sql) && sql.Code == divisionByZero {
		return amiss
	}
	return err
}

// Insert adds count rows to a table. A row's values are in the order of the
// columns, of the Go types that appendBinary lists. Row is called once for each
// row, in order: now, or during Send and by another goroutine if they are many. So
// it may fold as it goes, while the server stores the rows before.
func (w *Writes) Insert(table, columns string, count int, row func(i int) []any) {
	if count >= copyMin {
		w.steps = append(w.steps, write{copied: &rowReader{table: table, columns: columns, count: count, row: row}})
		return
	}
	for i := range count {
		values := row(i)
		for at, value := range values {
			if value != nil {
				values[at] = textOf(value)
			}
		}
		w.Queue("insert into "+table+" ("+columns+") values ("+parameters(len(values))+")", values...)
	}
}

// Then adds what is known only when all rows before it have been made.
func (w *Writes) Then(more func(*Writes)) { w.steps = append(w.steps, write{then: more}) }

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
	queue := &pgx.Batch{}
	flush := func() error {
		defer func() { queue = &pgx.Batch{} }()
		if t, ok := tx.(*transaction); ok {
			t.later = append(t.later, queue.QueuedQueries...)
			return nil
		}
		return tx.SendBatch(ctx, queue).Close()
	}
	for steps := w.steps; len(steps) > 0; {
		step := steps[0]
		steps = steps[1:]
		switch {
		case step.then != nil:
			var more Writes
			step.then(&more)
			steps = append(more.steps, steps...)
		case step.copied != nil:
			if err := flush(); err != nil {
				return err
			}
			if err := step.copied.send(ctx, tx); err != nil {
				return err
			}
		default:
			queue.QueuedQueries = append(queue.QueuedQueries, step.statements.QueuedQueries...)
		}
	}
	return flush()
}

// A rowReader writes rows in COPY's binary form as the connection asks for them,
// so that the server is at work meanwhile.
type rowReader struct {
	table, columns string
	count, next    int
	row            func(int) []any
	begun, ended   bool
	pending, spare []byte
	failed         error
}

func (r *rowReader) send(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Conn().PgConn().CopyFrom(ctx, r, "copy "+r.table+" ("+r.columns+") from stdin (format binary)")
	if r.failed != nil {
		return r.failed // and not the server's word for it
	}
	return err
}

// Read never lets a panic out, for it is called from a goroutine of the
// connection's. What it answers is sent to the server, so it says nothing.
func (r *rowReader) Read(into []byte) (n int, err error) {
	if len(r.pending) == 0 {
		if r.failed = guard(func() error { r.fill(len(into)); return nil }); r.failed != nil {
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
func (r *rowReader) fill(size int) {
	content := r.spare[:0]
	if !r.begun {
		r.begun = true
		content = append(content, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	}
	for ; r.next < r.count && len(content) < size; r.next++ {
		content = appendRow(content, r.row(r.next))
	}
	if r.next == r.count && !r.ended {
		r.ended = true
		content = append(content, 0xff, 0xff)
	}
	r.pending, r.spare = content, content
}
