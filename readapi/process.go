package readapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/commands/edge"
	"daybook.example/domain"
)

// processInstance is the projection that answers about processes; processInputs
// is the checkpoint of what hands events to them.
const (
	processInstance = "process_instance"
	processInputs   = "processes"
)

func (s *server) processRoutes() {
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/processes", Tag: "processes", Action: edge.ReadProcesses,
		Summary:     "List the instances of process managers",
		Description: "A process manager acts where one fact has consequences for other records. An instance that needs a human says why; see it, mend the cause, and have it retried, or take it over.",
	}, s.processes)
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/processes/{name}/{id}", Tag: "processes", Action: edge.ReadProcesses,
		Summary: "Read an instance with its history, deadlines and commands",
	}, s.process)
}

// AfterParams are what a read takes that knows the present only.
type AfterParams struct {
	After string `query:"after" maxLength:"64" doc:"Wait until this position is in the answer: what a command's Daybook-Position said."`
}

func (p AfterParams) known() KnownParams { return KnownParams{After: p.After} }

// ProcessParams are what the list of instances is asked by.
type ProcessParams struct {
	AfterParams
	PageParams
	Name  string `query:"name" maxLength:"64" doc:"Only instances of this process, such as manager-leaves."`
	State string `query:"state" enum:"running,needs-human,finished,taken-over" doc:"Only those in this state."`
}

// A ProcessInstance is where one instance stands.
type ProcessInstance struct {
	Name         string            `json:"name"`
	ID           uuid.UUID         `json:"id" doc:"Of the employee whom the instance is about."`
	State        string            `json:"state" enum:"running,needs-human,finished,taken-over"`
	Version      *int              `json:"version,omitempty" doc:"Of the definition that answered last."`
	Needs        []ProcessNeed     `json:"needs" doc:"Why a person must act."`
	Reminders    []ProcessReminder `json:"reminders"`
	Outcome      *string           `json:"outcome,omitempty" doc:"How it ended; absent while anything is open."`
	TakenOverBy  *string           `json:"taken_over_by,omitempty"`
	ReasonCode   *string           `json:"reason_code,omitempty" doc:"Why it was taken over."`
	BegunAt      time.Time         `json:"begun_at"`
	ChangedAt    time.Time         `json:"changed_at"`
	Revision     int64             `json:"revision" doc:"Of the instance's stream."`
	NextDeadline *time.Time        `json:"next_deadline,omitempty"`
	Pending      int64             `json:"pending" doc:"Commands that are not answered yet."`
}

// A ProcessNeed is why a person must act, about whom or after which command.
type ProcessNeed struct {
	Code       string    `json:"code"`
	EmployeeID uuid.UUID `json:"employee_id,omitzero"`
	CommandID  uuid.UUID `json:"command_id,omitzero"`
}

// A ProcessReminder says that something is due.
type ProcessReminder struct {
	Code string      `json:"code"`
	Due  domain.Date `json:"due"`
}

const processSQL = `select name, process_id, state, version, needs, reminders, outcome, taken_over_by, reason_code, begun_at, changed_at, revision, next_deadline, pending
	from api.process_instance `

// A ProcessPage is a part of the list of instances.
type ProcessPage struct {
	Page[ProcessInstance]
	Runner *ProcessRunner `json:"runner,omitempty" doc:"What hands events to the processes; absent before a process with role processes has run."`
}

// A ProcessRunner is where that stands.
type ProcessRunner struct {
	State     string          `json:"state" enum:"new,running,retrying,halted"`
	Position  position        `json:"position" doc:"All events up to here were handed over."`
	Owner     *string         `json:"owner,omitempty"`
	Heartbeat *time.Time      `json:"heartbeat,omitempty"`
	Failure   json.RawMessage `json:"failure,omitempty" doc:"Why it does not come further."`
}

func (s *server) processes(ctx context.Context, in *ProcessParams) (*answer[ProcessPage], error) {
	after, err := in.cursor("processes")
	if err != nil {
		return nil, err
	}
	return asKnown(ctx, s, processInstance, in.known(), func(ctx context.Context, tx *reading, at AsOf) (none ProcessPage, err error) {
		rows, err := tx.Query(ctx, processSQL+`where ($1 = '' or name = $1) and ($2 = '' or state = $2)
			and ($4::uuid is null or (name, process_id) > ($3, $4)) order by name, process_id limit $5`, in.Name, in.State, after.Key, given(after.ID), in.Limit+1)
		if err != nil {
			return none, err
		}
		instances, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ProcessInstance])
		if err != nil {
			return none, err
		}
		page := pageOf(at, in.PageParams, "processes", instances, func(i ProcessInstance) cursor { return cursor{i.Name, i.ID} })
		runner, err := processRunner(ctx, tx)
		return ProcessPage{page, runner}, err
	})
}

