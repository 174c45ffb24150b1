package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"daybook.example/domain"
	"daybook.example/domain/operation"
	"daybook.example/eventstore"
	"daybook.example/eventstore/subscription"
)

const (
	batchTimeout = 60 * time.Second // of one batch, its commit included
	stopPatience = 3 * time.Second  // of a stop, with the batch under way
	routerClose  = batchTimeout + 5*time.Second
	closeTimeout = 2 * time.Second // of a connection
	waiverEvery  = 2 * time.Second
	backoffMin   = 100 * time.Millisecond
	backoffMax   = time.Second     // so that the database is not back for longer before it is used
	haltedEvery  = 5 * time.Second // a try whether somebody has mended the cause
	noteMax      = 2 * time.Second // to write a trouble down
	sayEvery     = time.Minute     // the same trouble
)

// Options are what the runners of a process share. Pool and Store are required.
type Options struct {
	Pool    *pgxpool.Pool
	Store   *eventstore.Client
	Feed    *subscription.Feed // by NewFeed; without one each runner reads and decodes the log by itself
	Logger  *slog.Logger       // slog.Default by default
	Metrics *Metrics           // may be nil
	Changed func()             // called at each commit and change of state; may be nil
	Owner   string             // the process, for people to read; host/number by default
}

// NewFeed makes the feed that the runners of a process share. How events are
// decoded is not the caller's to say.
func NewFeed(c subscription.FeedConfig) (*subscription.Feed, error) {
	c.Decode = decodeAny
	return subscription.NewFeed(c)
}

func (o Options) complete() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Owner == "" {
		host, _ := os.Hostname()
		o.Owner = fmt.Sprintf("%s/%d", host, os.Getpid())
	}
	return o
}

// A Runner is a projector: the running thing that keeps one projection's tables
// up to date. Others stand by until it is gone.
type Runner struct {
	options    Options
	projection Projection
	spec       Spec
	status     board

	epoch int64 // of the last turn
	said  struct {
		code string
		at   time.Time
	}
}

// NewRunner makes the runner of a projection that Prepare has seen.
func NewRunner(o Options, p Projection) *Runner {
	r := &Runner{options: o.complete(), projection: p, spec: p.Spec()}
	r.options.Logger = r.options.Logger.With("projection", r.spec.Name, "version", r.spec.Version)
	r.status.open(Status{Name: r.spec.Name, Version: r.spec.Version, State: Starting}, o)
	return r
}

// Run applies events until ctx ends. It comes back after a lost connection, a
// restart of the database or of the event store, and a takeover; it halts at an
// event that cannot be applied, until that is waived. Its one error is
// ErrOtherLog.
func (r *Runner) Run(ctx context.Context) error {
	defer r.status.change(func(s *Status) { s.State = Stopped })
	for backoff := backoffMin; ctx.Err() == nil; {
		before := r.Status().Position
		err := r.turn(ctx)
		var failure *EventError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrOtherLog):
			r.options.Logger.Error("the projection does not start: rebuild it, or name the log it was made from", "error", err)
			r.suffer(ctx, TroubleOf(err).of(r.spec))
			return err
		case errors.Is(err, ErrHeld):
			if err = r.standBy(ctx); err == nil {
				continue
			}
		case errors.Is(err, errDisplaced):
			r.yield(ctx)
			continue
		case errors.Is(err, ErrPaused):
			r.rest(ctx)
			continue
		case errors.As(err, &failure):
			r.halt(ctx, failure)
			continue
		}
		if before.Less(r.Status().Position) {
			backoff = backoffMin
		}
		r.retry(ctx, err, backoff)
		backoff = min(2*backoff, backoffMax)
	}
	return nil
}

