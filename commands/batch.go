package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"daybook.example/commands/resend"
	"daybook.example/domain"
	"daybook.example/eventstore"
)

// The store takes 1 MiB in one append; the rest is for its own envelope.
const (
	appendBytesMax  = 1<<20 - 64<<10
	appendEventsMax = 1000
)

// A batch is what one append will carry: commands decided one upon the other.
type batch[C, S any] struct {
	decisions []*decided[C, S]
	proposals []eventstore.Proposed
	bytes     int
	expected  eventstore.ExpectedRevision
	notAfter  time.Time // by the injected clock; zero = any time
}

// decided is one command of a batch.
type decided[C, S any] struct {
	job     *job[C, S]
	first   uint64 // revision of its first event
	events  []eventstore.Proposed
	bytes   int
	claims  []domain.Claim
	repeats []*job[C, S] // the same command delivered again meanwhile
}

func (b *batch[C, S]) empty() bool { return len(b.decisions) == 0 }

func (b *batch[C, S]) fits(d *decided[C, S]) bool {
	return b.empty() || b.bytes+d.bytes <= appendBytesMax && len(b.proposals)+len(d.events) <= appendEventsMax
}

func (b *batch[C, S]) add(d *decided[C, S]) {
	b.decisions = append(b.decisions, d)
	b.proposals = append(b.proposals, d.events...)
	b.bytes += d.bytes
}

// find returns the decision on a command that is in the batch already.
func (b *batch[C, S]) find(command uuid.UUID) *decided[C, S] {
	for _, d := range b.decisions {
		if d.job.request.CommandID == command {
			return d
		}
	}
	return nil
}

// jobs are all jobs of the batch, repeats behind what they repeat.
func (b *batch[C, S]) jobs() (jobs []*job[C, S]) {
	for _, d := range b.decisions {
		jobs = append(append(jobs, d.job), d.repeats...)
	}
	return jobs
}

// add takes what the decision claims, seals it and puts it into the batch. A
// decision with claims begins a batch: the one before it may give back what this
// one takes, and must be stored and settled first.
func (w *worker[C, S, E]) add(j *job[C, S], events []E) bool {
	needs := w.needs(events)
	if len(needs) > 0 && !w.batch.empty() {
		return false
	}
	notAfter, err := w.claim(j, needs)
	if err != nil {
		return w.reject(j, err)
	}
	at := w.core.now()
	d, err := w.propose(j, events, at)
	if err != nil {
		return w.reject(j, err)
	}
	if !w.batch.fits(d) {
		return false
	}
	if w.batch.empty() {
		w.batch.expected, w.batch.notAfter = w.known.expected(), notAfter
	}
	w.spareOne()
	d.first, d.claims = w.known.next, needs
	w.evolve(d, events, at)
	w.batch.add(d)
	return true
}

// reject refuses, but never on a state that is not the stored tail.
func (w *worker[C, S, E]) reject(j *job[C, S], err error) bool {
	if !w.settled(j) {
		return false
	}
	w.refuse(j, err)
	return true
}

// propose seals and encodes a decision: once, for sealing twice gives other bytes
// and the store must see a repeat as one.
func (w *worker[C, S, E]) propose(j *job[C, S], events []E, at time.Time) (*decided[C, S], error) {
	d := &decided[C, S]{job: j}
	common := w.core.metadata(j.request, at)
	for i, event := range events {
		id := domain.EventID(j.request.CommandID, j.request.RequestMAC, w.stream, i)
		data, err := domain.Encode(event)
		if err != nil {
			return nil, err
		}
		if data, err = w.core.Keys.Seal(w.stream, id, data); err != nil {
			return nil, fmt.Errorf("seal %s: %w", event.EventType(), err)
		}
		metadata, err := describe(common, event)
		if err != nil {
			return nil, err
		}
		d.events = append(d.events, eventstore.Proposed{ID: id, Type: event.EventType(), Data: data, Metadata: metadata})
		d.bytes += len(data) + len(metadata) + 2*len(event.EventType())
	}
	if d.bytes > appendBytesMax || len(d.events) > appendEventsMax {
		return nil, tooLarge(d.bytes, len(d.events))
	}
	return d, nil
}

func tooLarge(bytes, events int) error {
	return &domain.Error{Kind: domain.TooLarge, Code: "too-large", Message: fmt.Sprintf("the command makes %d events of %d bytes; one append holds %d events of %d bytes, so split it", events, bytes, appendEventsMax, appendBytesMax)}
}