func processRunner(ctx context.Context, tx pgx.Tx) (*ProcessRunner, error) {
	var r ProcessRunner
	err := tx.QueryRow(ctx, "select state, commit_pos, owner, heartbeat, failure from daybook.projection_checkpoint where name = $1 order by version desc limit 1", processInputs).
		Scan(&r.State, &r.Position, &r.Owner, &r.Heartbeat, &r.Failure)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}

// OneProcess is what one instance is asked by.
type OneProcess struct {
	Name string    `path:"name" pattern:"^[a-z]+(-[a-z]+)*$" maxLength:"64"`
	ID   uuid.UUID `path:"id"`
	AfterParams
}

// A ProcessRecord is all that is known of one instance.
type ProcessRecord struct {
	AsOf
	ProcessInstance
	Deadlines []ProcessDeadline `json:"deadlines"`
	Commands  []ProcessCommand  `json:"commands" doc:"What it asked for, in that order."`
	History   []ProcessEvent    `json:"history" doc:"The instance's stream, oldest first."`
}

// A ProcessDeadline is one that was scheduled.
type ProcessDeadline struct {
	ID    uuid.UUID `json:"id"`
	Key   string    `json:"key"`
	At    time.Time `json:"at"`
	State string    `json:"state" enum:"open,reached,cancelled"`
}

// A ProcessCommand is one that was asked for.
type ProcessCommand struct {
	ID          uuid.UUID       `json:"id"`
	Command     string          `json:"command" doc:"The action in the role table."`
	Intent      json.RawMessage `json:"intent" doc:"What was asked for: IDs, dates and codes."`
	Undoes      *uuid.UUID      `json:"undoes,omitempty"`
	Answer      string          `json:"answer" enum:"pending,confirmed,rejected,withdrawn"`
	Code        *string         `json:"code,omitempty" doc:"Of the rule that refused it."`
	EventIDs    []uuid.UUID     `json:"event_ids" doc:"What it recorded."`
	Undone      bool            `json:"undone"`
	RequestedAt time.Time       `json:"requested_at"`
	AnsweredAt  *time.Time      `json:"answered_at,omitempty"`
}

// A ProcessEvent is one event of the instance.
type ProcessEvent struct {
	Position   position        `json:"position"`
	EventID    uuid.UUID       `json:"event_id"`
	EventType  string          `json:"event_type"`
	Revision   int64           `json:"revision"`
	RecordedAt time.Time       `json:"recorded_at"`
	ActorID    string          `json:"actor_id"`
	Data       json.RawMessage `json:"data"`
}

func (s *server) process(ctx context.Context, in *OneProcess) (*answer[ProcessRecord], error) {
	out, err := asKnown(ctx, s, processInstance, in.known(), func(ctx context.Context, tx *reading, at AsOf) (record ProcessRecord, err error) {
		record.AsOf = at
		rows, err := tx.Query(ctx, processSQL+"where name = $1 and process_id = $2", in.Name, in.ID)
		if err != nil {
			return record, err
		}
		record.ProcessInstance, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[ProcessInstance])
		if errors.Is(err, pgx.ErrNoRows) {
			return record, &domain.Error{Kind: domain.NotFound, Code: "process-unknown", Message: "there is no such instance of a process; GET /v1/processes lists them"}
		}
		if err != nil {
			return record, err
		}
		if record.Deadlines, err = processRows[ProcessDeadline](ctx, tx, in, "deadline_id, key, at, state", "process_deadline", "at, deadline_id"); err != nil {
			return record, err
		}
		record.Commands, err = processRows[ProcessCommand](ctx, tx, in,
			"command_id, command, intent, undoes, answer, code, event_ids, undone, requested_at, answered_at", "process_command", "revision")
		if err != nil {
			return record, err
		}
		record.History, err = processRows[ProcessEvent](ctx, tx, in, "position, event_id, event_type, revision, recorded_at, actor_id, data", "process_event", "revision")
		return record, err
	})
	if err != nil {
		return nil, err
	}
	return out.tagged(out.Body.AsOf, out.Body.Revision), nil
}

// processRows reads what one of the views holds of an instance.
func processRows[R any](ctx context.Context, tx pgx.Tx, of *OneProcess, columns, view, order string) ([]R, error) {
	rows, err := tx.Query(ctx, fmt.Sprintf("select %s from api.%s where name = $1 and process_id = $2 order by %s", columns, view, order), of.Name, of.ID)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[R])
	return append([]R{}, all...), err
}
