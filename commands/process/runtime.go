package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"daybook.example/commands"
	"daybook.example/domain"
	"daybook.example/domain/employee"
	"daybook.example/domain/organisation"
	"daybook.example/domain/process"
	"daybook.example/eventstore"
)

const (
	readTimeout = 15 * time.Second // of one read of the log
	awaitMax    = 10 * time.Second // for what was recorded before to be handed over
	awaitEvery  = 5 * time.Millisecond
	movedOnMax  = 20 // times that somebody else may have come first
	tickEvery   = time.Second
)

// Options are what a Runtime needs. Handlers and Store are required.
type Options struct {
	Handlers    *commands.Handlers
	Store       eventstore.Reader
	Clock       func() time.Time      // for deadlines; time.Now by default
	Logger      *slog.Logger          // slog.Default by default
	Registry    prometheus.Registerer // nil = no metrics
	Definitions []Definition          // Definitions() by default
}

// A Runtime runs all process managers of the house. Whoever drives it hands it
// the events of the log in order: one owner at a time, which may repeat what was
// handed over before a crash. A second owner that does not know of the first does
// no harm: what an instance decides is appended at the revision that it was decided
// on, under IDs that derive from its input, and so is the answer to a command.
type Runtime struct {
	options Options
	logger  *slog.Logger
	wake    chan struct{} // something is to be sent
	working sync.WaitGroup

	mu        sync.Mutex // guards all below, over the appends too: instances act one after another
	staff     *Staff
	at        eventstore.Position            // staff knows all up to here
	starts    map[string]eventstore.Position // by definition: what is up to here never makes it act
	instances map[string]*instance           // by stream
	askers    map[uuid.UUID]uuid.UUID        // which instance asked for a command
	due       agenda
	parcels   map[string]*parcel // what is to be sent, by stream

	sabotage struct { // the controls of the tests
		command  func(uuid.UUID) uuid.UUID // another ID for a command that is sent
		answered func() error              // after a command was sent, before its answer is recorded
		blind    bool                      // deadlines do not wait for what was recorded before
		forgets  bool                      // inputs are taken for new ones
	}
}

// An instance is what is known of one from the log.
type instance struct {
	process.State
	next uint64 // the revision after the last one seen
}

// New makes a runtime that knows nothing until Begin.
func New(o Options) *Runtime {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Definitions == nil {
		o.Definitions = Definitions()
	}
	r := &Runtime{
		options: o, logger: cmp.Or(o.Logger, slog.Default()), wake: make(chan struct{}, 1), staff: NewStaff(),
		starts: map[string]eventstore.Position{}, instances: map[string]*instance{}, askers: map[uuid.UUID]uuid.UUID{}, parcels: map[string]*parcel{},
	}
	r.measure(o.Registry)
	return r
}

// Begin makes the runtime the one that acts, after all events up to a position
// were handed over, to it or to one before it. It reads what it does not know yet
// from the log, starts what is new among the definitions, and sends commands and
// watches deadlines until ctx ends.
func (r *Runtime) Begin(ctx context.Context, at eventstore.Position) error {
	r.Wait() // for those of an earlier time
	if err := r.prepare(ctx, at); err != nil {
		return err
	}
	r.working.Go(func() { r.dispatch(ctx) })
	r.working.Go(func() { r.watch(ctx) })
	return nil
}

// Wait returns when nothing is sent or watched any more, once the context of Begin
// has ended.
func (r *Runtime) Wait() { r.working.Wait() }

func (r *Runtime) prepare(ctx context.Context, at eventstore.Position) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.catchUp(ctx, at); err != nil {
		return fmt.Errorf("read what the processes must know: %w", err)
	}
	for _, d := range r.options.Definitions {
		if err := r.start(ctx, d, at); err != nil {
			return fmt.Errorf("start process %s: %w", d.Name(), err)
		}
	}
	return nil
}

