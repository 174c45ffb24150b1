// Package process projects the instances of process managers: where each stands,
// what it heard, asked for and awaits.
package process

import (
	"context"
	_ "embed"
	"encoding/json"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/domain"
	"daybook.example/domain/process"
	"daybook.example/projections"
)

// Name is the projection's name.
const Name = "process_instance"

// Version counts the shapes of the tables.
const Version = 1

var (
	//go:embed schema.sql
	schema string
	//go:embed index.sql
	indexes string
	//go:embed read.sql
	read string
	//go:embed api.sql
	api string
)

// Projection writes what each event changes. Instances are few and their events
// far between, so there is no fold over a batch: statements follow each other in
// the order of the events.
type Projection struct{}

// New makes the projection. It needs no keys: nothing personal is in a process.
func New() Projection { return Projection{} }

// Spec says what the projection reads and keeps.
func (Projection) Spec() projections.Spec {
	return projections.Spec{Name: Name, Version: Version, Events: process.Catalog.Names(), Schema: schema, Index: indexes, Read: read, API: api}
}

// Apply queues what each event changes.
func (Projection) Apply(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	var writes projections.Writes
	for _, e := range events {
		if name, id, ok := process.Instance(e.Stream); ok {
			if err := (change{&writes, e, name, id}).queueAll(); err != nil {
				return err
			}
		} else if started, ok := e.Decoded.(process.VersionStarted); ok {
			writes.Queue(`insert into process_version (name, version, after_event_id, started_at, last_event_id, last_position, last_revision)
				values ($1, $2, $3, $4, $5, $6, $7)`, strings.TrimPrefix(e.Stream, process.Category+"-"), started.Version, started.After.EventID, e.Label, e.ID, e.Pos(), e.Revision)
		}
	}
	return writes.Send(ctx, tx)
}

// A change is what one event of an instance does to the tables.
type change struct {
	writes *projections.Writes
	event  projections.Event
	name   string
	id     uuid.UUID
}

func (c change) queueAll() error {
	e := c.event
	c.do(`insert into process_instance (name, process_id, begun_at, changed_at, last_event_id, last_position, last_revision)
		values ($1, $2, $6, $6, $3, $4, $5)
		on conflict (name, process_id) do update set changed_at = excluded.changed_at, last_event_id = excluded.last_event_id,
		last_position = excluded.last_position, last_revision = excluded.last_revision`, e.Label)
	c.do(`insert into process_event (name, process_id, revision, event_id, event_type, data, recorded_at, position, actor_id, last_event_id, last_position, last_revision)
		values ($1, $2, $5, $3, $6, $7, $8, $4, $9, $3, $4, $5)`, e.Type, string(e.Data), e.Label, e.Meta.Actor.ID)
	switch event := e.Decoded.(type) {
	case process.InputReceived:
		c.instance("version = $6", event.Version)
	case process.CommandRequested:
		return c.requested(event)
	case process.CommandConfirmed:
		return c.confirmed(event)
	case process.CommandRejected:
		c.instance("version = $6", event.Version)
		c.command("answer = 'rejected', code = $7, answered_at = $8", event.CommandID, event.Code, e.Label)
	case process.DeadlineScheduled:
		c.do(`insert into process_deadline (deadline_id, name, process_id, key, at, last_event_id, last_position, last_revision)
			values ($3, $1, $2, $6, $7, $3, $4, $5)`, event.Key, event.At)
		c.instance("outcome = null")
	case process.DeadlineCancelled:
		c.deadline("cancelled", event.DeadlineID)
	case process.DeadlineReached:
		c.instance("version = $6", event.Version)
		c.deadline("reached", event.DeadlineID)
	default:
		return c.word()
	}
	return nil
}

// word is an event that says how the instance stands.
func (c change) word() error {
	switch event := c.event.Decoded.(type) {
	case process.Reminded:
		return c.append("reminders = reminders || $6::jsonb", event)
	case process.HumanNeeded:
		return c.append("outcome = null, needs = needs || $6::jsonb", event)
	case process.Finished:
		c.instance("outcome = $6, needs = '[]'", event.Outcome)
	case process.Retried:
		c.instance("needs = '[]'")
		c.do(`update process_command set answer = 'withdrawn', last_event_id = $3, last_position = $4, last_revision = $5
			where name = $1 and process_id = $2 and answer = 'rejected'`)
	case process.TakenOver:
		c.instance("taken_over_by = $6, reason_code = $7, needs = '[]'", event.By, event.ReasonCode)
		c.do(`update process_deadline set state = 'cancelled', last_event_id = $3, last_position = $4, last_revision = $5
			where name = $1 and process_id = $2 and state = 'open'`)
	}
	return nil
}

// do queues a statement: $1 and $2 are the instance, $3 to $5 the event, its
// position and its revision.
func (c change) do(sql string, more ...any) {
	c.writes.Queue(sql, append([]any{c.name, c.id, c.event.ID, c.event.Pos(), int64(c.event.Revision)}, more...)...)
}

func (c change) instance(set string, more ...any) {
	c.do("update process_instance set "+set+", last_event_id = $3, last_position = $4, last_revision = $5 where name = $1 and process_id = $2", more...)
}

func (c change) append(set string, value domain.Named) error {
	text, err := json.Marshal([]domain.Named{value})
	if err == nil {
		c.instance(set, string(text))
	}
	return err
}

// command changes one that was asked for, which is $6.
func (c change) command(set string, id uuid.UUID, more ...any) {
	c.do("update process_command set "+set+", last_event_id = $3, last_position = $4, last_revision = $5 where name = $1 and process_id = $2 and command_id = $6",
		append([]any{id}, more...)...)
}

func (c change) deadline(state string, id uuid.UUID) {
	c.do(`update process_deadline set state = $7, last_event_id = $3, last_position = $4, last_revision = $5
		where name = $1 and process_id = $2 and deadline_id = $6`, id, state)
}

func (c change) requested(event process.CommandRequested) error {
	intent, err := json.Marshal(event.Intent)
	if err != nil {
		return err
	}
	var undoes *uuid.UUID
	if event.Undoes != uuid.Nil {
		undoes = &event.Undoes
	}
	c.do(`insert into process_command (command_id, name, process_id, revision, command, intent, undoes, requested_at, last_event_id, last_position, last_revision)
		values ($3, $1, $2, $5, $6, $7, $8, $9, $3, $4, $5)`, event.Command, string(intent), undoes, c.event.Label)
	c.instance("outcome = null")
	return nil
}

func (c change) confirmed(event process.CommandConfirmed) error {
	ids, err := json.Marshal(append([]uuid.UUID{}, event.EventIDs...))
	if err != nil {
		return err
	}
	c.instance("version = $6", event.Version)
	c.command("answer = 'confirmed', event_ids = $7, answered_at = $8", event.CommandID, string(ids), c.event.Label)
	c.do(`update process_command done set undone = true, last_event_id = $3, last_position = $4, last_revision = $5 from process_command undo
		where undo.command_id = $6 and done.command_id = undo.undoes and done.name = $1 and done.process_id = $2`, event.CommandID)
	return nil
}