// retry says what the trouble is and waits a moment; longer, if it is one that
// does not pass by itself.
func (r *Runner) retry(ctx context.Context, err error, backoff time.Duration) {
	trouble := TroubleOf(err).of(r.spec)
	if trouble.halts {
		backoff = haltedEvery
	}
	if trouble.Code != r.said.code || time.Since(r.said.at) > sayEvery {
		r.said.code, r.said.at = trouble.Code, time.Now()
		r.options.Logger.Warn("the projection does not come further: "+trouble.Reason, "code", trouble.Code, "error", safe(err), "hint", trouble.Hint, "again_in", backoff)
	}
	r.suffer(ctx, trouble)
	r.options.Metrics.retried(r.spec)
	sleep(ctx, backoff)
}

// suffer shows a trouble to all who ask for the status. Where it is the
// database's, the checkpoint may not learn of it.
func (r *Runner) suffer(ctx context.Context, trouble Trouble) {
	state := Retrying
	if trouble.halts {
		state = Halted
	}
	r.status.change(func(s *Status) { s.State, s.Trouble = state, &trouble })
	if err := r.writeDown(ctx, state, trouble); err != nil {
		r.options.Logger.Debug("the trouble could not be written down", "error", safe(err))
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// halt writes down which event it is and waits until an operator has put a
// waiver on record. To mend the cause takes a restart anyway.
func (r *Runner) halt(ctx context.Context, failure *EventError) {
	attributes := []any{"event", failure.EventID, "stream", failure.Stream, "revision", failure.Revision, "code", failure.Code, "field", failure.Field}
	var panicked panicked
	if errors.As(failure.cause, &panicked) {
		attributes = append(attributes, "stack", string(panicked.stack))
	} else if failure.Code == "apply" { // our own words; all others may repeat what they were given
		attributes = append(attributes, "error", failure.cause)
	}
	r.options.Logger.Error("the projection is halted at an event that it cannot apply; nothing was skipped", attributes...)
	for written := false; ctx.Err() == nil; {
		if !written {
			err := r.writeDown(ctx, Halted, failure.explained(r.spec))
			if written = err == nil; err != nil {
				r.options.Logger.Warn("the halt could not be written down yet", "error", safe(err))
			}
			r.status.change(func(s *Status) { s.State, s.Failure = Halted, failure })
		}
		sleep(ctx, waiverEvery)
		if at, err := r.row(ctx, r.options.Pool); err == nil && (at.state == string(Paused) || !at.position.Less(failure.Position)) {
			return // an operator wants it so, or another process can apply it
		}
		if waived, err := r.waived(ctx); err == nil && waived(failure.EventID) {
			r.options.Logger.Warn("passing an event that an operator has waived", "event", failure.EventID)
			return
		}
	}
}

// writeDown leaves in the checkpoint why it does not move, unless another owner
// moves it.
func (r *Runner) writeDown(ctx context.Context, state State, failure any) error {
	text, err := json.Marshal(failure)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, noteMax)
	defer cancel()
	_, err = r.options.Pool.Exec(ctx, "update daybook.projection_checkpoint set state = $4, failure = $5 where name = $1 and version = $2 and epoch = $3",
		r.spec.Name, r.spec.Version, r.epoch, state, text)
	return err
}

// waived reads the waivers on record.
func (r *Runner) waived(ctx context.Context) (func(uuid.UUID) bool, error) {
	passed := map[uuid.UUID]bool{}
	for event, err := range r.options.Store.Stream(ctx, operation.Stream, 0) {
		if errors.Is(err, eventstore.ErrStreamNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the waivers: %w: %w", errStore, err)
		}
		decoded, _ := decode(event)
		if waiver, ok := decoded.Decoded.(operation.ProjectionEventWaived); ok && waiver.Projection == r.spec.Name {
			passed[waiver.EventID] = true
		}
	}
	return func(id uuid.UUID) bool { return passed[id] }, nil
}

// turn owns the projection and applies events until something ends that.
func (r *Runner) turn(ctx context.Context) error {
	if err := r.free(ctx); err != nil {
		return err
	}
	writer, err := Claim(ctx, r.options.Pool, r.projection, Ownership{Owner: r.options.Owner})
	if err != nil {
		return err
	}
	defer writer.Close()
	r.epoch = writer.Checkpoint().Epoch
	if err := r.recognise(ctx, writer.Checkpoint()); err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	if begin := r.spec.Begin; begin != nil {
		if err := begin(ctx, writer.Checkpoint().Position); err != nil {
			return err
		}
	}
	r.status.change(func(s *Status) {
		s.State, s.Failure, s.Trouble, s.Position = Running, nil, nil, writer.Checkpoint().Position
	})
	ctx, displaced := context.WithCancelCause(ctx)
	defer displaced(nil)
	go r.lookOut(ctx, r.epoch, displaced)
	return r.route(ctx, writer)
}

// recognise refuses a log that is not the one in the tables.
func (r *Runner) recognise(ctx context.Context, at Checkpoint) error {
	id, err := r.options.Store.LogID(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	if id != at.LogID {
		return fmt.Errorf("%w: its tables come from log %s, and this is log %s", ErrOtherLog, at.LogID, id)
	}
	if err = at.verify(ctx, r.options.Store.Reader); err != nil && !errors.Is(err, ErrOtherLog) {
		err = fmt.Errorf("%w: %w", errStore, err)
	}
	return err
}

// route lets one Watermill router drive one handler over one subscription, where
// one message is a batch and one is in flight. A handler never closes its router,
// which would wait for it: it names the cause and ends the context of both.
func (r *Runner) route(ctx context.Context, writer *Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	subscriber, err := subscription.New(r.reading(writer.Checkpoint().Position))
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: routerClose}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	router.AddConsumerHandler(r.spec.Name, subscription.Topic, subscriber, func(m *message.Message) error {
		err := r.handle(m, writer)
		if err != nil {
			cancel(err)
		}
		return err
	})
	ran := router.Run(ctx)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if ran == nil {
		ran = errors.New("the subscription ended")
	}
	return ran
}

// reading says how the runner reads after a position: with others or alone.
func (r *Runner) reading(at Position) subscription.Config {
	config := subscription.Config{
		Feed:   r.options.Feed,
		Logger: r.options.Logger,
		Takes:  r.spec.Takes,
		From:   func(context.Context) (Position, error) { return at, nil },
	}
	if config.Feed == nil {
		config.Client, config.Decode = r.options.Store, decodeAny
	}
	return config
}

// handle commits one batch. Watermill cancels a message's context as soon as its
// router closes; a transaction that is nearly done comes to its end all the same.
// A long one of catching up is given up: it leaves nothing, and comes again.
func (r *Runner) handle(m *message.Message, writer *Writer) error {
	batch, ok := subscription.BatchFrom(m)
	if !ok {
		return errors.New("a message without its batch")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.Context()), batchTimeout)
	defer cancel()
	defer context.AfterFunc(m.Context(), func() { time.AfterFunc(stopPatience, cancel) })()
	started, events := time.Now(), eventsOf(batch)
	err := writer.Apply(ctx, events, batch.To)
	if err != nil && !writer.elsewhere(err) {
		var waived func(uuid.UUID) bool
		if waived, err = r.waived(ctx); err == nil {
			err = writer.Isolate(ctx, events, batch.To, waived)
		}
	}
	r.status.change(func(s *Status) { s.Position = writer.Checkpoint().Position })
	switch {
	case err == nil:
		r.options.Metrics.applied(r.spec, len(events), time.Since(started), writer.took)
	case writer.conn.IsClosed():
		err = fmt.Errorf("%w: %w", errLost, err)
	}
	return err
}

// eventsOf are the batch's events as projections see them.
func eventsOf(batch *subscription.Batch) []Event {
	events := make([]Event, len(batch.Events))
	for i := range batch.Events {
		events[i] = Event{Recorded: batch.Events[i], Err: batch.Errs[i]}
		if d, ok := batch.Decoded[i].(decoded); ok {
			events[i].Meta, events[i].Decoded = d.Meta, d.Decoded
		}
	}
	return events
}

// decoded is what the subscription carries beside an event's bytes.
type decoded struct {
	Meta    domain.Metadata
	Decoded domain.Named
}
