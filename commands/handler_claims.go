package commands

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"daybook.example/commands/claims"
	"daybook.example/domain"
)

// A caller who gives up must not leave a claim half way, so claims are taken and
// settled under a context of the worker's own.

// needs lists what the events of a decision take and give back.
func (w *worker[C, S, E]) needs(events []E) (needs []domain.Claim) {
	for _, event := range events {
		needs = append(needs, w.claimsOf(event)...)
	}
	return needs
}

// claim takes what the decision needs and says until when its events may be sent.
func (w *worker[C, S, E]) claim(j *job[C, S], needs []domain.Claim) (notAfter time.Time, err error) {
	for _, need := range needs {
		if need.Release {
			continue
		}
		held, err := w.core.Claims.Take(context.Background(), w.stream, need, w.cause(j))
		if err != nil {
			return time.Time{}, err
		}
		if !held.Pending() {
			continue
		}
		if !slices.ContainsFunc(j.held, func(h claims.Held) bool { return h.Is(need) }) {
			j.held = append(j.held, held)
		}
		if notAfter.IsZero() || held.SendBefore().Before(notAfter) {
			notAfter = held.SendBefore()
		}
	}
	return notAfter, nil
}

// rehearse looks whether the decision would be stored and changes nothing.
func (w *worker[C, S, E]) rehearse(j *job[C, S], events []E) error {
	bytes := 0
	for _, event := range events {
		data, err := domain.Encode(event)
		if err != nil {
			return err
		}
		bytes += len(data) + 2*len(event.EventType())
	}
	if bytes > appendBytesMax || len(events) > appendEventsMax {
		return tooLarge(bytes, len(events))
	}
	for _, need := range w.needs(events) {
		if need.Release {
			continue
		}
		if err := w.core.Claims.Check(context.Background(), w.stream, need, j.request.CommandID); err != nil {
			return err
		}
	}
	return nil
}

// withdraw gives back what was taken for a command that appends nothing.
func (w *worker[C, S, E]) withdraw(j *job[C, S]) {
	for _, held := range j.held {
		if err := w.core.Claims.Withdraw(context.Background(), w.stream, held, w.cause(j)); err != nil {
			w.core.logger().Warn("a claim is left to expire", "category", w.category, "set", held.Set(), "error", err)
		}
	}
	j.held = nil
}

// keepClaims settles the claims of a stored decision. What fails here is made up
// for when the stream is next loaded.
func (w *worker[C, S, E]) keepClaims(d *decided[C, S]) {
	if len(d.claims) == 0 && len(d.job.held) == 0 {
		return
	}
	cause := w.cause(d.job)
	if err := w.settleClaims(d.claims, d.first, cause); err != nil {
		w.core.logger().Warn("claims are not settled yet", "category", w.category, "error", err)
		w.known = nil
	}
	d.job.held = slices.DeleteFunc(d.job.held, func(held claims.Held) bool { return slices.ContainsFunc(d.claims, held.Is) })
	w.withdraw(d.job)
}

// finishClaims settles the claims of the stream's last command: whoever stored it
// may have stopped right after. All commands before it were settled before it began.
func (w *worker[C, S, E]) finishClaims() error {
	needs := w.known.claims
	if len(needs) == 0 {
		return nil
	}
	var cause domain.Metadata
	if err := domain.Unmarshal(w.known.cause, &cause); err != nil {
		return fmt.Errorf("read the metadata of the last command of %s: %w", w.stream, err)
	}
	if err := w.settleClaims(needs, w.known.commands[cause.CommandID].first, cause); err != nil {
		return err
	}
	w.known.claims, w.known.cause = nil, nil
	return nil
}

// settleClaims confirms what the events from revision first on took and releases
// what they gave back, both only if nobody has done it. What a later command took
// again stays taken.
func (w *worker[C, S, E]) settleClaims(needs []domain.Claim, first uint64, cause domain.Metadata) error {
	taken := w.known.commands
	earlier := func(command uuid.UUID) bool {
		s, known := taken[command]
		return known && s.first < first
	}
	for _, need := range needs {
		if need.Release {
			if err := w.core.Claims.Release(context.Background(), w.stream, need, earlier, cause); err != nil {
				return err
			}
			continue
		}
		if err := w.core.Claims.Confirm(context.Background(), w.stream, need, cause); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker[C, S, E]) cause(j *job[C, S]) domain.Metadata {
	return w.core.metadata(j.request, w.core.now())
}
