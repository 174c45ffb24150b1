package projections

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A transaction begins with its projection's first statements, in one round trip:
// what the writer has to say goes ahead of them. It ends with the last ones, which
// are kept for the commit. One in which the projection says nothing is a single
// round trip.
type transaction struct {
	pgx.Tx // nil until it has begun
	ctx    context.Context
	conn   *pgx.Conn
	head   func(*pgx.Batch)
	later  []*pgx.QueuedQuery // sent ahead of whatever is sent next; nobody reads their results
}

// SendBatch sends statements behind what goes ahead of them.
func (t *transaction) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	results, ahead := t.send(ctx, b)
	for _, statement := range ahead {
		if err := answered(statement, results); err != nil {
			_ = results.Close() // it is the same error
			return pgx.FailedBatchResults(b, err)
		}
	}
	return results
}

// send sends what goes ahead, which it returns, and b in one round trip.
func (t *transaction) send(ctx context.Context, b *pgx.Batch) (results pgx.BatchResults, ahead []*pgx.QueuedQuery) {
	all := &pgx.Batch{}
	begins := t.Tx == nil
	if begins {
		all.BeginTx(pgx.TxOptions{})
		t.head(all)
	}
	all.QueuedQueries = append(all.QueuedQueries, t.later...)
	t.later, ahead = nil, all.QueuedQueries
	all.QueuedQueries = append(all.QueuedQueries, b.QueuedQueries...)
	results = t.conn.SendBatch(ctx, all)
	if begins {
		t.Tx = results.Tx()
	}
	return results, ahead
}

// answered reads a statement's result.
func answered(statement *pgx.QueuedQuery, results pgx.BatchResults) error {
	if statement.Fn != nil {
		return statement.Fn(results)
	}
	_, err := results.Exec()
	return err
}

// begin sends what goes ahead, if there is any.
func (t *transaction) begin(ctx context.Context) error {
	if t.Tx != nil && len(t.later) == 0 {
		return nil
	}
	return t.SendBatch(ctx, &pgx.Batch{}).Close()
}

// Commit ends the transaction, in one round trip with what was kept for it.
func (t *transaction) Commit(ctx context.Context) error {
	end := &pgx.Batch{}
	end.Queue("commit").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() == "ROLLBACK" {
			return pgx.ErrTxCommitRollback
		}
		return nil
	})
	results, _ := t.send(ctx, end)
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
