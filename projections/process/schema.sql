-- The instances of process managers: where each stands now. All values are IDs,
-- dates and codes, as in their events.
create table process_instance (
  name          text  collate "C" not null, -- of the definition
  process_id    uuid  not null,
  version       int,            -- of the definition that answered last
  needs         jsonb not null default '[]', -- why a person must act: {code, employee_id, command_id}
  reminders     jsonb not null default '[]', -- {code, due}
  outcome       text  collate "C", -- of what is finished
  taken_over_by text  collate "C",
  reason_code   text  collate "C", -- why it was taken over
  state         text  collate "C" generated always as (case
    when taken_over_by is not null then 'taken-over' when needs <> '[]' then 'needs-human'
    when outcome is not null then 'finished' else 'running' end) stored,
  begun_at      timestamptz not null, -- labels of positions
  changed_at    timestamptz not null,
  last_event_id uuid   not null,
  last_position bigint not null,
  last_revision bigint not null,
  primary key (name, process_id)
);

-- What each instance heard, asked for and awaited, as it is stored.
create table process_event (
  name          text   collate "C" not null,
  process_id    uuid   not null,
  revision      bigint not null,
  event_id      uuid   not null,
  event_type    text   collate "C" not null,
  data          jsonb  not null,
  recorded_at   timestamptz not null,
  position      bigint not null,
  actor_id      text   collate "C" not null,
  last_event_id uuid   not null,
  last_position bigint not null,
  last_revision bigint not null,
  primary key (name, process_id, revision)
);

-- The commands that were asked for, with what became of them.
create table process_command (
  command_id    uuid   not null primary key,
  name          text   collate "C" not null,
  process_id    uuid   not null,
  revision      bigint not null, -- of the request: their order
  command       text   collate "C" not null,
  intent        jsonb  not null,
  undoes        uuid,
  answer        text   collate "C" not null default 'pending', -- confirmed, rejected, withdrawn
  code          text   collate "C", -- of the rule that refused it
  event_ids     jsonb  not null default '[]', -- what it recorded
  undone        boolean not null default false,
  requested_at  timestamptz not null,
  answered_at   timestamptz,
  last_event_id uuid   not null,
  last_position bigint not null,
  last_revision bigint not null
);

create table process_deadline (
  deadline_id   uuid   not null primary key,
  name          text   collate "C" not null,
  process_id    uuid   not null,
  key           text   collate "C" not null,
  at            timestamptz not null,
  state         text   collate "C" not null default 'open', -- reached, cancelled
  last_event_id uuid   not null,
  last_position bigint not null,
  last_revision bigint not null
);

-- From where on each version of a definition answers what happens.
create table process_version (
  name           text  collate "C" not null,
  version        int   not null,
  after_event_id uuid  not null,
  started_at     timestamptz not null,
  last_event_id  uuid   not null,
  last_position  bigint not null,
  last_revision  bigint not null,
  primary key (name, version)
);
