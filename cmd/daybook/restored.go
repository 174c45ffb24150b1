package main

import (
	"time"

	"github.com/google/uuid"

	"daybook.example/domain/operation"
	"daybook.example/eventstore/log"
)

// lossOnRecord are the first events of a log that was restored with loss: that it
// was, and its new name. They are in it before anybody can append another.
func lossOnRecord(id, last uuid.UUID, reason string) ([]log.Append, error) {
	events, err := operation.Decider.Decide(operation.State{}, operation.RestoreLog{LastEventID: last, ReasonCode: reason})
	if err != nil {
		return nil, hint(err, "name the reason with --reason, as a code such as disk-lost")
	}
	var first []log.Append
	for _, event := range append(events, operation.LogNamed{LogID: id}) {
		stream, purpose := operation.Stream, "restore"
		if event.EventType() == (operation.LogNamed{}).EventType() {
			stream, purpose = operation.LogStream, naming
		}
		proposed, err := ownEvent(event, id, stream, purpose, time.Now())
		if err != nil {
			return nil, err
		}
		first = append(first, log.Append{Stream: stream, Expected: log.Any, Events: []log.Proposed{{
			ID: proposed.ID, Type: proposed.Type, JSON: true, Data: proposed.Data, Metadata: proposed.Metadata,
		}}})
	}
	return first, nil
}

// naming is what the event that names a log is for; its ID derives from it.
const naming = "name"
