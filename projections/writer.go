package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// analyseMin is how many new events are worth an analysis.
const analyseMin = 1000

// ErrHeld says that another process owns the projection.
var ErrHeld = errors.New("another process owns the projection")

// A Writer is the owner of one version of a read model: it commits batches, each
// exactly once, until it is fenced off or its connection is lost. It is for one
// goroutine.
type Writer struct {
	projection Projection
	spec       Spec
	conn       *pgx.Conn // its own: the lock lives as long as it
	pooled     bool      // a pooler stands between, and gives each transaction another server
	at         Checkpoint
	analysed   int64  // events at the last analysis
	took       timing // of the last batch
}

// Ownership says how a Writer keeps others away.
type Ownership struct {
	Owner string // who, for people to read
	// Unlocked leaves out the advisory lock, which means nothing behind a pooler of
	// transactions. It is for liveness only: the epoch keeps the tables right.
	Unlocked bool
}

// Claim takes over a projection that Prepare has seen, or says ErrHeld.
func Claim(ctx context.Context, pool *pgxpool.Pool, p Projection, o Ownership) (*Writer, error) {
	pooled, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("reach the database: %w", err)
	}
	w := &Writer{projection: p, spec: p.Spec(), conn: pooled.Hijack(), pooled: o.Unlocked}
	if !w.pooled {
		err = w.lock(ctx)
	}
	if err == nil {
		w.at, err = claim(ctx, w.conn, w.spec, o.Owner)
		w.analysed = w.at.Events
	}
	if err == nil && !w.pooled {
		err = w.own(ctx) // last, for the claim is to be durable
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// lock takes the advisory lock. Neither a host that dies without a word nor a
// process that is killed in the middle of a statement must keep it for longer
// than some seconds.
func (w *Writer) lock(ctx context.Context) error {
	for _, set := range []string{
		"set tcp_keepalives_idle = 5; set tcp_keepalives_interval = 2; set tcp_keepalives_count = 3",
		"set tcp_user_timeout = 11000", // what was sent and never acknowledged; not every system has it
		"set client_connection_check_interval = 2000",
	} {
		if _, err := w.conn.Exec(ctx, set); err != nil && !errors.As(err, new(*pgconn.PgError)) {
			return err
		}
	}
	var got bool
	err := w.conn.QueryRow(ctx, "select pg_try_advisory_lock(hashtextextended($1, 0))", w.spec.SchemaName()).Scan(&got)
	if err == nil && !got {
		return ErrHeld
	}
	return err
}

// Close gives the projection up.
func (w *Writer) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	// The lock goes with the connection, but only when the server has noticed; a
	// successor need not wait for that.
	_, _ = w.conn.Exec(ctx, "select pg_advisory_unlock_all()")
	_ = w.conn.Close(ctx)
}

// Checkpoint is what is committed.
func (w *Writer) Checkpoint() Checkpoint { return w.at }

// Apply commits the events of a stretch of the log that ends at to, and the
// checkpoint with them. What is committed already is left out, so a stretch may
// come again, whole or in part. After an error nothing of it is committed; only
// if the connection broke during the commit that is not known, and the next
// owner's checkpoint tells.
func (w *Writer) Apply(ctx context.Context, events []Event, to Position) error {
	if !w.at.Position.Less(to) {
		return nil
	}
	events = labelled(w.unseen(events), w.at.Label)
	next := w.at.after(events, to)
	if err := w.transact(ctx, next, events, w.spec.durability(events), func(tx pgx.Tx) error { return w.hand(ctx, tx, events) }); err != nil {
		return err
	}
	w.at = next
	w.analyse(ctx)
	return nil
}

// analyse tells the planner about tables that have grown to four times of what it
// knows of: until autovacuum comes by it would take them for empty, and a report
// over an import would take minutes.
func (w *Writer) analyse(ctx context.Context) {
	if w.at.Events >= w.analysed+analyseMin && w.at.Events >= 2*w.analysed {
		w.analyseNow(ctx, roughly)
	}
}

// What the planner is told: the target of Postgres' statistics. A tenth of the
// usual sample will do while tables grow: all of it took as long as filling them.
const (
	roughly = 10
	fully   = 100
)

