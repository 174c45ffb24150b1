package projections

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A transaction begins with its projection's first statements, in one round trip:
// what the writer has to say goes ahead of them. One in which the projection says
// nothing is a single round trip.
type transaction struct {
	pgx.Tx // nil until it has begun
	ctx    context.Context
	conn   *pgx.Conn
	head   func(*pgx.Batch)
}

// SendBatch sends statements, behind the head if they are the first.
func (t *transaction) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if t.Tx != nil {
		return t.Tx.SendBatch(ctx, b)
	}
	all := t.headed()
	ahead := all.Len()
	all.QueuedQueries = append(all.QueuedQueries, b.QueuedQueries...)
	results := t.conn.SendBatch(ctx, all)
	t.Tx = results.Tx()
	for _, statement := range all.QueuedQueries[:ahead] {
		if err := answered(statement, results); err != nil {
			_ = results.Close() // it is the same error
			return pgx.FailedBatchResults(b, err)
		}
	}
	return results
}

// headed is a batch that begins the transaction.
func (t *transaction) headed() *pgx.Batch {
	b := &pgx.Batch{}
	b.BeginTx(pgx.TxOptions{})
	t.head(b)
	return b
}

// answered reads a statement's result.
func answered(statement *pgx.QueuedQuery, results pgx.BatchResults) error {
	if statement.Fn != nil {
		return statement.Fn(results)
	}
	_, err := results.Exec()
	return err
}

// begin sends the head alone, unless it is sent.
func (t *transaction) begin(ctx context.Context) error {
	if t.Tx != nil {
		return nil
	}
	return t.SendBatch(ctx, &pgx.Batch{}).Close()
}

// Commit ends the transaction; one that has not begun is sent as a whole.
func (t *transaction) Commit(ctx context.Context) error {
	if t.Tx != nil {
		return t.Tx.Commit(ctx)
	}
	b := t.headed()
	b.Queue("commit").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() == "ROLLBACK" {
			return pgx.ErrTxCommitRollback
		}
		return nil
	})
	results := t.conn.SendBatch(ctx, b)
	t.Tx = results.Tx()
	return results.Close()
}

// abandon rolls back what has begun. A connection on which that fails is closed.
func (t *transaction) abandon(ctx context.Context) {
	if t.Tx != nil {
		_ = t.Tx.Rollback(ctx)
	}
}

// Begin sets a savepoint.
func (t *transaction) Begin(ctx context.Context) (pgx.Tx, error) {
	if err := t.begin(ctx); err != nil {
		return nil, err
	}
	return t.Tx.Begin(ctx)
}

// Rollback is the writer's.
func (t *transaction) Rollback(context.Context) error {
	return errors.New("a projection does not end its transaction")
}

// CopyFrom copies rows into a table.
func (t *transaction) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	if err := t.begin(ctx); err != nil {
		return 0, err
	}
	return t.Tx.CopyFrom(ctx, table, columns, rows)
}

// Prepare prepares a statement.
func (t *transaction) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if err := t.begin(ctx); err != nil {
		return nil, err
	}
	return t.Tx.Prepare(ctx, name, sql)
}

// Exec runs a statement.
func (t *transaction) Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error) {
	if err := t.begin(ctx); err != nil {
		return pgconn.CommandTag{}, err
	}
	return t.Tx.Exec(ctx, sql, arguments...)
}

// Query asks for rows.
func (t *transaction) Query(ctx context.Context, sql string, arguments ...any) (pgx.Rows, error) {
	if err := t.begin(ctx); err != nil {
		return nil, err
	}
	return t.Tx.Query(ctx, sql, arguments...)
}

// QueryRow asks for one row.
func (t *transaction) QueryRow(ctx context.Context, sql string, arguments ...any) pgx.Row {
	if err := t.begin(ctx); err != nil {
		return noRow{err}
	}
	return t.Tx.QueryRow(ctx, sql, arguments...)
}

// LargeObjects are not for projections: they belong to no schema.
func (t *transaction) LargeObjects() pgx.LargeObjects {
	panic("a projection stores no large objects")
}

// Conn is the connection, on which the transaction has begun. If it could not,
// nothing can be done on the connection: it would be outside of the transaction.
func (t *transaction) Conn() *pgx.Conn {
	if err := t.begin(t.ctx); err != nil {
		_ = t.conn.Close(t.ctx)
	}
	return t.conn
}

// noRow answers an error.
type noRow struct{ cause error }

func (r noRow) Scan(...any) error { return r.cause }
