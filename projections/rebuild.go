package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"daybook.example/eventstore"
)

const (
	// swapLockMin is how long readers may have to queue behind a promotion that
	// itself waits for a query to end; longer, up to swapLockMax, where that is never
	// enough.
	swapLockMin  = 200 * time.Millisecond
	swapLockMax  = 2 * time.Second
	swapPatience = 30 * time.Second
	swapPause    = 250 * time.Millisecond
)

// Refusals of a Rebuilder.
var (
	ErrNotVerified = errors.New("the version is not verified")
	ErrBehind      = errors.New("the version is behind the one that is read")
	ErrInUse       = errors.New("the version is the one that is read; promote another first")
	ErrDepended    = errors.New("others depend on it")
	ErrBusy        = errors.New("queries over the views did not end in time; send the same again")
	ErrUnknown     = errors.New("there is no such read model")
)

// A Rebuilder makes versions of read models and puts one in another's place. It
// needs no projector in its process: what it decides is in the database, where
// the Supervisors of all processes find it.
type Rebuilder struct {
	pool   *pgxpool.Pool
	store  eventstore.Reader
	models []Projection
}

// NewRebuilder makes one for the read models whose code the program has.
func NewRebuilder(pool *pgxpool.Pool, store eventstore.Reader, models ...Projection) *Rebuilder {
	return &Rebuilder{pool, store, models}
}

// model is the code of a read model; ErrUnknown names those there are.
func (b *Rebuilder) model(name string) (Projection, error) {
	var names []string
	for _, p := range b.models {
		if p.Spec().Name == name {
			return p, nil
		}
		names = append(names, p.Spec().Name)
	}
	return nil, fmt.Errorf("%w as %q: there are %s", ErrUnknown, name, strings.Join(names, ", "))
}

// Start begins a new version with empty tables. One that is being built already
// is the answer again. With automatic it is promoted as soon as it is verified.
func (b *Rebuilder) Start(ctx context.Context, name string, automatic bool) (v Version, err error) {
	p, err := b.model(name)
	if err != nil {
		return v, err
	}
	head, err := b.store.Head(ctx)
	if err != nil {
		return v, err
	}
	err = b.change(ctx, name, func(tx pgx.Tx, versions []Version) error {
		if i := slices.IndexFunc(versions, func(v Version) bool { return v.Phase == Building && v.Code == p.Spec().Version }); i >= 0 {
			v = versions[i]
		} else if v, err = makeVersion(ctx, tx, p, versions[len(versions)-1].Version+1, versions[0].LogID, Building, head); err != nil {
			return err
		}
		v.Automatic = v.Automatic || automatic
		_, err := tx.Exec(ctx, "update daybook.projection_version set automatic = $3 where name = $1 and version = $2", v.Name, v.Version, v.Automatic)
		return err
	})
	return v, err
}

// PromoteOptions say which version is to be read, and on what condition.
type PromoteOptions struct {
	Version int // 0: the newest that is ready, or differs
	// Unverified takes one that differs from the active one, or could not be compared.
	Unverified bool
}

// A Promotion is what took whose place. Waived are the events that no version of
// the read model applies, since an operator has waived them.
type Promotion struct {
	Name     string
	From, To int
	Position Position // of the new one, when it came to be read
}

// Promote puts a version in the place of the active one, by other names of their
// views, in one short transaction. Readers wait for that moment at most; their
// answers never go back in time. The former one is kept, for Rollback.
func (b *Rebuilder) Promote(ctx context.Context, name string, o PromoteOptions) (Promotion, error) {
	return b.swap(ctx, name, func(versions []Version) (*Version, error) {
		wanted := func(v Version) bool { return v.Version == o.Version }
		if o.Version == 0 {
			wanted = func(v Version) bool { return v.Phase == Ready || v.Phase == Differs }
		}
		v := lastWith(versions, wanted)
		switch {
		case v == nil && o.Version == 0:
			return nil, fmt.Errorf("%s has no version that waits to be promoted: %w", name, ErrNotVerified)
		case v == nil:
			return nil, errNoVersion(name, o.Version)
		case v.Phase == Building:
			return nil, fmt.Errorf("version %d of %s is still being built: %w", v.Version, name, ErrNotVerified)
		case v.Phase == Differs && !o.Unverified:
			return nil, fmt.Errorf("version %d of %s: %s: %w", v.Version, name, v.Verified, ErrNotVerified)
		}
		return v, nil
	})
}

// promoteAutomatic promotes what is to be without anybody's asking.
func (b *Rebuilder) promoteAutomatic(ctx context.Context, v Version) (Promotion, error) {
	return b.swap(ctx, v.Name, func(versions []Version) (*Version, error) {
		if i := slices.IndexFunc(versions, func(now Version) bool { return now.Version == v.Version && now.Phase == Ready && now.Automatic }); i >= 0 {
			return &versions[i], nil
		}
		return nil, ErrNotVerified
	})
}

// Rollback puts the version that was active before back in its place.
func (b *Rebuilder) Rollback(ctx context.Context, name string) (Promotion, error) {
	return b.swap(ctx, name, func(versions []Version) (*Version, error) {
		if v := lastWith(versions, func(v Version) bool { return v.Phase == Kept }); v != nil {
			return v, nil
		}
		return nil, fmt.Errorf("%s keeps no version to go back to: %w", name, ErrNoVersion)
	})
}