// catchUp hears of the log: of staff up to a position, of the instances up to the
// end, so that none is taken for missing.
func (r *Runtime) catchUp(ctx context.Context, at eventstore.Position) error {
	head, err := r.options.Store.Head(ctx)
	if err != nil {
		return err
	}
	if r.at.Less(head) {
		if err := r.readOn(ctx, at, head); err != nil {
			return err
		}
	}
	if r.at.Less(at) {
		r.at = at
	}
	return nil
}

// readOn takes in what stands behind r.at, up to the head. A subscription brings it
// faster than pages do, and holds little of it in memory.
func (r *Runtime) readOn(ctx context.Context, at, head eventstore.Position) error {
	log, err := r.options.Store.SubscribeAll(ctx, r.at)
	if err != nil {
		return err
	}
	defer log.Close()
	for {
		message, err := log.Recv(ctx)
		if err != nil || message.CaughtUp {
			return err
		}
		if message.Event == nil {
			continue
		}
		r.learn(*message.Event, at)
		if !message.Event.Position.Less(head) {
			return nil
		}
	}
}

// learn takes one event in. What cannot be read is left out: whoever handed it over
// has halted there, or has passed it on an operator's word.
func (r *Runtime) learn(recorded eventstore.Recorded, at eventstore.Position) {
	if !concerns(recorded.Stream) {
		return
	}
	e := decode(recorded)
	if e.Err != nil {
		return
	}
	if !at.Less(e.Position) {
		r.staff.Apply(e)
		r.at = e.Position
	}
	r.note(e)
}

// concerns reports whether processes ever look into a stream.
func concerns(stream string) bool {
	return stream == organisation.Stream || strings.HasPrefix(stream, employee.Category+"-") || strings.HasPrefix(stream, process.Category+"-")
}

// start lets a version of a definition begin, if it has not: the first one behind
// all that the log holds, a later one behind what was handed over before it.
func (r *Runtime) start(ctx context.Context, d Definition, at eventstore.Position) error {
	stream := process.DefinitionStream(d.Name())
	state, _, exists, err := r.options.Handlers.Processes.State(ctx, stream)
	if err != nil {
		return err
	}
	wanted, err := process.Decider.Decide(state, process.StartVersion{VersionStarted: process.VersionStarted{Version: d.Version()}})
	if err != nil {
		return err
	}
	if len(wanted) > 0 {
		after := at
		if !exists || at.IsZero() {
			after = eventstore.EndPosition
		}
		if state, err = r.begin(ctx, d, after); err != nil {
			return err
		}
	}
	r.starts[d.Name()], err = r.place(ctx, state.Versions[len(state.Versions)-1].After)
	return err
}

// begin records that a version answers what stands behind a position.
func (r *Runtime) begin(ctx context.Context, d Definition, after eventstore.Position) (state process.State, err error) {
	last, err := r.lastOfOurs(ctx, after)
	if err != nil {
		return state, err
	}
	stream := process.DefinitionStream(d.Name())
	started := process.VersionStarted{Version: d.Version(), After: last.source()}
	if _, err = r.append(d, stream, Event{}, process.StartVersion{VersionStarted: started}, "start", fmt.Sprint(d.Version())); err != nil {
		return state, err
	}
	state, _, _, err = r.options.Handlers.Processes.State(ctx, stream)
	return state, err
}

// Apply hands over the next events of the log. After an error those from the one
// at fault on must be handed over again; one that passes by itself is
// eventstore.ErrUnavailable.
func (r *Runtime) Apply(ctx context.Context, events []Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		if e.Position.Less(r.at) {
			continue
		}
		if r.at.Less(e.Position) {
			if err := r.hear(e); err != nil {
				return err
			}
		}
		if err := r.handle(ctx, e); err != nil {
			return fmt.Errorf("hand %s on: %w", e.Type, passing(err))
		}
	}
	return nil
}

