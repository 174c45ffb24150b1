package projections

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed daybook.sql
var daybookSQL string

// reportRole may read the views in schema read, and nothing else.
const reportRole = "daybook_report"

// prepareLock keeps two processes from making one schema twice.
const prepareLock = 0x6461_7962_6f6f_6b00

// versionMin is the oldest server that all SQL was tried on.
const versionMin = 15

// Prepare makes what the projections need in a database and is not there yet:
// schemas, the tables of a version made by each one's code, the views that others
// read. Where a version made by older code is read, that stays so until a
// Supervisor has built the new one. It refuses a database without the rights for
// it, or that was projected from another log. All or nothing is made.
func Prepare(ctx context.Context, pool *pgxpool.Pool, logID uuid.UUID, all ...Projection) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("reach the database: %w", err)
	}
	defer conn.Release()
	if err := check(ctx, conn.Conn()); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := takeTurn(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, daybookSQL); err != nil {
			return fmt.Errorf("make the schemas of Daybook: %w", safe(err))
		}
		if err := grant(ctx, tx); err != nil {
			return fmt.Errorf("open schema read to %s: %w", reportRole, safe(err))
		}
		for _, p := range all {
			if err := install(ctx, tx, p, logID); err != nil {
				return fmt.Errorf("projection %s: %w", p.Spec().Name, err)
			}
		}
		return nil
	})
}

// takeTurn lets one process at a time change what versions there are.
func takeTurn(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", int64(prepareLock)); err != nil {
		return fmt.Errorf("wait for another process that prepares the database: %w", safe(err))
	}
	return nil
}

// check refuses what cannot work, and says what to do about it.
func check(ctx context.Context, conn *pgx.Conn) error {
	var version int
	var database, role, encoding string
	var rights, locks, replica bool
	err := conn.QueryRow(ctx, `select current_setting('server_version_num')::int / 10000, current_database(), current_user,
		pg_encoding_to_char(d.encoding), has_database_privilege(d.oid, 'create'),
		has_function_privilege('pg_try_advisory_lock(bigint)', 'execute') and has_function_privilege('pg_advisory_xact_lock(bigint)', 'execute'),
		pg_is_in_recovery()
		from pg_database d where d.datname = current_database()`).Scan(&version, &database, &role, &encoding, &rights, &locks, &replica)
	switch {
	case err != nil:
		return fmt.Errorf("look at the database: %w", err)
	case version < versionMin:
		return fmt.Errorf("the database runs Postgres %d: version %d or later is needed", version, versionMin)
	case encoding != "UTF8":
		return fmt.Errorf("database %s has the encoding %s: create one with encoding UTF8", database, encoding)
	case replica:
		return fmt.Errorf("database %s is a replica, which takes no writes: name the primary", database)
	case !rights:
		return fmt.Errorf("role %s may not create schemas in database %s: grant create on database %s to %s",
			role, database, pgx.Identifier{database}.Sanitize(), pgx.Identifier{role}.Sanitize())
	case !locks:
		return fmt.Errorf("role %s may not take advisory locks: grant execute on function pg_try_advisory_lock(bigint), pg_advisory_xact_lock(bigint) to %s",
			role, pgx.Identifier{role}.Sanitize())
	}
	return nil
}

// grant opens what is in schema read, and what will be, to the report role, where
// there is one: an operator's own database may have none.
func grant(ctx context.Context, tx pgx.Tx) error {
	var exists bool
	err := tx.QueryRow(ctx, "select exists (select from pg_roles where rolname = $1)", reportRole).Scan(&exists)
	if err != nil || !exists {
		return err
	}
	_, err = tx.Exec(ctx, strings.ReplaceAll(`grant usage on schema read to {role};
		grant select on all tables in schema read to {role};
		alter default privileges in schema read grant select on tables to {role}`, "{role}", reportRole))
	return err
}

// safe is an error of SQL without the statement.
func safe(err error) error {
	var sql *pgconn.PgError
	if errors.As(err, &sql) {
		return fmt.Errorf("%s (SQLSTATE %s)", sql.Message, sql.Code)
	}
	return err
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
