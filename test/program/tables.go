package program

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Tables are the hashes of all rows of each table of the read models. What tells
// one build of them from another (heartbeats, owners) lies in no such table.
type Tables map[string]string

// Tables reads them. The hash says how many rows there are, too.
func (p *Process) Tables(ctx context.Context) (tables Tables, err error) {
	tables = Tables{}
	err = p.Query(ctx, func(conn *pgx.Conn) error {
		names, err := readModelTables(ctx, conn)
		if err != nil {
			return err
		}
		for _, name := range names {
			var rows int
			var hash string
			err := conn.QueryRow(ctx, "select count(*), coalesce(md5(string_agg(row, '' order by row)), '') from (select md5(t::text) as row from "+name+" t) r").Scan(&rows, &hash)
			if err != nil {
				return fmt.Errorf("hash %s: %w", name, err)
			}
			tables[name] = fmt.Sprintf("%d rows, %s", rows, hash)
		}
		return nil
	})
	return tables, err
}

func readModelTables(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, `select format('%I.%I', schemaname, tablename) from pg_tables where schemaname like 'rm\_%' order by 1`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
