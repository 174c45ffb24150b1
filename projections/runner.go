package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"daybook.example/domain"
	"daybook.example/domain/catalog"
	"daybook.example/eventstore"
	"daybook.example/eventstore/subscription"
)

const (
	batchTimeout = 60 * time.Second // of one batch, its commit included
	closeTimeout = 65 * time.Second // longer, so that a batch under way ends by itself
	standbyEvery = time.Second
	backoffMin   = 100 * time.Millisecond
	backoffMax   = 10 * time.Second
	headEvery    = 2 * time.Second
)

// Options are what all runners of a process share.
type Options struct {
	Pool   *pgxpool.Pool
	Store  *eventstore.Client
	LogID  uuid.UUID
	Logger *slog.Logger
	// Waived reports whether an operator has put on record that a projection may
	// pass an event that it cannot apply; nil: never.
	Waived func(ctx context.Context, projection string, event uuid.UUID) (bool, error)
	// Metrics may be nil.
	Metrics *Metrics
}

// A State is where a runner stands.
type State string

// The states of a runner.
const (
	Starting State = "starting"
	Standby  State = "standby" // another process owns the projection
	Running  State = "running"
	Retrying State = "retrying"
	Halted   State = "halted" // an event cannot be applied; see the failure
	Stopped  State = "stopped"
)

// Status is what a runner says of itself.
type Status struct {
	Name     string
	Version  int
	State    State
	Position eventstore.Position
	Failure  *Failure
}

// A Runner owns one projection: it applies every event once, in order.
type Runner struct {
	Options
	projection Projection
	owner      string

	mu      sync.Mutex
	status  Status
	changed chan struct{} // closed and replaced at every commit and change of state

	at checkpoint // of the run under way; its one handler alone touches it
}

// NewRunner makes the runner of a projection that Prepare has seen.
func NewRunner(o Options, p Projection) *Runner {
	host, _ := os.Hostname()
	spec := p.Spec()
	return &Runner{
		Options: o, projection: p, owner: fmt.Sprintf("%s/%d/%s", host, os.Getpid(), uuid.NewString()[:8]),
		status:  Status{Name: spec.Name, Version: spec.Version, State: Starting},
		changed: make(chan struct{}),
	}
}

// Status returns the present state.
func (r *Runner) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// Changed is closed at the next commit or change of state.
func (r *Runner) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

func (r *Runner) report(change func(*Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.status)
	close(r.changed)
	r.changed = make(chan struct{})
	r.Metrics.state(r.status)
}

