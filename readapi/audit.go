package readapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/commands/edge"
	"daybook.example/domain"
)

// auditLog is the projection that answers about the events themselves.
const auditLog = "audit_log"

func (s *server) auditRoutes() {
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/audit/events", Tag: "audit", Action: edge.ReadAudit,
		Summary: "List who changed what, when and why, with old and new values",
		Description: "Every event of the log, oldest first. Old and new are what was believed on the event's effective date just before and just after it; " +
			"of a correction, old is what the event corrected had said. Personal values are masked by role.",
	}, s.auditEvents)
	edge.Register(s.api, edge.Operation{
		Method: http.MethodGet, Path: "/v1/reports/backdated", Tag: "reports", Action: edge.ReadBackdated,
		Summary: "List what was recorded after it took effect, or for a period that was closed",
	}, s.backdated)
}

// AuditParams are what the audit log is asked by.
type AuditParams struct {
	KnownParams
	PageParams
	Actor    string `query:"actor" maxLength:"200" doc:"Only what this principal did, or somebody on its behalf."`
	Entity   string `query:"entity" maxLength:"200" doc:"Only this entity: its ID, or the name of its stream."`
	Kind     string `query:"kind" maxLength:"64" doc:"Only entities of this kind, such as employee, entry or period."`
	Type     string `query:"type" maxLength:"128" doc:"Only events of this type, such as employee-hired."`
	From     string `query:"from" maxLength:"64" doc:"Only what was recorded at this time or after: RFC 3339, or a day in the organisation's zone."`
	To       string `query:"to" maxLength:"64" doc:"Only what was recorded before this time."`
	Document string `query:"document" maxLength:"200" doc:"Only what concerns the document of this number."`
	Findings bool   `query:"findings" doc:"Only events that are not as they should be."`
}

// An AuditEvent is one event as auditors see it.
type AuditEvent struct {
	Position        position        `json:"position"`
	EventID         uuid.UUID       `json:"event_id"`
	EventType       string          `json:"event_type"`
	Action          string          `json:"action"`
	Stream          string          `json:"stream"`
	Revision        int64           `json:"revision"`
	RecordedAt      *time.Time      `json:"recorded_at,omitempty"`
	EffectiveAt     *string         `json:"effective_at,omitempty"`
	ActorID         *string         `json:"actor_id,omitempty"`
	ActorKind       *string         `json:"actor_kind,omitempty"`
	OnBehalfOf      *string         `json:"on_behalf_of,omitempty"`
	EntityKind      string          `json:"entity_kind"`
	EntityID        string          `json:"entity_id"`
	DocumentNo      *string         `json:"document_no,omitempty"`
	Changes         json.RawMessage `json:"changes" doc:"A list of {path, old, new}; null where there was, or is, nothing."`
	ReasonCode      *string         `json:"reason_code,omitempty"`
	CommandID       *uuid.UUID      `json:"command_id,omitempty"`
	CorrelationID   *uuid.UUID      `json:"correlation_id,omitempty"`
	CausationID     *uuid.UUID      `json:"causation_id,omitempty"`
	ApprovalID      *uuid.UUID      `json:"approval_id,omitempty"`
	SoftwareVersion *string         `json:"software_version,omitempty"`
	PolicyVersion   *string         `json:"policy_version,omitempty"`
	Source          json.RawMessage `json:"source,omitempty" doc:"Where an imported fact came from."`
	PeriodState     *string         `json:"period_state,omitempty" doc:"Of the period of the document, where the entry had to go into a later one."`
	Finding         *string         `json:"finding,omitempty" enum:"foreign,misplaced,undecodable"`
	LeafHash        string          `json:"leaf_hash" doc:"Of the stored bytes, in the Merkle tree over the log."`
}

// A moment that is only a day begins with the day in the organisation's zone.
const auditEventsSQL = `
select position, event_id, event_type, action, stream, revision, recorded_at, effective_at, actor_id, actor_kind, on_behalf_of,
  entity_kind, entity_id, document_no, changes, reason_code, command_id, correlation_id, causation_id, approval_id,
  software_version, policy_version, source, period_state, finding, encode(leaf_hash, 'hex')
from api.audit_log
where position <= $1 and position > $2
  and ($3 = '' or actor_id = $3 or on_behalf_of = $3)
  and ($4 = '' or entity_id = $4 or stream = $4)
  and ($5 = '' or entity_kind = $5)
  and ($6 = '' or event_type = $6)
  and ($7::timestamptz is null or recorded_at >= $7)
  and ($8::timestamptz is null or recorded_at < $8)
  and ($9 = '' or document_no = $9)
  and (not $10 or finding is not null)
order by position limit $11`

