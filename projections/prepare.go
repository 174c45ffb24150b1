package projections

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
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

// prepareLock keeps two starting processes from making one schema twice.
const prepareLock = 0x6461_7962_6f6f_6b00

// versionMin is the oldest server that all SQL was tried on.
const versionMin = 15

// Prepare makes what the projections need in a database and is not there yet:
// schemas, the tables of each version, the views that others read. It refuses a
// database without the rights for it, or that was projected from another log.
// All or nothing is made.
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
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", int64(prepareLock)); err != nil {
			return fmt.Errorf("wait for another process that prepares the database: %w", safe(err))
		}
		if _, err := tx.Exec(ctx, daybookSQL); err != nil {
			return fmt.Errorf("make the schemas of Daybook: %w", safe(err))
		}
		if err := grant(ctx, tx); err != nil {
			return fmt.Errorf("open schema read to %s: %w", reportRole, safe(err))
		}
		for _, p := range all {
			if err := install(ctx, tx, p.Spec(), logID); err != nil {
				return fmt.Errorf("projection %s: %w", p.Spec().Name, err)
			}
		}
		return nil
	})
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

// install makes a version's tables and views, or sees that they are the ones that
// the Spec asks for.
func install(ctx context.Context, tx pgx.Tx, spec Spec, logID uuid.UUID) error {
	var log uuid.UUID
	var tables string
	var views *string
	err := tx.QueryRow(ctx, `select log_id, tables, views from daybook.projection_checkpoint join daybook.projection_version using (name, version)
		where name = $1 and version = $2`, spec.Name, spec.Version).Scan(&log, &tables, &views)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		if err := makeTables(ctx, tx, spec, logID); err != nil {
			return fmt.Errorf("make the tables of version %d: %w", spec.Version, safe(err))
		}
	case err != nil:
		return err
	case log != logID:
		return fmt.Errorf("%w: its tables come from log %s, and this is log %s; name another database", ErrOtherLog, log, logID)
	case tables != hash(spec.tables()):
		return fmt.Errorf("the tables of version %d in the database were made by other SQL than this program's; other tables are another version", spec.Version)
	}
	if views != nil && *views == hash(spec.views()) {
		return nil
	}
	return activate(ctx, tx, spec)
}

func makeTables(ctx context.Context, tx pgx.Tx, spec Spec, logID uuid.UUID) error {
	schema := pgx.Identifier{spec.SchemaName()}.Sanitize()
	for _, statements := range []string{"create schema " + schema + "; set local search_path = " + schema, createLabels, spec.Schema, spec.Index} {
		if _, err := tx.Exec(ctx, statements); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, "insert into daybook.projection_version (name, version, tables) values ($1, $2, $3)",
		spec.Name, spec.Version, hash(spec.tables())); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "insert into daybook.projection_checkpoint (name, version, log_id) values ($1, $2, $3)", spec.Name, spec.Version, logID)
	return err
}

// activate makes the views over this version's tables the ones that others read,
// in place of those of the version before.
func activate(ctx context.Context, tx pgx.Tx, spec Spec) error {
	if err := dropObjects(ctx, tx, spec.Name); err != nil {
		return err
	}
	others, err := objects(ctx, tx)
	if err != nil {
		return err
	}
	schema := pgx.Identifier{spec.SchemaName()}.Sanitize()
	for _, statements := range []string{"set local search_path = " + schema, spec.views()} {
		if _, err := tx.Exec(ctx, statements); err != nil {
			return fmt.Errorf("make the views: %w", safe(err))
		}
	}
	all, err := objects(ctx, tx)
	if err != nil {
		return err
	}
	queue := &pgx.Batch{}
	for i, o := range slices.DeleteFunc(all, func(o object) bool { return slices.Contains(others, o) }) {
		queue.Queue("insert into daybook.projection_object (name, number, type, identity) values ($1, $2, $3, $4)", spec.Name, i, o.Type, o.Identity)
	}
	queue.Queue("update daybook.projection_version set views = case when version = $2 then $3::text end where name = $1",
		spec.Name, spec.Version, hash(spec.views()))
	return tx.SendBatch(ctx, queue).Close()
}

// An object is a view or a function that others read.
type object struct{ Type, Identity string }

// objects are those there are, in the order of their making.
func objects(ctx context.Context, tx pgx.Tx) ([]object, error) {
	rows, err := tx.Query(ctx, `select id.type, id.identity from (
			select 'pg_class'::regclass::oid as class, oid from pg_class
			where relnamespace in ('read'::regnamespace, 'api'::regnamespace) and relkind in ('v', 'm')
			union all
			select 'pg_proc'::regclass::oid, oid from pg_proc
			where pronamespace in ('read'::regnamespace, 'api'::regnamespace)
		) made cross join lateral pg_identify_object(made.class, made.oid, 0) id order by made.oid`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[object])
}

// dropObjects drops a projection's views, the last made first. It refuses while
// somebody else's depend on them, which it must not destroy.
func dropObjects(ctx context.Context, tx pgx.Tx, name string) error {
	rows, err := tx.Query(ctx, "select type, identity from daybook.projection_object where name = $1 order by number desc", name)
	if err != nil {
		return err
	}
	made, err := pgx.CollectRows(rows, pgx.RowToStructByPos[object])
	if err != nil {
		return err
	}
	for _, o := range made {
		if _, err := tx.Exec(ctx, "drop "+o.Type+" if exists "+o.Identity); err != nil {
			return fmt.Errorf("take away the former %s %s: drop what depends on it, and make that again afterwards: %w", o.Type, o.Identity, dependents(err))
		}
	}
	_, err = tx.Exec(ctx, "delete from daybook.projection_object where name = $1", name)
	return err
}

// dependents names what stands in the way of a drop.
func dependents(err error) error {
	var sql *pgconn.PgError
	if errors.As(err, &sql) && sql.Detail != "" {
		return errors.New(sql.Detail)
	}
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
