package audit

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"daybook.example/domain"
	"daybook.example/eventstore/proof"
	"daybook.example/projections"
)

// last is the event that last touched a row.
type last struct {
	Event    uuid.UUID
	Position int64
	Revision uint64
}

func lastOf(e projections.Event) last { return last{e.ID, e.Pos(), e.Revision} }

// A logRow is what a row of audit_log is made of.
type logRow struct {
	projections.Event
	subject
	recordedOn  domain.Date // in the organisation's zone
	periodState string      // of the document's period, where it was not open
	changes     []change
}

const logColumns = `position, stream, revision, event_type, event_id, recorded_at, recorded_on, effective_at, effective_on,
	actor_id, actor_kind, on_behalf_of, entity_kind, entity_id, document_no, action, changes, reason_code,
	correlation_id, causation_id, command_id, approval_id, software_version, policy_version, source,
	period_state, finding, leaf_hash, last_event_id, last_position, last_revision`

func (r logRow) values() []any {
	leaf, m := proof.Leaf(r.Recorded), r.Meta
	effectiveAt, effectiveOn := r.effective()
	var approval any
	if m.ApprovalID != nil {
		approval = *m.ApprovalID
	}
	return []any{
		r.Pos(), storable(r.Stream), r.Revision, storable(r.Type), r.ID, projections.OrNull(m.RecordedAt), projections.OrNull(r.recordedOn), effectiveAt, effectiveOn,
		text(m.Actor.ID), text(string(m.Actor.Kind)), text(m.OnBehalfOf), storable(r.Kind), storable(r.Entity), text(r.documentNo),
		storable(r.action), changesJSON(r.changes), text(m.ReasonCode),
		projections.OrNull(m.CorrelationID), projections.OrNull(m.CausationID), projections.OrNull(m.CommandID), approval, text(m.SoftwareVersion), text(m.PolicyVersion), sourceOf(m),
		projections.OrNull(r.periodState), projections.OrNull(r.finding), leaf[:], r.ID, r.Pos(), r.Revision,
	}
}

// effective is what the metadata or else the event says, and its day.
func (r logRow) effective() (at, on any) {
	said := r.Meta.EffectiveAt
	if effective, ok := r.Decoded.(domain.Effective); ok && said == "" {
		said = effective.EffectiveAt()
	}
	if day, err := domain.ParseDate(said[:min(len(said), len(time.DateOnly))]); err == nil {
		on = day
	}
	return text(said), on
}

// A versionRow is a row of entity_version.
type versionRow struct {
	key
	revision   uint64
	version    int64
	patch      fields
	state      fields // nil in most
	recordedAt time.Time
	last
}

const versionColumns = `entity_kind, entity_id, revision, version, patch, state, recorded_from, recorded_at,
	last_event_id, last_position, last_revision`

func (r versionRow) values() []any {
	var state any
	if r.state != nil {
		state = r.state.json()
	}
	return []any{
		r.Kind, r.Entity, r.revision, r.version, r.patch.json(), state, r.Position, projections.OrNull(r.recordedAt),
		r.Event, r.Position, r.Revision,
	}
}

// An assertionRow is a row of entity_assertion.
type assertionRow struct {
	projections.Event
	key
}

const assertionColumns = `entity_kind, entity_id, position, event_id, revision, event_type, schema_version, data,
	last_event_id, last_position, last_revision`

func (r assertionRow) values() []any {
	return []any{
		r.Kind, r.Entity, r.Pos(), r.ID, r.Revision, r.Type, r.Meta.SchemaVersion, string(r.Data),
		r.ID, r.Pos(), r.Revision,
	}
}

const stateColumns = `entity_kind, entity_id, version, state, last_event_id, last_position, last_revision`

func (e *entity) values(k key) []any {
	return []any{k.Kind, k.Entity, e.version, string(e.state.json()), e.last.Event, e.last.Position, e.last.Revision}
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

func sourceOf(meta domain.Metadata) any {
	if meta.Source == nil {
		return nil
	}
	source, err := domain.Marshal(meta.Source)
	if err != nil || strings.Contains(string(source), `\u0000`) {
		return nil
	}
	return json.RawMessage(source)
}

// storable is text that a table can keep: events that are not ours may hold any.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// text is the same, null where there is none.
func text(value string) any { return projections.OrNull(storable(value)) }

// json writes the members in the order of their names, and every value as it is.
func (f fields) json() json.RawMessage {
	size := 2
	for name, value := range f {
		size += len(name) + len(value) + 4
	}
	object := append(make([]byte, 0, size), '{')
	for i, name := range slices.Sorted(maps.Keys(f)) {
		if i > 0 {
			object = append(object, ',')
		}
		object = member(object, name, f[name])
	}
	return append(object, '}')
}

func member(to []byte, name string, value json.RawMessage) []byte {
	to, _ = jsontext.AppendQuote(to, name) // what is not UTF-8 in it is replaced
	to = append(to, ':')
	if value == nil {
		return append(to, "null"...)
	}
	return append(to, value...)
}

func changesJSON(changes []change) json.RawMessage {
	list := []byte{'['}
	for i, c := range changes {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, `{"path":`...)
		list, _ = jsontext.AppendQuote(list, c.Path)
		list = member(append(list, ','), "old", c.Old)
		list = append(member(append(list, ','), "new", c.New), '}')
	}
	return append(list, ']')
}

// store folds the events one by one as their rows are written, and then writes
// what came of the entities: each state that is new is a row more, the others take
// the place of what they were.
func (p *page) store(ctx context.Context, tx pgx.Tx, events []projections.Event) error {
	var writes projections.Writes
	writes.Insert("audit_log", logColumns, len(events), func(i int) []any { return p.record(events[i]).values() })
	writes.Then(p.storeEntities)
	return writes.Send(ctx, tx)
}

func (p *page) storeEntities(writes *projections.Writes) {
	writes.Insert("entity_version", versionColumns, len(p.versions), func(i int) []any { return p.versions[i].values() })
	writes.Insert("entity_assertion", assertionColumns, len(p.assertions), func(i int) []any { return p.assertions[i].values() })
	var fresh []key
	var again states
	for _, k := range p.touched {
		if e := p.entities[k]; e.stored {
			again.add(k, e)
		} else {
			fresh = append(fresh, k)
		}
	}
	writes.Insert("entity_state", stateColumns, len(fresh), func(i int) []any { return p.entities[fresh[i]].values(fresh[i]) })
	again.queue(writes)
}

// states are rows of entity_state to be replaced, as columns.
type states struct {
	kinds, ids, texts []string
	versions          []int64
	events            []uuid.UUID
	positions         []int64
	revisions         []int64
}

func (s *states) add(k key, e *entity) {
	s.kinds, s.ids = append(s.kinds, k.Kind), append(s.ids, k.Entity)
	s.versions, s.texts = append(s.versions, e.version), append(s.texts, string(e.state.json()))
	s.events, s.positions, s.revisions = append(s.events, e.last.Event), append(s.positions, e.last.Position), append(s.revisions, int64(e.last.Revision))
}

func (s *states) queue(writes *projections.Writes) {
	if len(s.kinds) == 0 {
		return
	}
	writes.Queue(`update entity_state s set version = n.version, state = n.state::json,
		  last_event_id = n.event, last_position = n.position, last_revision = n.revision
		from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::uuid[], $6::bigint[], $7::bigint[])
		  as n (kind, id, version, state, event, position, revision)
		where s.entity_kind = n.kind and s.entity_id = n.id`,
		s.kinds, s.ids, s.versions, s.texts, s.events, s.positions, s.revisions)
}