func (s *server) auditEvents(ctx context.Context, in *AuditParams) (*answer[Page[AuditEvent]], error) {
	after, err := in.place("audit")
	if err != nil {
		return nil, err
	}
	return asKnown(ctx, s, auditLog, in.KnownParams, func(ctx context.Context, tx *reading, at AsOf) (none Page[AuditEvent], err error) {
		from, to, err := in.between(ctx, tx, &at)
		if err != nil {
			return none, err
		}
		rows, err := tx.Query(ctx, auditEventsSQL, at.Known, after, in.Actor, in.Entity, in.Kind, in.Type, from, to, in.Document, in.Findings, in.Limit+1)
		if err != nil {
			return none, err
		}
		events, err := pgx.CollectRows(rows, pgx.RowToStructByPos[AuditEvent])
		if err != nil {
			return none, err
		}
		page := pageOf(at, in.PageParams, "audit", events, func(e AuditEvent) cursor { return placeOf(e.Position) })
		changes := make([]*json.RawMessage, len(page.Items))
		for i := range page.Items {
			changes[i] = &page.Items[i].Changes
		}
		return page, s.reveal(ctx, tx, changes...)
	})
}

// place is the position that a page begins behind.
func (p PageParams) place(list string) (int64, error) {
	after, err := p.cursor(list)
	if err != nil || after.Key == "" {
		return -1, err
	}
	place, err := strconv.ParseInt(after.Key, 10, 64)
	if err != nil {
		return 0, badParameter("cursor", "this is not the next of a page of this list")
	}
	return place, nil
}

func placeOf(p position) cursor { return cursor{Key: strconv.FormatInt(int64(p), 10)} }

// between reads from and to; the zone goes into the answer.
func (p AuditParams) between(ctx context.Context, tx pgx.Tx, at *AsOf) (from, to *time.Time, err error) {
	if err := tx.QueryRow(ctx, "select api.audit_zone_at($1)", at.Known).Scan(&at.Zone); err != nil {
		return nil, nil, err
	}
	zone, err := domain.Zone(at.Zone)
	if err != nil {
		return nil, nil, fmt.Errorf("the organisation's zone: %w", err)
	}
	if from, err = moment("from", p.From, zone); err != nil {
		return nil, nil, err
	}
	to, err = moment("to", p.To, zone)
	return from, to, err
}

// moment reads a time, or the begin of a day.
func moment(name, text string, zone *time.Location) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return &at, nil
	}
	if at, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		return &at, nil
	}
	return nil, badParameter(name, name+" is a time as RFC 3339 such as 2025-03-10T12:00:00Z, or a day such as 2025-03-10")
}

// BackdatedParams are what the register is asked by.
type BackdatedParams struct {
	KnownParams
	PageParams
	Days    int  `query:"days" minimum:"0" maximum:"36525" doc:"Only what was recorded more than so many days after it took effect."`
	Imports bool `query:"imports" default:"true" doc:"With what was imported, which is always late."`
}

// A BackdatedEvent is a line of the register.
type BackdatedEvent struct {
	Position    position   `json:"position"`
	EventID     uuid.UUID  `json:"event_id"`
	EventType   string     `json:"event_type"`
	EntityKind  string     `json:"entity_kind"`
	EntityID    string     `json:"entity_id"`
	DocumentNo  *string    `json:"document_no,omitempty"`
	EffectiveAt *string    `json:"effective_at,omitempty"`
	RecordedAt  *time.Time `json:"recorded_at,omitempty"`
	RecordedOn  *string    `json:"recorded_on,omitempty" format:"date" doc:"The same in the organisation's zone of that time."`
	LagDays     *int       `json:"lag_days,omitempty"`
	ActorID     *string    `json:"actor_id,omitempty"`
	ApprovalID  *uuid.UUID `json:"approval_id,omitempty"`
	PeriodState *string    `json:"period_state,omitempty" doc:"Of the period of the document, where the entry had to go into a later one."`
	Imported    bool       `json:"imported"`
}

const backdatedSQL = `
select position, event_id, event_type, entity_kind, entity_id, document_no, effective_at, recorded_at, recorded_on::text,
  recorded_on - effective_on, actor_id, approval_id, period_state, source is not null
from api.audit_log
where position <= $1 and position > $2
  and (recorded_on > effective_on or period_state is not null)
  and (recorded_on - effective_on > $3 or period_state is not null)
  and ($4 or source is null)
order by position limit $5`

func (s *server) backdated(ctx context.Context, in *BackdatedParams) (*answer[Page[BackdatedEvent]], error) {
	after, err := in.place("backdated")
	if err != nil {
		return nil, err
	}
	return asKnown(ctx, s, auditLog, in.KnownParams, func(ctx context.Context, tx *reading, at AsOf) (none Page[BackdatedEvent], err error) {
		rows, err := tx.Query(ctx, backdatedSQL, at.Known, after, in.Days, in.Imports, in.Limit+1)
		if err != nil {
			return none, err
		}
		events, err := pgx.CollectRows(rows, pgx.RowToStructByPos[BackdatedEvent])
		return pageOf(at, in.PageParams, "backdated", events, func(e BackdatedEvent) cursor { return placeOf(e.Position) }), err
	})
}