// Run applies events until ctx ends. Lost connections and takeovers are taken in
// its stride; an event that cannot be applied halts it until ctx ends.
func (r *Runner) Run(ctx context.Context) error {
	defer r.report(func(s *Status) { s.State = Stopped })
	backoff := backoffMin
	for ctx.Err() == nil {
		started := time.Now()
		err := r.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var stop poison
		if errors.As(err, &stop) {
			r.halt(ctx, stop.Failure)
			return nil
		}
		if errors.Is(err, ErrOtherLog) {
			r.report(func(s *Status) { s.State = Halted })
			return err
		}
		if time.Since(started) > backoffMax {
			backoff = backoffMin
		}
		r.Logger.Warn("the projection begins again", "projection", r.projection.Spec().Name, "error", err, "in", backoff)
		r.report(func(s *Status) { s.State = Retrying })
		r.Metrics.retried(r.projection.Spec().Name)
		sleep(ctx, backoff)
		backoff = min(2*backoff, backoffMax)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// halt writes down why and waits for somebody to act.
func (r *Runner) halt(ctx context.Context, f Failure) {
	spec := r.projection.Spec()
	r.Logger.Error("a projection is halted: mend the cause and start again, nothing was skipped", "projection", spec.Name, "event", f.EventID, "stream", f.Stream, "revision", f.Revision, "code", f.Code)
	r.report(func(s *Status) { s.State, s.Failure = Halted, &f })
	content, err := json.Marshal(f)
	if err == nil {
		_, err = r.Pool.Exec(ctx, "update daybook.projection_checkpoint set state = 'halted', failure = $3 where name = $1 and version = $2", spec.Name, spec.Version, content)
	}
	if err != nil {
		r.Logger.Warn("the halt could not be written down", "projection", spec.Name, "error", err)
	}
	<-ctx.Done()
}

// once owns the projection and applies events until something ends that.
func (r *Runner) once(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conn, err := r.lock(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	defer unlock(conn, r.projection.Spec())
	if r.at, err = own(ctx, conn.Conn(), r.projection.Spec(), r.owner); err != nil {
		return err
	}
	if err := r.at.verify(ctx, r.Store.Reader); err != nil {
		return err
	}
	r.report(func(s *Status) { s.State, s.Position = Running, r.at.at })
	return r.route(ctx, cancel, conn.Conn())
}

// lock holds the projection's advisory lock on a connection of its own, waiting
// for it while another process is the owner. It is for liveness only: safety is
// in the checkpoint row.
func (r *Runner) lock(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := r.Pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	for {
		var got bool
		err := conn.QueryRow(ctx, "select pg_try_advisory_lock(hashtextextended($1, 0))", r.projection.Spec().SchemaName()).Scan(&got)
		if err != nil {
			conn.Release()
			return nil, err
		}
		if got {
			return conn, nil
		}
		r.report(func(s *Status) { s.State = Standby })
		sleep(ctx, standbyEvery)
		if ctx.Err() != nil {
			conn.Release()
			return nil, ctx.Err()
		}
	}
}

func unlock(conn *pgxpool.Conn, spec Spec) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := conn.Exec(ctx, "select pg_advisory_unlock(hashtextextended($1, 0))", spec.SchemaName()); err != nil {
		_ = conn.Conn().Close(ctx) // the lock goes with the connection
	}
}

// route runs one Watermill router with one handler over one subscription. A
// handler never closes its router: it names the cause, and the context ends both.
func (r *Runner) route(ctx context.Context, cancel context.CancelCauseFunc, conn *pgx.Conn) error {
	logger := watermill.NewSlogLogger(r.Logger)
	subscriber, err := subscription.New(subscription.Config{
		Client: r.Store, Logger: r.Logger, Decode: decode,
		From: func(context.Context) (eventstore.Position, error) { return r.Status().Position, nil },
	})
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: closeTimeout}, logger)
	if err != nil {
		return err
	}
	router.AddConsumerHandler(r.projection.Spec().Name, "$all", subscriber, func(m *message.Message) error {
		batch, ok := subscription.BatchFrom(m)
		if !ok {
			return errors.New("a message without its batch")
		}
		err := r.handle(context.WithoutCancel(m.Context()), conn, batch)
		if err != nil && !errors.Is(err, errDuplicate) {
			cancel(err)
			return err
		}
		return nil
	})
	ran := router.Run(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return ran
}

// decode looks an event up in the catalog of all aggregates. A type that nobody
// lists is domain.ErrUnknownType.
func decode(event eventstore.Recorded) (any, error) {
	var meta struct {
		SchemaVersion int `json:"schema_version"`
	}
	if err := json.Unmarshal(event.Metadata, &meta); err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	return catalog.Decode(event.Type, meta.SchemaVersion, event.Data)
}

// handle commits one batch: the rows and the checkpoint, or neither.
func (r *Runner) handle(ctx context.Context, conn *pgx.Conn, batch *subscription.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	if !r.at.at.Less(batch.To) {
		return errDuplicate
	}
	events := r.events(batch)
	started := time.Now()
	next := r.at.after(events, batch.To)
	err := r.commit(ctx, conn, next, func(tx pgx.Tx) error { return applyListed(ctx, r.projection, tx, events) }, events)
	switch {
	case err == nil:
		r.at = next
	case transient(err) || errors.Is(err, ErrFenced):
		return err
	default:
		if err := r.isolate(ctx, conn, events); err != nil {
			return err
		}
	}
	r.report(func(s *Status) { s.State, s.Position = Running, r.at.at })
	r.Metrics.applied(r.projection.Spec().Name, len(events), time.Since(started), r.at, batch.Head)
	return nil
}

// events are those of the batch that are not applied yet, with their labels.
func (r *Runner) events(batch *subscription.Batch) []Event {
	events := make([]Event, 0, len(batch.Events))
	label := r.at.label
	for i, recorded := range batch.Events {
		if !r.at.at.Less(recorded.Position) {
			continue
		}
		event := Event{Recorded: recorded, Err: batch.Errs[i]}
		event.Decoded, _ = batch.Decoded[i].(domain.Named)
		if err := json.Unmarshal(recorded.Metadata, &event.Meta); err != nil {
			event.Meta = domain.Metadata{}
		}
		if event.Meta.RecordedAt.After(label) {
			label = event.Meta.RecordedAt
		}
		event.Label = label
		events = append(events, event)
	}
	return events
}

// commit runs apply in a transaction that begins with the checkpoint.
func (r *Runner) commit(ctx context.Context, conn *pgx.Conn, next checkpoint, apply func(pgx.Tx) error, events []Event) error {
	spec := r.projection.Spec()
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := advance(ctx, tx, spec, r.at, next); err != nil {
			return err
		}
		// Rows and checkpoint are one transaction: a crash loses both, and the
		// log gives them again.
		if _, err := tx.Exec(ctx, "set local synchronous_commit = off; set local search_path to "+pgx.Identifier{spec.SchemaName()}.Sanitize()+", public"); err != nil {
			return err
		}
		if err := label(ctx, tx, events); err != nil {
			return err
		}
		return apply(tx)
	})
}

