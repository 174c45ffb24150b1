package commands

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"daybook.example/domain"
	"daybook.example/eventstore"
)

const (
	pageMax     = 1000             // events of one read
	tailMax     = 16               // after more than these a stream is read once more: folding them took time
	readTimeout = 15 * time.Second // of one read
)

// known is what a handler knows of a stream. The worker that holds it evolves
// the state in place; nobody else sees it until it is lent, and then it rests.
type known[S any] struct {
	state    S
	next     uint64 // the revision after the last one
	position eventstore.Position
	commands map[uuid.UUID]span
	checked  time.Time      // the state was the stream's tail at this time or later
	lent     bool           // others read the state: it must not evolve any more
	claims   []domain.Claim // of the last command that was read
	cause    []byte         // its metadata
}

// span is where the events of one command stand.
type span struct{ first, count uint64 }

// copied shares nothing with k that a worker changes.
func (k *known[S]) copied(state func(S) S) *known[S] {
	c := *k
	c.state, c.commands, c.claims = state(k.state), maps.Clone(k.commands), slices.Clone(k.claims)
	return &c
}

func (k *known[S]) exists() bool { return k.next > 0 }

func (k *known[S]) revision() uint64 { return max(k.next, 1) - 1 }

func (k *known[S]) expected() eventstore.ExpectedRevision {
	if !k.exists() {
		return eventstore.NoStream
	}
	return eventstore.Exactly(k.next - 1)
}

// note files one event under its command and says whether the command is a new one.
func (k *known[S]) note(command uuid.UUID, revision uint64) bool {
	s, seen := k.commands[command]
	if !seen || s.first+s.count != revision {
		s = span{first: revision}
	}
	s.count++
	k.commands[command], k.next = s, revision+1
	return s.count == 1
}

// load makes the worker know its stream. A creating command whose ID is random
// names a stream that cannot exist yet, so that is supposed without a read; were
// it wrong, the append would tell.
func (w *worker[C, S, E]) load(j *job[C, S]) error {
	if w.known != nil && (j.look || !w.known.lent) {
		return nil
	}
	w.known = &known[S]{state: w.decider.Initial, commands: map[uuid.UUID]span{}}
	if j.request.Creating && j.request.Fresh && j.conflicts == 0 {
		return nil
	}
	return w.catchUp()
}

// catchUp folds what was appended since. After an error nothing is known.
func (w *worker[C, S, E]) catchUp() error {
	if err := w.foldTail(); err != nil {
		w.known = nil
		return err
	}
	if err := w.finishClaims(); err != nil {
		w.known = nil
		return err
	}
	return nil
}

func (w *worker[C, S, E]) foldTail() error {
	asked := time.Now()
	for {
		events, err := w.read(w.known.next, pageMax)
		if err != nil {
			return err
		}
		if len(events) > 0 && w.known.lent {
			return errLent
		}
		for _, event := range events {
			if err := w.fold(event); err != nil {
				return err
			}
		}
		if len(events) < tailMax {
			w.known.checked = asked
			return nil
		}
	}
}

// errLent says that the stream went on but the state may not.
var errLent = errors.New("the state is lent")

// read returns events of the stream; a missing stream has none.
func (w *worker[C, S, E]) read(from, max uint64) ([]eventstore.Recorded, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	events, err := w.core.Store.ReadStream(ctx, w.stream, from, eventstore.Forwards, min(max, math.MaxInt64))
	if errors.Is(err, eventstore.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		w.core.logger().Warn("cannot read a stream", "category", w.category, "error", err)
		return nil, &domain.Error{Kind: domain.Unknown, Code: "store-unavailable", Message: "the event store does not answer; nothing was recorded by this request, send it again"}
	}
	return events, nil
}

func (w *worker[C, S, E]) fold(event eventstore.Recorded) error {
	from, err := provenanceOf(event)
	if err != nil {
		return err
	}
	decoded, err := w.decode(event, from)
	if err != nil {
		return fmt.Errorf("revision %d of %s: %w", event.Revision, w.stream, err)
	}
	k := w.known
	if k.note(from.CommandID, event.Revision) {
		k.claims, k.cause = nil, event.Metadata
	}
	k.claims = append(k.claims, w.claimsOf(decoded)...)
	k.position = event.Position
	w.core.notBefore(from.RecordedAt)
	k.state = w.decider.Evolve(k.state, domain.Recorded[E]{
		Recording: domain.Recording{ID: event.ID, Revision: event.Revision, RecordedAt: from.RecordedAt},
		Event:     decoded,
	})
	return nil
}

// decode opens an event's personal values; what was erased stays erased.
func (w *worker[C, S, E]) decode(event eventstore.Recorded, from provenance) (E, error) {
	data, err := w.core.Keys.Open(event.Stream, event.ID, event.Data)
	if err != nil {
		var none E
		return none, err
	}
	return w.catalog.Decode(event.Type, from.SchemaVersion, data)
}

// claimsOf asks what an event claims on the present state.
func (w *worker[C, S, E]) claimsOf(event E) []domain.Claim {
	if w.decider.Claims == nil {
		return nil
	}
	return w.decider.Claims(w.known.state, event)
}