func (w *Writer) analyseNow(ctx context.Context, target int) {
	w.analysed = w.at.Events
	// Nothing hangs on it; a lost connection shows at the next batch.
	_, _ = w.conn.Exec(ctx, fmt.Sprintf(`do $$ declare t regclass; begin
		perform set_config('default_statistics_target', '%d', true);
		for t in select c.oid from pg_class c where c.relkind = 'r' and c.relnamespace = '%s'::regnamespace loop
			execute format('analyze %%s', t);
		end loop;
	end $$`, target, w.spec.SchemaName()))
}

func (w *Writer) unseen(events []Event) []Event {
	seen := func(e Event) bool { return w.at.Position.Less(e.Position) }
	if i := slices.IndexFunc(events, seen); i >= 0 {
		return events[i:]
	}
	return nil
}

// durability is what a transaction waits for at its commit.
type durability string

const (
	// lossy does not wait for the disk. Rows and checkpoint are one transaction: a
	// crash of the database loses both, and the log gives them again.
	lossy   durability = "off"
	durable durability = "on"
)

// durability of a batch: what is done outside is not lost with the rows.
func (s Spec) durability(events []Event) durability {
	if s.Outside && slices.ContainsFunc(events, func(e Event) bool { return s.Takes(e.Type) }) {
		return durable
	}
	return lossy
}

// transact runs work in a transaction that begins with the move of the checkpoint
// to next and ends with its commit. The checkpoint in w stays as it was.
func (w *Writer) transact(ctx context.Context, next Checkpoint, events []Event, how durability, work func(pgx.Tx) error) error {
	t := &transaction{ctx: ctx, conn: w.conn, head: func(queue *pgx.Batch) {
		if how != lossy || w.pooled {
			queue.Queue("set local synchronous_commit = " + string(how))
		}
		queueMove(queue, w.spec, w.at, next)
		queueLabels(queue, w.spec, events)
	}}
	began := time.Now()
	err := w.first(ctx, t)
	if err == nil {
		err = work(t)
	}
	worked := time.Now()
	if err == nil {
		err = t.Commit(ctx)
	}
	if err != nil {
		t.abandon(ctx)
		return err
	}
	w.took = timing{apply: worked.Sub(began), commit: time.Since(worked)}
	return nil
}

// timing says what a batch's time went into.
type timing struct{ apply, commit time.Duration }

// own makes the settings of the transactions those of the connection: so each is
// two statements shorter. A projection looks its rows up by their keys: one plan
// does for every batch, which need not wait for the making of its own.
func (w *Writer) own(ctx context.Context) error {
	_, err := w.conn.Exec(ctx, "set synchronous_commit = "+string(lossy)+"; set search_path = "+w.schema()+
		"; set plan_cache_mode = force_generic_plan; set enable_seqscan = off")
	return err
}

// first begins a transaction whose work must not begin before it: what is done
// outside is only for the owner to do, and behind a pooler, where no setting
// outlives a transaction, statements are only understood after its settings.
func (w *Writer) first(ctx context.Context, t *transaction) error {
	if !w.spec.Outside && !w.pooled {
		return nil
	}
	if err := t.begin(ctx); err != nil || !w.pooled {
		return err
	}
	_, err := t.Tx.Exec(ctx, "set local search_path = "+w.schema())
	return err
}

func (w *Writer) schema() string { return pgx.Identifier{w.spec.SchemaName()}.Sanitize() }

// hand gives the projection the events that it takes. One of a type that it
// lists, but that cannot be decoded, is never guessed at.
func (w *Writer) hand(ctx context.Context, tx pgx.Tx, events []Event) error {
	taken := make([]Event, 0, len(events))
	for _, event := range events {
		if !w.spec.Takes(event.Type) {
			continue
		}
		if w.spec.Events != nil && event.Err != nil {
			return undecodable{event.Err}
		}
		taken = append(taken, event)
	}
	if len(taken) == 0 {
		return nil
	}
	return guard(func() error { return w.projection.Apply(ctx, tx, taken) })
}