// passing marks an error that needs nobody's help.
func passing(err error) error {
	var unknown *domain.Error
	if errors.As(err, &unknown) && (unknown.Kind == domain.Unknown || unknown.Kind == domain.Conflict) {
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	return err
}

// hear takes an event in. One that cannot be read is never guessed at.
func (r *Runtime) hear(e Event) error {
	if e.Err != nil && !errors.Is(e.Err, domain.ErrUnknownType) {
		return e.Err
	}
	r.staff.Apply(e)
	r.at = e.Position
	r.note(e)
	return nil
}

// note keeps what an instance has recorded. Seen again it changes nothing.
func (r *Runtime) note(e Event) {
	fact, isProcess := e.Decoded.(process.Event)
	_, id, isInstance := process.Instance(e.Stream)
	if !isProcess || !isInstance {
		return
	}
	known := r.instances[e.Stream]
	if known == nil {
		known = &instance{}
		r.instances[e.Stream] = known
	}
	if e.Revision < known.next {
		return
	}
	recording := domain.Recording{ID: e.ID, Revision: e.Revision, RecordedAt: e.Meta.RecordedAt}
	known.State, known.next = process.Decider.Evolve(known.State, domain.Recorded[process.Event]{Recording: recording, Event: fact}), e.Revision+1
	if _, asks := fact.(process.CommandRequested); asks {
		r.askers[e.ID] = id
	}
	switch fact := fact.(type) {
	case process.CommandRequested, process.CommandConfirmed, process.CommandRejected, process.TakenOver:
		r.pack(e.Stream, known.State, e.Meta.CorrelationID)
	case process.DeadlineScheduled:
		r.due.add(appointment{fact.At, e.Stream, e.ID, e.Meta.CorrelationID})
	}
}

// handle lets each instance that an event concerns know of it.
func (r *Runtime) handle(ctx context.Context, e Event) error {
	for _, d := range r.options.Definitions {
		if !r.starts[d.Name()].Less(e.Position) {
			continue
		}
		targets := slices.Clone(d.Route(r.staff, e))
		if name, id, ok := process.Instance(e.Stream); ok && name == d.Name() && e.Type == (process.Retried{}).EventType() {
			targets = append(targets, Target{ID: id})
		}
		if id, asked := r.askers[e.Meta.CommandID]; asked && e.Meta.Actor.ID == principal(d.Name()) {
			targets = append(targets, Target{ID: id}) // what it asked for is there now
		}
		for _, target := range targets {
			if err := r.receive(ctx, d, target, e); err != nil {
				return fmt.Errorf("process %s %s: %w", d.Name(), target.ID, err)
			}
		}
	}
	return nil
}

// receive records an input with all that it makes, in one append. An input that
// was received, or that is older than one that was, does nothing.
func (r *Runtime) receive(ctx context.Context, d Definition, target Target, e Event) error {
	stream := process.Stream(d.Name(), target.ID)
	if r.instances[stream] == nil && !target.Start {
		return nil
	}
	for range movedOnMax {
		own, _, exists, err := r.options.Handlers.Processes.State(ctx, stream)
		if err != nil {
			return err
		}
		if !exists && !target.Start {
			return nil
		}
		if r.instances[stream] == nil { // so that the next event of this batch finds it
			r.instances[stream] = &instance{}
		}
		if passed, err := r.passed(ctx, own, e); err != nil || passed {
			return err
		}
		input := e.ID
		if r.sabotage.forgets {
			input = uuid.New()
		}
		_, err = r.append(d, stream, e, process.Receive{
			Input: process.InputReceived{Source: e.source(), Type: e.Type, Version: d.Version()},
			Last:  own.Last.EventID, React: r.reaction(d, target.ID),
		}, input.String())
		if !errors.Is(err, domain.Code("moved-on")) {
			return err
		}
	}
	return fmt.Errorf("%w: somebody else keeps telling the instance of events", eventstore.ErrUnavailable)
}

// passed reports whether an instance has heard of an event, or of a later one.
// Inputs come in the order of the log, so the last one tells. Its place is looked
// up: no event holds one.
func (r *Runtime) passed(ctx context.Context, own process.State, e Event) (bool, error) {
	switch {
	case own.Last.EventID == uuid.Nil, r.sabotage.forgets:
		return false, nil
	case own.Last.EventID == e.ID:
		return true, nil
	}
	last, err := r.place(ctx, own.Last)
	return e.Position.Less(last), err
}

// last is the last input of an instance, once staff knows as much as that: another
// owner may have handed on what is not handed over here yet.
func (r *Runtime) last(ctx context.Context, stream string) (uuid.UUID, error) {
	own, _, _, err := r.options.Handlers.Processes.State(ctx, stream)
	if err != nil || own.Last.EventID == uuid.Nil {
		return uuid.Nil, err
	}
	at, err := r.place(ctx, own.Last)
	if err == nil && r.at.Less(at) {
		err = errBehind
	}
	return own.Last.EventID, err
}

// errBehind passes by itself.
var errBehind = errors.New("what the instance has heard of is not handed over here yet")

// place is where an event stands in the log.
func (r *Runtime) place(ctx context.Context, of process.Source) (eventstore.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	found, err := r.options.Store.ReadStream(ctx, of.Stream, of.Revision, eventstore.Forwards, 1)
	if err == nil && (len(found) != 1 || found[0].ID != of.EventID) {
		err = fmt.Errorf("revision %d of %s is not the event %s", of.Revision, of.Stream, of.EventID)
	}
	if err != nil {
		return eventstore.Position{}, err
	}
	return found[0].Position, nil
}

// lastOfOurs is the last event up to a position that is not the store's own.
func (r *Runtime) lastOfOurs(ctx context.Context, upTo eventstore.Position) (Event, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if upTo != eventstore.EndPosition { // backwards begins with the one before
		there, err := r.options.Store.ReadAll(ctx, upTo, eventstore.Forwards, 1)
		if err != nil {
			return Event{}, err
		}
		if len(there) == 1 && there[0].Position == upTo && !there[0].System() {
			return Event{Recorded: there[0]}, nil
		}
	}
	for {
		page, err := r.options.Store.ReadAll(ctx, upTo, eventstore.Backwards, 64)
		if err != nil || len(page) == 0 {
			return Event{}, cmp.Or(err, errors.New("the log holds no event"))
		}
		for _, recorded := range page {
			if !recorded.System() {
				return Event{Recorded: recorded}, nil
			}
			upTo = recorded.Position
		}
	}
}

// reaction is the definition's for an instance, on what staff knows now. The
// handler calls it while the runtime waits, so that nothing changes below it.
func (r *Runtime) reaction(d Definition, id uuid.UUID) process.Reaction {
	return func(own process.State) []process.Event { return d.React(r.staff, id, own) }
}

// append has the handler decide and append under an ID that derives from what
// caused it. It does not end with the caller: the reaction must not outlive it.
func (r *Runtime) append(d Definition, stream string, cause Event, command process.Command, of ...string) (commands.Answer, error) {
	id := domain.Derive(append([]string{stream}, of...)...)
	request := commands.Request{
		CommandID: id, CorrelationID: cmp.Or(cause.Meta.CorrelationID, id), CausationID: cmp.Or(cause.ID, id),
		Principal: principal(d.Name()), Kind: domain.Process, Creating: true,
	}
	return r.options.Handlers.Processes.Handle(context.Background(), stream, request, command)
}

// principal is who acts for a definition.
func principal(name string) string { return process.Category + "-" + name }

// definition finds the one that a stream belongs to.
func (r *Runtime) definition(stream string) (d Definition, id uuid.UUID, known bool) {
	name, id, _ := process.Instance(stream)
	for _, d := range r.options.Definitions {
		if d.Name() == name {
			return d, id, true
		}
	}
	return nil, id, false
}

// await waits until all that the log holds now has been handed over.
func (r *Runtime) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, awaitMax)
	defer cancel()
	last, err := r.lastOfOurs(ctx, eventstore.EndPosition)
	for err == nil && !r.knows(last.Position) {
		select {
		case <-ctx.Done():
			err = errors.New("what was recorded before is not handed over yet")
		case <-time.After(awaitEvery):
		}
	}
	return err
}

func (r *Runtime) knows(position eventstore.Position) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.at.Less(position)
}
