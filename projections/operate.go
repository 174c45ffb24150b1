package projections

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"daybook.example/domain"
)

const (
	fenceWithin     = 2 * time.Second // an owner that hangs in a transaction keeps its row
	terminateWithin = 5 * time.Second
)

// A Standing is where a projection is and who is there for it, in whichever
// process.
type Standing struct {
	Name     string   `json:"name"`
	Version  int      `json:"version"`
	State    string   `json:"state" doc:"As recorded: new, running, halted or paused."`
	Position Position `json:"position" doc:"What is committed."`
	Owner    string   `json:"owner,omitempty" doc:"The process that applies events: its host and number."`
	Standby  []string `json:"standby" doc:"The processes that wait to take over."`
}

// Stand looks at a projection: at the version that is read, or at the one given.
// One that nobody has made is refused with the names of those there are.
func Stand(ctx context.Context, pool *pgxpool.Pool, name string, version int) (s Standing, err error) {
	err = pool.QueryRow(ctx, `select name, version, state, commit_pos, prepare_pos,
			coalesce((select process from daybook.projection_session s where s.name = c.name and s.version = c.version and s.owner limit 1), ''),
			array(select process from daybook.projection_session s where s.name = c.name and s.version = c.version and not s.owner order by process)
		from daybook.projection_checkpoint c join daybook.projection_version v using (name, version)
		where name = $1 and (version = $2 or $2 = 0 and v.phase in ('active', 'outside'))`, name, version).
		Scan(&s.Name, &s.Version, &s.State, &s.Position.Commit, &s.Position.Prepare, &s.Owner, &s.Standby)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, unheardOf(ctx, pool, version)
	}
	if err != nil {
		return s, fmt.Errorf("look at the projection: %w", safe(err))
	}
	return s, nil
}

// unheardOf refuses a name, or one with a version, and says which there are.
func unheardOf(ctx context.Context, pool *pgxpool.Pool, version int) error {
	rows, err := pool.Query(ctx, "select name, version from daybook.projection_checkpoint order by name, version")
	if err != nil {
		return err
	}
	var there []string
	var n string
	var v int
	_, err = pgx.ForEachRow(rows, []any{&n, &v}, func() error {
		there = append(there, fmt.Sprintf("%s (version %d)", n, v))
		return nil
	})
	if err != nil {
		return err
	}
	what := "there is no such projection"
	if version != 0 {
		what = fmt.Sprintf("there is no version %d of this projection", version)
	}
	return &domain.Error{Kind: domain.NotFound, Code: "projection-unknown", Message: what + "; there are: " + strings.Join(there, ", ")}
}

// Pause lets a projection stand still, in whichever process it runs: when it
// returns, the batch under way is committed and nothing more will be, across
// restarts, until Resume. The epoch fences the owner off.
func Pause(ctx context.Context, pool *pgxpool.Pool, at Standing, by string) (Standing, error) {
	_, err := pool.Exec(ctx, `update daybook.projection_checkpoint
		set state = 'paused', paused_by = $3, paused_at = clock_timestamp(), epoch = epoch + 1
		where name = $1 and version = $2 and state <> 'paused'`, at.Name, at.Version, by)
	if err != nil {
		return at, fmt.Errorf("pause the projection: %w", safe(err))
	}
	return Stand(ctx, pool, at.Name, at.Version)
}

// Resume lets a paused projection go on. One that was halted is halted again
// until somebody tries its event once more.
func Resume(ctx context.Context, pool *pgxpool.Pool, at Standing) (Standing, error) {
	_, err := pool.Exec(ctx, `update daybook.projection_checkpoint
		set state = case when failure is null then 'running' else 'halted' end, paused_by = null, paused_at = null
		where name = $1 and version = $2 and state = 'paused'`, at.Name, at.Version)
	if err != nil {
		return at, fmt.Errorf("resume the projection: %w", safe(err))
	}
	return Stand(ctx, pool, at.Name, at.Version)
}

// Takeover takes a projection from its owner, so that another process gets it;
// where none stands by, the same one comes back after some seconds. It loses
// nothing: what the owner has not committed is applied again.
func Takeover(ctx context.Context, pool *pgxpool.Pool, at Standing) error {
	if at.Owner == "" {
		return &domain.Error{Kind: domain.Conflict, Code: "projection-unowned",
			Message: fmt.Sprintf("no process owns %s, which is %s: there is nothing to take over", at.Name, at.State)}
	}
	fence := func() error { return fenceOff(ctx, pool, at) }
	err := fence()
	hangs := lockTimeout(err)
	if err != nil && !hangs {
		return err
	}
	_, err = pool.Exec(ctx, `select pg_terminate_backend(pid, $4) from daybook.projection_session
		where name = $1 and version = $2 and owner and process = $3`, at.Name, at.Version, at.Owner, terminateWithin.Milliseconds())
	if err != nil {
		return fmt.Errorf("end the owner's connection: %w", safe(err))
	}
	if hangs { // its end has given the row back
		return fence()
	}
	return nil
}

// fenceOff ends the epoch of an owner, unless another one has come since.
func fenceOff(ctx context.Context, pool *pgxpool.Pool, at Standing) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, fmt.Sprintf("set local lock_timeout = %d", fenceWithin.Milliseconds()))
		if err == nil {
			_, err = tx.Exec(ctx, "update daybook.projection_checkpoint set epoch = epoch + 1 where name = $1 and version = $2 and owner = $3",
				at.Name, at.Version, at.Owner)
		}
		return err
	})
}

func lockTimeout(err error) bool {
	var sql *pgconn.PgError
	return errors.As(err, &sql) && sql.Code == "55P03"
}

// HaltedAt is the event that a projection is halted at, zero for none.
func HaltedAt(ctx context.Context, pool *pgxpool.Pool, name string) (event uuid.UUID, err error) {
	at, err := Stand(ctx, pool, name, 0)
	if err != nil {
		return uuid.Nil, err
	}
	var failed *uuid.UUID
	err = pool.QueryRow(ctx, "select (failure->>'event_id')::uuid from daybook.projection_checkpoint where name = $1 and version = $2",
		at.Name, at.Version).Scan(&failed)
	if err != nil {
		return uuid.Nil, fmt.Errorf("look at the projection's failure: %w", safe(err))
	}
	if failed == nil {
		return uuid.Nil, nil
	}
	return *failed, nil
}