// label notes which position a time stands for: for each label the last one.
func label(ctx context.Context, tx pgx.Tx, events []Event) error {
	var labels []time.Time
	var commits, prepares []int64
	for _, event := range events {
		if event.Label.IsZero() {
			continue
		}
		if n := len(labels); n > 0 && labels[n-1].Equal(event.Label) {
			commits[n-1], prepares[n-1] = int64(event.Position.Commit), int64(event.Position.Prepare)
			continue
		}
		labels = append(labels, event.Label)
		commits, prepares = append(commits, int64(event.Position.Commit)), append(prepares, int64(event.Position.Prepare))
	}
	if len(labels) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `insert into label_position (label, position, prepare) select * from unnest($1::timestamptz[], $2::bigint[], $3::bigint[])
		on conflict (label) do update set position = excluded.position, prepare = excluded.prepare`, labels, commits, prepares)
	return err
}

// isolate applies what comes before the event that fails, commits that, and
// names the culprit; one that is waived is passed instead.
func (r *Runner) isolate(ctx context.Context, conn *pgx.Conn, events []Event) error {
	for len(events) > 0 {
		good, culprit, err := r.prefix(ctx, conn, events)
		if err != nil {
			return err
		}
		if culprit == nil {
			return nil
		}
		events = events[good:]
		waived, err := r.waived(ctx, events[0])
		if err != nil {
			return err
		}
		if !waived {
			return culprit
		}
		next := r.at.after(events[:1], events[0].Position)
		if err := r.commit(ctx, conn, next, func(pgx.Tx) error { return nil }, events[:1]); err != nil {
			return err
		}
		r.at, events = next, events[1:]
	}
	return nil
}

// prefix commits the events before the first that fails.
func (r *Runner) prefix(ctx context.Context, conn *pgx.Conn, events []Event) (good int, culprit, err error) {
	// The number of good events is known only behind the checkpoint statement:
	// a first transaction finds it and is given up, a second one applies them.
	giveUp := errors.New("only looking")
	err = r.commit(ctx, conn, r.at.after(events, events[len(events)-1].Position), func(tx pgx.Tx) error {
		var failed error
		good, culprit, failed = bisect(ctx, r.projection, tx, events)
		if failed != nil {
			return failed
		}
		return giveUp
	}, events)
	if !errors.Is(err, giveUp) {
		return 0, nil, err
	}
	if good == 0 {
		return 0, culprit, nil
	}
	next := r.at.after(events[:good], events[good-1].Position)
	if err := r.commit(ctx, conn, next, func(tx pgx.Tx) error { return applyListed(ctx, r.projection, tx, events[:good]) }, events[:good]); err != nil {
		return 0, nil, err
	}
	r.at = next
	r.report(func(s *Status) { s.Position = r.at.at })
	return good, culprit, nil
}

func (r *Runner) waived(ctx context.Context, event Event) (bool, error) {
	if r.Waived == nil {
		return false, nil
	}
	return r.Waived(ctx, r.projection.Spec().Name, event.ID)
}
