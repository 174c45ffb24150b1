package readapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/commands/edge"
	"daybook.example/domain"
	"daybook.example/domain/operation"
	"daybook.example/eventstore"
)

func (s *server) projectionRoutes() {
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/projections", Tag: "projections", Action: edge.ReadProjections,
		Summary: "List the read models, and the process managers, with what their projectors have committed",
	}, s.projections)
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/projections/{name}/waivers", Tag: "projections", Action: edge.ReadProjections,
		Summary: "List the events that a read model was let pass without applying them",
	}, s.waivers)
}

// A Projector is where one read model stands.
type Projector struct {
	Name        string              `json:"name"`
	Version     int                 `json:"version"`
	Phase       string              `json:"phase" enum:"building,ready,differs,active,kept,outside" doc:"The active version is the one that is read; the process managers act outside of the read models."`
	State       string              `json:"state" enum:"new,running,retrying,halted,paused" doc:"As recorded; running needs an owner, too."`
	Position    eventstore.Position `json:"position" doc:"What is committed."`
	LagBytes    uint64              `json:"lag_bytes" doc:"Bytes of the log that are not applied yet."`
	Events      int64               `json:"events"`
	LastEventAt *time.Time          `json:"last_event_at,omitempty"`
	Heartbeat   *time.Time          `json:"heartbeat,omitempty"`
	Owner       string              `json:"owner,omitempty" doc:"The process that applies events, its host and number; absent where there is none."`
	Standby     []string            `json:"standby" doc:"The processes that wait to take over."`
	PausedBy    *string             `json:"paused_by,omitempty" doc:"The principal who paused it."`
	PausedAt    *time.Time          `json:"paused_at,omitempty"`
	Failure     json.RawMessage     `json:"failure,omitempty" doc:"Why it does not come further: code, reason and hint, and the event that cannot be applied if one is to blame; nothing of its payload."`

	Building     *ProjectionBuild        `json:"building,omitempty"`
	Verification *ProjectionVerification `json:"verification,omitempty" doc:"How it compares with the version that was read when it was built."`
	PromotedAt   *time.Time              `json:"promoted_at,omitempty"`
}

// A ProjectionBuild is how far a version is that is being built.
type ProjectionBuild struct {
	DoneBytes        uint64  `json:"done_bytes"`
	TotalBytes       uint64  `json:"total_bytes" doc:"Of the log, as it is now."`
	EventsPerSecond  float64 `json:"events_per_second" doc:"Since the building began, or went on."`
	RemainingSeconds float64 `json:"remaining_seconds" doc:"At that speed; without the time for indexes and the verification."`
}

// A ProjectionVerification compares two versions at one position.
type ProjectionVerification struct {
	Version  int                 `json:"version" doc:"The one that it was compared with."`
	Position eventstore.Position `json:"position"`
	Summary  string              `json:"summary"`
	NewCode  bool                `json:"new_code,omitempty" doc:"Other code made the other one, so that rows may differ."`
	Omitted  string              `json:"omitted,omitempty" doc:"Why nothing was compared."`
	Tables   []ProjectionTable   `json:"tables,omitempty"`
}

// A ProjectionTable is a table of both versions.
type ProjectionTable struct {
	Table  string `json:"table"`
	Rows   int64  `json:"rows"`
	Before int64  `json:"before"`
	Same   bool   `json:"same"`
}

// Projectors are all of them, with the head of the log.
type Projectors struct {
	Head  eventstore.Position `json:"head"`
	Items []Projector         `json:"items"`
}

type projectorsAnswer struct{ Body Projectors }

// Who is there is known by the locks that they hold, not by what is written down.
const projectorsSQL = `
with session as materialized (select * from daybook.projection_session)
select name, version, state, commit_pos, prepare_pos, events, last_event_at, heartbeat, failure, paused_by, paused_at,
  coalesce((select process from session s where s.name = c.name and s.version = c.version and owner limit 1), ''),
  array(select process from session s where s.name = c.name and s.version = c.version and not owner order by process),
  v.phase, v.verification, v.promoted, v.begun_commit, v.begun_events, extract(epoch from clock_timestamp() - v.begun)::float8
from daybook.projection_checkpoint c join daybook.projection_version v using (name, version)
order by name, version`

func (s *server) projections(ctx context.Context, _ *struct{}) (*projectorsAnswer, error) {
	head, err := s.head(ctx)
	if err != nil {
		return nil, s.waitable(err)
	}
	rows, err := s.Pool.Query(ctx, projectorsSQL)
	if err != nil {
		return nil, s.waitable(err)
	}
	defer rows.Close()
	list := Projectors{Head: head, Items: []Projector{}}
	for rows.Next() {
		var p Projector
		var begun begun
		if err := rows.Scan(&p.Name, &p.Version, &p.State, &p.Position.Commit, &p.Position.Prepare, &p.Events, &p.LastEventAt, &p.Heartbeat,
			&p.Failure, &p.PausedBy, &p.PausedAt, &p.Owner, &p.Standby,
			&p.Phase, &p.Verification, &p.PromotedAt, &begun.commit, &begun.events, &begun.seconds); err != nil {
			return nil, err
		}
		if p.Phase == "building" {
			p.Building = begun.build(p, head)
		}
		if p.Position.Less(head) {
			p.LagBytes = head.Commit - p.Position.Commit
		}
		list.Items = append(list.Items, p)
	}
	return &projectorsAnswer{list}, s.waitable(rows.Err())
}

