package projections

import (
	"time"

	"github.com/jackc/pgx/v5"
)

// labelled returns the events with their labels: the running maximum of the
// recorded times from a label on, so that a clock set back confuses nobody.
func labelled(events []Event, from time.Time) []Event {
	out := make([]Event, len(events))
	for i, event := range events {
		if event.Meta.RecordedAt.After(from) {
			from = event.Meta.RecordedAt
		}
		event.Label = from
		out[i] = event
	}
	return out
}

// createLabels is in the schema of every version: which position a time stands
// for, over all events of ours, listed or not.
const createLabels = `create table label_position (
	label    timestamptz primary key,
	position bigint not null, -- the last one with this label
	prepare  bigint not null
)`

// queueLabels queues the last position of each label.
func queueLabels(queue *pgx.Batch, spec Spec, events []Event) {
	if spec.Outside {
		return
	}
	var labels []time.Time
	var positions, prepares []int64
	for i, event := range events {
		if event.Label.IsZero() || i+1 < len(events) && events[i+1].Label.Equal(event.Label) {
			continue
		}
		labels = append(labels, event.Label)
		positions = append(positions, int64(event.Position.Commit))
		prepares = append(prepares, int64(event.Position.Prepare))
	}
	// Only the first may be there already, for labels grow; to ask of all takes twice
	// the time.
	insert := "insert into " + spec.SchemaName() + ".label_position (label, position, prepare) select * from unnest($1::timestamptz[], $2::bigint[], $3::bigint[])"
	if len(labels) > 0 {
		queue.Queue(insert+" on conflict (label) do update set position = excluded.position, prepare = excluded.prepare", labels[:1], positions[:1], prepares[:1])
	}
	if len(labels) > 1 {
		queue.Queue(insert, labels[1:], positions[1:], prepares[1:])
	}
}
