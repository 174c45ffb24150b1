package commands

import (
	"fmt"

	"daybook.example/domain"
	"daybook.example/eventstore"
)

// repeat looks whether the job's command is known. One that is stored is answered
// from its events, whatever the stream has become; one that is decided but not yet
// appended is waited for. A refused command is not remembered.
func (w *worker[C, S, E]) repeat(j *job[C, S]) (answered, repeated bool) {
	if d := w.batch.find(j.request.CommandID); d != nil {
		if d.job.request.RequestMAC != j.request.RequestMAC {
			return false, true // refused once the first one is stored
		}
		d.repeats = append(d.repeats, j)
		return true, true
	}
	s, stored := w.known.commands[j.request.CommandID]
	if !stored {
		return false, false
	}
	// What was claimed for this delivery stays: another one stored the command, and
	// its events need the same claims.
	answer, err := w.recall(s, j.request)
	j.finish(answer, err)
	return true, true
}

// recall makes the answer of an earlier delivery from what it stored.
func (w *worker[C, S, E]) recall(s span, r Request) (Answer, error) {
	events, err := w.read(s.first, s.count)
	if err != nil {
		return Answer{}, err
	}
	if uint64(len(events)) != s.count {
		return Answer{}, fmt.Errorf("%s has %d of the %d events from revision %d on", w.stream, len(events), s.count, s.first)
	}
	answer := Answer{Repeated: true}
	for _, event := range events {
		if err := sameRequest(event, r); err != nil {
			return Answer{}, err
		}
		answer.Revision, answer.Position = event.Revision, event.Position
		answer.Events = append(answer.Events, EventRef{ID: event.ID, Type: event.Type})
	}
	return answer, nil
}

func sameRequest(event eventstore.Recorded, r Request) error {
	from, err := provenanceOf(event)
	if err != nil {
		return err
	}
	if from.CommandID != r.CommandID {
		return fmt.Errorf("revision %d of %s belongs to another command", event.Revision, event.Stream)
	}
	if from.RequestMAC != r.RequestMAC {
		return &domain.Error{Kind: domain.Rule, Code: "idempotency-key-reused", Message: "this Idempotency-Key was used for a request with another body; a new request needs a new key"}
	}
	return nil
}
