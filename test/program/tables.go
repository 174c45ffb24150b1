package program

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Tables are the hashes of all rows of each table of the versions that are read.
// What tells one build of them from another (heartbeats, owners) lies in no such
// table.
type Tables map[string]string

// Tables reads them. The hash says how many rows there are, too.
func (p *Process) Tables(ctx context.Context) (tables Tables, err error) {
	tables = Tables{}
	err = p.Query(ctx, func(conn *pgx.Conn) error {
		names, err := readModelTables(ctx, conn)
		if err != nil {
			return err
		}
		for name, table := range names {
			var rows int
			var hash string
			err := conn.QueryRow(ctx, "select count(*), coalesce(md5(string_agg(row, '' order by row)), '') from (select md5(t::text) as row from "+table+" t) r").Scan(&rows, &hash)
			if err != nil {
				return fmt.Errorf("hash %s: %w", name, err)
			}
			tables[name] = fmt.Sprintf("%d rows, %s", rows, hash)
		}
		return nil
	})
	return tables, err
}

// readModelTables are the tables by what they are called in any version.
func readModelTables(ctx context.Context, conn *pgx.Conn) (map[string]string, error) {
	rows, err := conn.Query(ctx, `select v.name || '.' || t.tablename, format('%I.%I', t.schemaname, t.tablename)
		from daybook.projection_version v join pg_tables t on t.schemaname = 'rm_' || v.name || '_v' || v.version where v.phase = 'active' order by 1`)
	if err != nil {
		return nil, err
	}
	tables := map[string]string{}
	var name, table string
	_, err = pgx.ForEachRow(rows, []any{&name, &table}, func() error {
		tables[name] = table
		return nil
	})
	return tables, err
}