// begun is where a build was when it began or went on, and how long ago that is.
type begun struct {
	commit, events int64
	seconds        float64
}

func (b begun) build(p Projector, head eventstore.Position) *ProjectionBuild {
	out := &ProjectionBuild{DoneBytes: p.Position.Commit, TotalBytes: max(head.Commit, p.Position.Commit)}
	if read := float64(p.Position.Commit) - float64(b.commit); b.seconds > 0 && read > 0 {
		out.EventsPerSecond = float64(p.Events-b.events) / b.seconds
		out.RemainingSeconds = float64(out.TotalBytes-out.DoneBytes) * b.seconds / read
	}
	return out
}

// WaivedOf names a read model.
type WaivedOf struct {
	Name string `path:"name" maxLength:"64"`
}

// A Waiver lets a read model pass an event.
type Waiver struct {
	EventID    uuid.UUID           `json:"event_id"`
	Reason     string              `json:"reason"`
	Operator   string              `json:"operator" doc:"The principal who waived it."`
	RecordedAt time.Time           `json:"recorded_at"`
	Position   eventstore.Position `json:"position" doc:"Of the waiver."`
}

// Waivers are all of a read model, the oldest first.
type Waivers struct {
	Items []Waiver `json:"items"`
}

type waiversAnswer struct{ Body Waivers }

// waivers come from the log itself: each version of the read model has them.
func (s *server) waivers(ctx context.Context, in *WaivedOf) (*waiversAnswer, error) {
	if err := s.knows(in.Name); err != nil {
		return nil, s.waitable(err)
	}
	out := &waiversAnswer{Waivers{Items: []Waiver{}}}
	for event, err := range s.Store.Stream(ctx, operation.Stream, 0) {
		if errors.Is(err, eventstore.ErrStreamNotFound) {
			break
		}
		if err != nil {
			return nil, s.waitable(fmt.Errorf("read the waivers: %w", err))
		}
		var meta domain.Metadata
		if domain.Unmarshal(event.Metadata, &meta) != nil {
			continue // nobody of ours wrote it
		}
		decoded, err := operation.Catalog.Decode(event.Type, meta.SchemaVersion, event.Data)
		if waived, ok := decoded.(operation.ProjectionEventWaived); ok && err == nil && waived.Projection == in.Name {
			out.Body.Items = append(out.Body.Items, Waiver{waived.EventID, waived.Reason, waived.Operator, meta.RecordedAt, event.Position})
		}
	}
	return out, nil
}

// knows refuses the name of a read model that is not there.
func (s *server) knows(name string) error {
	marks, err := s.findMarks()
	if err != nil {
		return err
	}
	if _, there := marks[name]; !there {
		return &domain.Error{Kind: domain.NotFound, Code: "projection-unknown",
			Message: "there is no such projection; there are: " + strings.Join(slices.Sorted(maps.Keys(marks)), ", ")}
	}
	return nil
}

// A start is the head of the log when it was first asked for: after a crash of
// the database a read model may be behind what it showed before, and nobody is
// to see that.
type start struct {
	mu    sync.Mutex
	known bool
	head  eventstore.Position
}

func (s *start) at(ctx context.Context, store eventstore.Reader) (eventstore.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known {
		return s.head, nil
	}
	head, err := store.Head(ctx)
	if err == nil {
		s.head, s.known = head, true
	}
	return head, err
}

// caughtUp returns why the read models cannot answer yet. One that is paused never
// goes back: what was shown of it was on disk before the pause was.
func (s *server) caughtUp(ctx context.Context) error {
	head, err := s.start.at(ctx, s.Store)
	if err != nil {
		return errors.New("the event store does not answer yet")
	}
	marks, err := s.findMarks()
	switch {
	case DatabaseAway(err):
		return errors.New(absence(err))
	case err != nil:
		return errors.New("the database does not answer yet, or has no read models")
	case len(marks) == 0:
		return errors.New("none is there yet; a process with role projections makes them")
	}
	if err := s.troubled(ctx); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(marks)) {
		if at := marks[name]; at.position.Less(head) && at.state != "paused" {
			return fmt.Errorf("%s is %s at %s and has not reached %s, where the log was at the start", name, at.state, at.position, head)
		}
	}
	return nil
}

// troubled returns what keeps a read model from coming further, and the way out.
func (s *server) troubled(ctx context.Context) error {
	var name, state, code, reason, hint string
	err := s.Pool.QueryRow(ctx, `select name, c.state, failure->>'code', coalesce(failure->>'reason', ''), coalesce(failure->>'hint', '')
		from daybook.projection_checkpoint c join (`+marksSQL+`) read using (name, version)
		where failure is not null and c.state in ('halted', 'retrying') order by c.state, name limit 1`).
		Scan(&name, &state, &code, &reason, &hint)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return errors.New("the database does not answer")
	}
	return fmt.Errorf("%s is %s (%s): %s; %s", name, state, code, reason, hint)
}
