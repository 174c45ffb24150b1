package audit

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/domain"
	"daybook.example/eventstore/proof"
	"daybook.example/projections"
)

// last is the event that last touched a row.
type last struct {
	LastEvent    uuid.UUID `json:"last_event_id"`
	LastPosition int64     `json:"last_position"`
	LastRevision uint64    `json:"last_revision"`
}

func lastOf(e projections.Event) last { return last{e.ID, e.Pos(), e.Revision} }

// A logRow is a row of audit_log; the names are those of the columns.
type logRow struct {
	Position        int64           `json:"position"`
	Stream          string          `json:"stream"`
	Revision        uint64          `json:"revision"`
	Type            string          `json:"event_type"`
	Event           uuid.UUID       `json:"event_id"`
	RecordedAt      *time.Time      `json:"recorded_at"`
	RecordedOn      *string         `json:"recorded_on"`
	EffectiveAt     *string         `json:"effective_at"`
	EffectiveOn     *string         `json:"effective_on"`
	ActorID         *string         `json:"actor_id"`
	ActorKind       *string         `json:"actor_kind"`
	OnBehalfOf      *string         `json:"on_behalf_of"`
	DocumentNo      *string         `json:"document_no"`
	Action          string          `json:"action"`
	Changes         []change        `json:"changes"`
	ReasonCode      *string         `json:"reason_code"`
	CorrelationID   *uuid.UUID      `json:"correlation_id"`
	CausationID     *uuid.UUID      `json:"causation_id"`
	CommandID       *uuid.UUID      `json:"command_id"`
	ApprovalID      *uuid.UUID      `json:"approval_id"`
	SoftwareVersion *string         `json:"software_version"`
	PolicyVersion   *string         `json:"policy_version"`
	Source          json.RawMessage `json:"source"`
	PeriodState     *string         `json:"period_state"`
	Finding         *string         `json:"finding"`
	Leaf            string          `json:"leaf_hash"`
	key
	last
}

// A versionRow is a row of entity_version.
type versionRow struct {
	key
	Revision   uint64     `json:"revision"`
	Version    int64      `json:"version"`
	Patch      fields     `json:"patch"`
	State      fields     `json:"state"`
	From       int64      `json:"recorded_from"`
	RecordedAt *time.Time `json:"recorded_at"`
	last
}

// A stateRow is a row of entity_state.
type stateRow struct {
	key
	Version int64  `json:"version"`
	State   fields `json:"state"`
	last
}

// An assertionRow is a row of entity_assertion.
type assertionRow struct {
	key
	Position int64           `json:"position"`
	Event    uuid.UUID       `json:"event_id"`
	Revision uint64          `json:"revision"`
	Type     string          `json:"event_type"`
	Schema   int             `json:"schema_version"`
	Data     json.RawMessage `json:"data"`
	last
}

// rowOf is the audit row of an event, without what it changed.
func (p *page) rowOf(e projections.Event, s subject) logRow {
	leaf, meta := proof.Leaf(e.Recorded), e.Meta
	if effective, ok := e.Decoded.(domain.Effective); ok && meta.EffectiveAt == "" {
		meta.EffectiveAt = effective.EffectiveAt()
	}
	row := logRow{
		Position: e.Pos(), Stream: storable(e.Stream), Revision: e.Revision, Type: storable(e.Type), Event: e.ID,
		RecordedAt: orNull(meta.RecordedAt), EffectiveAt: orNull(storable(meta.EffectiveAt)),
		ActorID: orNull(storable(meta.Actor.ID)), ActorKind: orNull(storable(string(meta.Actor.Kind))), OnBehalfOf: orNull(storable(meta.OnBehalfOf)),
		key: key{storable(s.Kind), storable(s.ID)}, DocumentNo: orNull(p.documentNo(e, s)), Action: storable(s.action), Changes: []change{},
		ReasonCode: orNull(storable(meta.ReasonCode)), CorrelationID: orNull(meta.CorrelationID), CausationID: orNull(meta.CausationID),
		CommandID: orNull(meta.CommandID), ApprovalID: meta.ApprovalID,
		SoftwareVersion: orNull(storable(meta.SoftwareVersion)), PolicyVersion: orNull(storable(meta.PolicyVersion)),
		Source: sourceOf(meta), PeriodState: orNull(p.lateFor(e, s)), Finding: orNull(s.finding),
		Leaf: `\x` + hex.EncodeToString(leaf[:]), last: lastOf(e),
	}
	if row.RecordedAt != nil {
		row.RecordedOn = orNull(p.dayOf(meta.RecordedAt))
	}
	if day, err := domain.ParseDate(meta.EffectiveAt[:min(len(meta.EffectiveAt), len(time.DateOnly))]); err == nil {
		row.EffectiveOn = orNull(day.String())
	}
	return row
}

// documentNo is that of the entry; a reversal has that of the entry it undoes.
func (p *page) documentNo(e projections.Event, s subject) string {
	other, ok := reversed(e)
	if s.documentNo != "" || !ok || s.finding != "" {
		return s.documentNo
	}
	return p.text(other, "/source/document_no")
}

// lateFor is the state of the document's period where an entry had to go into
// another one because of it.
func (p *page) lateFor(e projections.Event, s subject) string {
	other, ok := documentPeriod(e)
	if !ok || s.finding != "" {
		return ""
	}
	if state := p.text(other, "/state"); state != "open" {
		return state
	}
	return ""
}

func sourceOf(meta domain.Metadata) json.RawMessage {
	if meta.Source == nil {
		return nil
	}
	source, err := domain.Marshal(meta.Source)
	if err != nil || strings.Contains(string(source), `\u0000`) {
		return nil
	}
	return source
}

// storable is text that a table can keep: events that are not ours may hold any.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// queueStore queues what the page adds.
func (p *page) queueStore(writes *pgx.Batch) error {
	states := make([]stateRow, len(p.touched))
	for i, k := range p.touched {
		states[i] = stateRow{k, p.entities[k].version, p.entities[k].state, p.entities[k].last}
	}
	return cmp.Or(
		queueRows(writes, "audit_log", "", p.rows),
		queueRows(writes, "entity_version", "", p.versions),
		queueRows(writes, "entity_assertion", "", p.assertions),
		queueRows(writes, "entity_state", `on conflict (entity_kind, entity_id) do update set version = excluded.version, state = excluded.state,
			last_event_id = excluded.last_event_id, last_position = excluded.last_position, last_revision = excluded.last_revision`, states),
	)
}

// queueRows inserts rows whose JSON members are named as the table's columns.
func queueRows[R any](writes *pgx.Batch, table, conflict string, rows []R) error {
	if len(rows) == 0 {
		return nil
	}
	content, err := domain.Marshal(rows)
	if err != nil {
		return fmt.Errorf("write rows of %s: %w", table, err)
	}
	writes.Queue("insert into "+table+" select r.* from json_populate_recordset(null::"+table+", $1::text::json) r "+conflict, string(content))
	return nil
}
