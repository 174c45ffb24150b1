package process

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"daybook.example/commands"
	"daybook.example/domain"
	"daybook.example/domain/employee"
	"daybook.example/domain/process"
)

// The times between two attempts to send one command.
const (
	backoffMin = 100 * time.Millisecond
	backoffMax = time.Minute
)

// A parcel is the next command of an instance that was asked for and is not
// answered. Those of one instance go out one after another, in their order.
type parcel struct {
	stream      string
	step        process.Step
	correlation uuid.UUID
	since       time.Time // when this process first knew of it
	next        time.Time // not before
	backoff     time.Duration
}

// pack keeps what an instance has to send now.
func (r *Runtime) pack(stream string, own process.State, correlation uuid.UUID) {
	at := slices.IndexFunc(own.Steps, func(step process.Step) bool { return step.Answer == process.Pending })
	if at < 0 || own.TakenOver != nil {
		delete(r.parcels, stream)
		return
	}
	step := own.Steps[at]
	if waiting := r.parcels[stream]; waiting == nil || waiting.step.CommandID != step.CommandID {
		r.parcels[stream] = &parcel{stream: stream, step: step, correlation: correlation, since: time.Now()}
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// dispatch sends what is asked for until ctx ends.
func (r *Runtime) dispatch(ctx context.Context) {
	for ctx.Err() == nil {
		r.deliver(ctx)
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-time.After(r.pause()):
		}
	}
}

// deliver makes one attempt for each parcel whose time has come.
func (r *Runtime) deliver(ctx context.Context) {
	for _, p := range r.ready() {
		if ctx.Err() != nil {
			return
		}
		err := r.carry(ctx, p)
		r.mu.Lock()
		if waiting := r.parcels[p.stream]; waiting != nil && waiting.step.CommandID == p.step.CommandID {
			waiting.backoff = min(max(2*waiting.backoff, backoffMin), backoffMax)
			waiting.next = time.Now().Add(waiting.backoff)
		}
		r.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			r.logger.Warn("a command of a process is sent again", "stream", p.stream, "command", p.step.CommandID, "action", p.step.Intent.Command, "error", err)
		}
	}
}

// ready are the parcels whose time has come, the longest waiting first.
func (r *Runtime) ready() (all []parcel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, p := range r.parcels {
		if !now.Before(p.next) {
			all = append(all, *p)
		}
	}
	slices.SortFunc(all, func(a, b parcel) int { return a.since.Compare(b.since) })
	return all
}

// pause is how long nothing can be sent, unless something new comes.
func (r *Runtime) pause() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	pause := backoffMax
	for _, p := range r.parcels {
		pause = min(pause, time.Until(p.next))
	}
	return max(pause, time.Millisecond)
}

// carry sends a command and records its answer. An answer that is not definite
// leaves it as it was: it is sent again, under the same ID, for as long as it takes.
func (r *Runtime) carry(ctx context.Context, p parcel) error {
	d, id, known := r.definition(p.stream)
	if !known {
		return errors.New("no process of this program has that name")
	}
	answer, err := r.send(ctx, d, p)
	settled, err := settlement(p.step, answer, err, d.Version())
	if err != nil {
		return err
	}
	if _, rejected := settled.(process.CommandRejected); rejected {
		// The rule may speak of what was recorded a moment ago: hear of that first.
		if err := r.await(ctx); err != nil {
			return err
		}
	}
	if r.sabotage.answered != nil {
		if err := r.sabotage.answered(); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last, err := r.last(ctx, p.stream)
	if err != nil {
		return err
	}
	cause := Event{}
	cause.ID, cause.Meta.CorrelationID = p.step.CommandID, p.correlation
	settle := process.Settle{Last: last, CommandID: p.step.CommandID, As: settled, React: r.reaction(d, id)}
	if _, err := r.append(d, p.stream, cause, settle, "answer", p.step.CommandID.String()); err != nil {
		return err
	}
	if waiting := r.parcels[p.stream]; waiting != nil && waiting.step.CommandID == p.step.CommandID {
		delete(r.parcels, p.stream) // the next one comes with the answer, when that is handed over
	}
	return nil
}

// send hands the command to the handler that HTTP uses, too.
func (r *Runtime) send(ctx context.Context, d Definition, p parcel) (commands.Answer, error) {
	command := p.step.CommandID
	if r.sabotage.command != nil {
		command = r.sabotage.command(command)
	}
	request := commands.Request{
		CommandID: command, CorrelationID: p.correlation, CausationID: p.step.CommandID,
		Principal: principal(d.Name()), Kind: domain.Process, ReasonCode: d.Name(),
	}
	today, err := r.options.Handlers.Today(ctx)
	if err != nil {
		return commands.Answer{}, err
	}
	self := p.step.Intent.EmployeeID
	inner, err := commandOf(p.step.Intent)
	if err != nil {
		return commands.Answer{}, err
	}
	return r.options.Handlers.Employees.Handle(ctx, employee.Stream(self), request, inner.With(employee.Context{Self: self, Today: today}))
}

// undoing is the reason that a rescission must give. It names nobody.
const undoing = "A process recorded this, and what it followed from does not hold any more."

func commandOf(intent process.Intent) (employee.Command, error) {
	switch intent.Command {
	case changeManager:
		return employee.ChangeManager{ManagerEmployeeID: intent.ManagerEmployeeID, EffectiveFrom: intent.EffectiveFrom}, nil
	case rescindFact:
		return employee.Rescind{RescindsEventID: intent.RescindsEventID, ReasonText: undoing}, nil
	}
	return nil, unlisted(intent.Command)
}

// settlement is what goes on record about an answer. What may pass by itself is an
// error: a conflict, a store that does not answer, a bug.
func settlement(step process.Step, answer commands.Answer, err error, version int) (process.Event, error) {
	if err == nil {
		confirmed := process.CommandConfirmed{CommandID: step.CommandID, Revision: answer.Revision, Version: version}
		for _, event := range answer.Events {
			confirmed.EventIDs = append(confirmed.EventIDs, event.ID)
		}
		return confirmed, nil
	}
	var refusal *domain.Error
	if !errors.As(err, &refusal) || refusal.Kind == domain.Unknown || refusal.Kind == domain.Conflict {
		return nil, err
	}
	if step.Intent.Command == rescindFact && refusal.Code == "not-live" { // it is rescinded already
		return process.CommandConfirmed{CommandID: step.CommandID, Version: version}, nil
	}
	return process.CommandRejected{CommandID: step.CommandID, Code: refusal.Code, Version: version}, nil
}
