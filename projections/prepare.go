package projections

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed daybook.sql
var daybookSQL string

// reportRole may read the views in schema read, and nothing else.
const reportRole = "daybook_report"

// prepareLock keeps two starting processes from making one schema twice.
const prepareLock = 0x6461_7962_6f6f_6b00

// Prepare makes the schemas and tables that the projections need and that are
// not there yet. A log_id other than that of the checkpoints is refused: their
// positions mean nothing on it.
func Prepare(ctx context.Context, pool *pgxpool.Pool, logID uuid.UUID, all ...Projection) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", int64(prepareLock)); err != nil {
			return fmt.Errorf("reach the database: %w", err)
		}
		if _, err := tx.Exec(ctx, daybookSQL); err != nil {
			return fmt.Errorf("make the schemas (the database role needs the right to create them): %w", err)
		}
		for _, p := range all {
			if err := prepare(ctx, tx, p.Spec(), logID); err != nil {
				return fmt.Errorf("projection %s: %w", p.Spec().Name, err)
			}
		}
		return grant(ctx, tx)
	})
}

func prepare(ctx context.Context, tx pgx.Tx, spec Spec, logID uuid.UUID) error {
	var knownLog uuid.UUID
	var tables, known string
	err := tx.QueryRow(ctx, "select log_id, schema_hash, views_hash from daybook.projection_checkpoint where name = $1 and version = $2",
		spec.Name, spec.Version).Scan(&knownLog, &tables, &known)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		if err := build(ctx, tx, spec, logID); err != nil {
			return err
		}
	case err != nil:
		return err
	case knownLog != logID:
		return fmt.Errorf("%w: the tables were built from log %s, this is log %s; give another database", ErrOtherLog, knownLog, logID)
	case tables != digest(spec.Schema+spec.Index):
		return fmt.Errorf("the tables of version %d have another shape here; a changed shape is a new version", spec.Version)
	}
	if known == digest(spec.views()) {
		return nil
	}
	if err := makeViews(ctx, tx, spec); err != nil {
		return fmt.Errorf("make the views: %w", err)
	}
	_, err = tx.Exec(ctx, "update daybook.projection_checkpoint set views_hash = $3 where name = $1 and version = $2", spec.Name, spec.Version, digest(spec.views()))
	return err
}

// labelSQL is in every read model: which position a time stands for.
const labelSQL = `create table label_position (label timestamptz primary key, position bigint not null, prepare bigint not null);`

func build(ctx context.Context, tx pgx.Tx, spec Spec, logID uuid.UUID) error {
	schema := pgx.Identifier{spec.SchemaName()}.Sanitize()
	for _, sql := range []string{
		"create schema " + schema,
		"set local search_path to " + schema + ", public",
		labelSQL, spec.Schema, spec.Index,
		"set local search_path to default",
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("make the tables: %w", err)
		}
	}
	_, err := tx.Exec(ctx, "insert into daybook.projection_checkpoint (name, version, log_id, schema_hash) values ($1, $2, $3, $4)",
		spec.Name, spec.Version, logID, digest(spec.Schema+spec.Index))
	return err
}

func makeViews(ctx context.Context, tx pgx.Tx, spec Spec) error {
	schema := pgx.Identifier{spec.SchemaName()}.Sanitize()
	for _, sql := range []string{"set local search_path to " + schema + ", public", spec.views(), "set local search_path to default"} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// grant lets the report role read the stable views, where there is such a role.
func grant(ctx context.Context, tx pgx.Tx) error {
	var exists bool
	if err := tx.QueryRow(ctx, "select exists (select from pg_roles where rolname = $1)", reportRole).Scan(&exists); err != nil || !exists {
		return err
	}
	_, err := tx.Exec(ctx, "grant usage on schema read to "+reportRole+"; grant select on all tables in schema read to "+reportRole)
	return err
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
