-- Every event of ours, decodable or not: who, what, when, why, and what it
-- changed. Personal values stand here as references only.
create table audit_log (
  position         bigint primary key,
  stream           text   collate "C" not null,
  revision         bigint not null,
  event_type       text   collate "C" not null,
  event_id         uuid   not null,
  recorded_at      timestamptz,     -- as the event says; null where it cannot be read
  recorded_on      date,            -- the same in the organisation's zone of that time
  effective_at     text   collate "C",
  effective_on     date,
  actor_id         text   collate "C",
  actor_kind       text   collate "C",
  on_behalf_of     text   collate "C",
  entity_kind      text   collate "C" not null,
  entity_id        text   collate "C" not null,
  document_no      text   collate "C",
  action           text   collate "C" not null, -- the event type without its category
  changes          jsonb  not null, -- [{path, old, new}]
  reason_code      text   collate "C",
  correlation_id   uuid,
  causation_id     uuid,
  command_id       uuid,
  approval_id      uuid,
  software_version text   collate "C",
  policy_version   text   collate "C",
  source           jsonb,           -- where an imported fact came from
  period_state     text   collate "C", -- of the period of the document, where that is not the one posted to
  finding          text   collate "C", -- foreign, misplaced or undecodable: what an auditor must look at
  leaf_hash        bytea  not null,
  last_event_id    uuid   not null,
  last_position    bigint not null,
  last_revision    bigint not null
);

-- The versions of an entity: each holds the members of its state that an event
-- changed (null = gone), every fiftieth the whole state, too. The entity of a
-- journal event is the entry or the period.
create table entity_version (
  entity_kind     text   collate "C" not null,
  entity_id       text   collate "C" not null,
  revision        bigint not null, -- of the stream
  version         bigint not null, -- counts from 1
  patch           jsonb  not null,
  state           jsonb,
  recorded_from   bigint not null, -- position; until that of the next version
  recorded_at     timestamptz,
  last_event_id   uuid   not null,
  last_position   bigint not null,
  last_revision   bigint not null,
  primary key (entity_kind, entity_id, revision)
);

-- The latest state of each entity, as text that keeps every byte: the fold goes
-- on from here.
create table entity_state (
  entity_kind     text   collate "C" not null,
  entity_id       text   collate "C" not null,
  version         bigint not null,
  state           json   not null,
  last_event_id   uuid   not null,
  last_position   bigint not null,
  last_revision   bigint not null,
  primary key (entity_kind, entity_id)
);

-- What was said of the entities whose facts have effective dates, in the order of
-- recording: old and new are folded from it. Personal values stay sealed.
create table entity_assertion (
  entity_kind     text   collate "C" not null,
  entity_id       text   collate "C" not null,
  position        bigint not null,
  event_id        uuid   not null,
  revision        bigint not null,
  event_type      text   collate "C" not null,
  schema_version  int    not null,
  data            json   not null,
  last_event_id   uuid   not null,
  last_position   bigint not null,
  last_revision   bigint not null,
  primary key (entity_kind, entity_id, position)
);