// swap tries until queries let it through and the chosen version is not behind.
func (b *Rebuilder) swap(ctx context.Context, name string, choose func([]Version) (*Version, error)) (done Promotion, err error) {
	p, err := b.model(name)
	if err != nil {
		return done, err
	}
	wait := swapLockMin
	for end := time.Now().Add(swapPatience); ; sleep(ctx, swapPause) {
		err = b.change(ctx, name, func(tx pgx.Tx, versions []Version) error {
			chosen, err := choose(versions)
			if err == nil {
				done, err = swap(ctx, tx, p, activeOf(versions), chosen, wait)
			}
			return err
		})
		var sql *pgconn.PgError
		blocked := errors.As(err, &sql) && (sql.Code == "55P03" || sql.Code == "40P01")
		switch {
		case !blocked && !errors.Is(err, ErrBehind):
			return done, err
		case ctx.Err() != nil:
			return done, ctx.Err()
		case time.Now().Before(end):
			wait = min(2*wait, swapLockMax)
		case blocked:
			return done, ErrBusy
		default:
			return done, err
		}
	}
}

// swap changes which views have the names that are asked for. It holds both
// checkpoints meanwhile, so that neither moves.
func swap(ctx context.Context, tx pgx.Tx, p Projection, active, chosen *Version, wait time.Duration) (done Promotion, err error) {
	if active.Version == chosen.Version {
		return Promotion{chosen.Name, active.Version, chosen.Version, chosen.Checkpoint}, nil
	}
	if _, err = tx.Exec(ctx, fmt.Sprintf("set local lock_timeout = '%dms'", wait.Milliseconds())); err != nil {
		return done, err
	}
	was, err := heldCheckpoint(ctx, tx, *active)
	if err != nil {
		return done, err
	}
	now, err := heldCheckpoint(ctx, tx, *chosen)
	if err != nil {
		return done, err
	}
	if now.Less(was) {
		return done, fmt.Errorf("version %d of %s is at %s, version %d at %s: %w; does a process run that has its code?", chosen.Version, chosen.Name, now, active.Version, was, ErrBehind)
	}
	if err = park(ctx, tx, *active); err != nil {
		return done, err
	}
	if chosen.views != nil {
		err = unpark(ctx, tx, *chosen)
	} else {
		if code := p.Spec().Version; code != chosen.Code {
			return done, fmt.Errorf("version %d of %s was made by code of version %d, and this program has version %d: %w", chosen.Version, chosen.Name, chosen.Code, code, ErrNoVersion)
		}
		err = show(ctx, tx, versioned{p, chosen.Version}.Spec(), active)
	}
	if err != nil {
		return done, err
	}
	_, err = tx.Exec(ctx, `update daybook.projection_version set phase = case when version = $2 then 'active' else 'kept' end,
		promoted = case when version = $2 then clock_timestamp() else promoted end, automatic = false
		where name = $1 and version in ($2, $3)`, chosen.Name, chosen.Version, active.Version)
	return Promotion{chosen.Name, active.Version, chosen.Version, now}, err
}

func heldCheckpoint(ctx context.Context, tx pgx.Tx, v Version) (at Position, err error) {
	err = tx.QueryRow(ctx, "select commit_pos, prepare_pos from daybook.projection_checkpoint where name = $1 and version = $2 for update", v.Name, v.Version).
		Scan(&at.Commit, &at.Prepare)
	return at, err
}

// Drop takes away a version that is not read, with its tables: one that is kept,
// or one that is being built. It refuses while others' views depend on it.
func (b *Rebuilder) Drop(ctx context.Context, name string, version int) error {
	return b.change(ctx, name, func(tx pgx.Tx, versions []Version) error {
		v := lastWith(versions, func(v Version) bool { return v.Version == version })
		switch {
		case v == nil:
			return errNoVersion(name, version)
		case v.Phase == Active:
			return fmt.Errorf("version %d of %s: %w", version, name, ErrInUse)
		}
		spec := Spec{Name: name, Version: version}
		// Without its checkpoint a projector that is at work is fenced off.
		for _, table := range []string{"projection_checkpoint", "projection_version"} {
			if _, err := tx.Exec(ctx, "delete from daybook."+table+" where name = $1 and version = $2", name, version); err != nil {
				return err
			}
		}
		if err := dropObjects(ctx, tx, spec); err != nil {
			return err
		}
		return dropTables(ctx, tx, spec)
	})
}

// dropTables drops the tables all together, which refuses where others depend on
// them, and then what is left of the schema.
func dropTables(ctx context.Context, tx pgx.Tx, spec Spec) error {
	_, err := tx.Exec(ctx, `do $$ declare tables text; begin
		select string_agg(c.oid::regclass::text, ', ') into tables from pg_class c
			where c.relkind in ('r', 'p') and c.relnamespace = '`+spec.SchemaName()+`'::regnamespace;
		execute 'drop table ' || tables;
	end $$`)
	if err != nil {
		return fmt.Errorf("take away the tables of version %d: %w", spec.Version, dependents(err))
	}
	_, err = tx.Exec(ctx, "drop schema "+pgx.Identifier{spec.SchemaName()}.Sanitize()+" cascade")
	return err
}

// change runs work in a transaction of its own, while nobody else changes what
// versions there are.
func (b *Rebuilder) change(ctx context.Context, name string, work func(pgx.Tx, []Version) error) error {
	if _, err := b.model(name); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		if err := takeTurn(ctx, tx); err != nil {
			return err
		}
		versions, err := Versions(ctx, tx, name)
		if err == nil && activeOf(versions) == nil {
			err = fmt.Errorf("%s: %w", name, ErrNoVersion)
		}
		if err != nil {
			return err
		}
		return work(tx, versions)
	})
}