// flush appends the batch and answers its jobs. It returns those that have to
// start again because somebody else's events came first.
func (w *worker[C, S, E]) flush() (again []*job[C, S]) {
	b := w.batch
	spare := w.spare
	w.batch, w.spare = batch[C, S]{}, nil
	if b.empty() {
		return nil
	}
	w.core.observer().batch.Observe(float64(len(b.decisions)))
	sent := time.Now()
	written, err := w.append(b)
	switch {
	case err == nil:
		w.known.checked = sent
		w.stored(b, written)
		w.giveWay(time.Since(sent))
		return nil
	case errors.Is(err, eventstore.ErrWrongExpectedRevision), errors.Is(err, resend.ErrLate):
		w.known, w.met = spare, time.Now()
		again = w.retry(b)
		w.readOn()
		return again
	}
	w.known = nil
	for _, j := range b.jobs() {
		w.refuse(j, w.explain(err))
	}
	return nil
}

func (w *worker[C, S, E]) append(b batch[C, S]) (eventstore.Written, error) {
	plan := resend.Plan{Patience: w.core.patience}
	if !b.notAfter.IsZero() {
		plan.May = func() bool { return w.core.Clock().Before(b.notAfter) }
	}
	return plan.Until(func(ctx context.Context) (eventstore.Written, error) {
		return w.core.Store.Append(ctx, w.stream, b.expected, b.proposals)
	})
}

// meeting tells whether others wrote to this stream lately.
func (w *worker[C, S, E]) meeting() bool { return time.Since(w.met) < metMax }

// spareOne keeps a copy of the stored state where others may come first: it is what
// remains then, and without one the whole stream would be read again each time.
func (w *worker[C, S, E]) spareOne() {
	if w.batch.empty() && w.decider.Copy != nil && w.meeting() {
		w.spare = w.known.copied(w.decider.Copy)
	}
}

// giveWay leaves others the time of an append after one to a stream that they write
// to as well: they read before they append, and would come late for ever beside a
// process that knows the tail already. Then it reads what they appended.
func (w *worker[C, S, E]) giveWay(took time.Duration) {
	if w.meeting() {
		time.Sleep(min(took, giveWayMax))
		w.readOn()
	}
}

// readOn learns what others appended. After an error nothing is known, and the
// next command finds out why.
func (w *worker[C, S, E]) readOn() {
	if w.known != nil {
		_ = w.catchUp()
	}
}

// retry returns the jobs that may start again and ends those that did so for too long.
func (w *worker[C, S, E]) retry(b batch[C, S]) (again []*job[C, S]) {
	worst := 0
	for _, j := range b.jobs() {
		if j.conflicts++; j.conflicts == 1 {
			j.met = time.Now()
		}
		worst = max(worst, j.conflicts)
		if time.Since(j.met) > cmp.Or(w.core.conflictMax, conflictMax) {
			w.refuse(j, &domain.Error{Kind: domain.Conflict, Code: "conflict", Message: "others kept changing the same " + w.category + "; read it again and repeat the command"})
			continue
		}
		again = append(again, j)
	}
	if worst > 1 { // two busy processes must not go on in step
		time.Sleep(rand.N(min(time.Duration(worst)*time.Millisecond, pauseMax)))
	}
	return again
}

// explain says what a failed append means to the caller.
func (w *worker[C, S, E]) explain(err error) error {
	w.core.logger().Warn("an append failed", "category", w.category, "error", err)
	if errors.Is(err, resend.ErrUnknown) {
		return unknown()
	}
	return fmt.Errorf("append to %s: %w", w.category, err)
}

// stored answers the jobs of a stored batch.
func (w *worker[C, S, E]) stored(b batch[C, S], written eventstore.Written) {
	positions := w.positions(b)
	w.known.position = written.Position
	if written.Revision+1 != w.known.next {
		w.known = nil // the store counts otherwise: learn it anew
	}
	for _, d := range b.decisions {
		last := d.first + uint64(len(d.events)) - 1
		answer := Answer{Revision: last, Position: written.Position, Events: make([]EventRef, len(d.events))}
		if at, ok := positions[last]; ok {
			answer.Position = at
		}
		for i, event := range d.events {
			answer.Events[i] = EventRef{ID: event.ID, Type: event.Type}
		}
		w.keepClaims(d)
		d.job.finish(answer, nil)
		answer.Repeated = true
		for _, repeat := range d.repeats {
			repeat.finish(answer, nil)
		}
	}
}

// positions reads where the commands of a combined append ended: the store tells
// only the end of all, and a repeat must get the same answer as the first delivery.
func (w *worker[C, S, E]) positions(b batch[C, S]) map[uint64]eventstore.Position {
	if len(b.decisions) == 1 {
		return nil
	}
	events, err := w.read(b.decisions[0].first, uint64(len(b.proposals)))
	if err != nil {
		return nil // the end of all is behind each of them, so waiting for it is right
	}
	at := make(map[uint64]eventstore.Position, len(events))
	for _, event := range events {
		at[event.Revision] = event.Position
	}
	return at
}
