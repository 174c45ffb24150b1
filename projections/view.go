package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// An object is a view or a function that others read.
type object struct{ Type, Identity string }

// show makes the views over a version's tables, the ones that others read, and
// opens them to whom those of the version before were open.
func show(ctx context.Context, tx pgx.Tx, spec Spec, before *Version) error {
	others, err := objects(ctx, tx)
	if err != nil {
		return err
	}
	for _, statements := range []string{"set local search_path = " + pgx.Identifier{spec.SchemaName()}.Sanitize(), spec.views()} {
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
		queue.Queue("insert into daybook.projection_object (name, version, number, type, identity) values ($1, $2, $3, $4, $5)", spec.Name, spec.Version, i, o.Type, o.Identity)
	}
	queue.Queue("update daybook.projection_version set views = $3 where name = $1 and version = $2", spec.Name, spec.Version, hash(spec.views()))
	if before != nil {
		queue.Queue(grantAgain, before.Name, before.Version)
	}
	return tx.SendBatch(ctx, queue).Close()
}

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

// grantAgain gives each view the rights that others had on the one whose place it
// takes, which has its name with the version behind it.
const grantAgain = `with former as (
		select c.relnamespace, left(c.relname, length(c.relname) - length('__v' || $2::int::text)) as name, r.grantee, r.privilege_type, r.is_grantable
		from daybook.projection_object o join pg_class c on c.oid = to_regclass(o.identity) cross join lateral aclexplode(c.relacl) r
		where o.name = $1 and o.version = $2 and o.type in ('view', 'materialized view') and r.grantee <> c.relowner
	)
	select daybook.run(format('grant %s on %s to %s%s', f.privilege_type, c.oid::regclass,
		case f.grantee when 0 then 'public' else f.grantee::regrole::text end, case when f.is_grantable then ' with grant option' else '' end))
	from former f join pg_class c on c.relnamespace = f.relnamespace and c.relname = f.name`

// park gives the objects of a version names that nobody asks for; what others
// made of them follows.
func park(ctx context.Context, tx pgx.Tx, v Version) error { return rename(ctx, tx, v, "", v.parked()) }

// unpark gives them back the names that everybody asks for.
func unpark(ctx context.Context, tx pgx.Tx, v Version) error {
	return rename(ctx, tx, v, v.parked(), "")
}

func (v Version) parked() string { return fmt.Sprintf("__v%d", v.Version) }

func rename(ctx context.Context, tx pgx.Tx, v Version, was, becomes string) error {
	_, err := tx.Exec(ctx, "select daybook.rename_objects($1, $2, $3, $4)", v.Name, v.Version, was, becomes)
	return err
}

// dropObjects drops a version's views, the last made first. It refuses while
// somebody else's depend on them, which it must not destroy.
func dropObjects(ctx context.Context, tx pgx.Tx, spec Spec) error {
	rows, err := tx.Query(ctx, "select type, identity from daybook.projection_object where name = $1 and version = $2 order by number desc", spec.Name, spec.Version)
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
	_, err = tx.Exec(ctx, "delete from daybook.projection_object where name = $1 and version = $2", spec.Name, spec.Version)
	return err
}

// dependents names what stands in the way of a drop.
func dependents(err error) error {
	var sql *pgconn.PgError
	if errors.As(err, &sql) && sql.Detail != "" {
		return fmt.Errorf("%w: %s", ErrDepended, sql.Detail)
	}
	return err
}
