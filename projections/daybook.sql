-- What the runners keep about themselves; never rebuilt.
create schema if not exists daybook;
create schema if not exists read;
create schema if not exists api;

create table if not exists daybook.projection_checkpoint (
  name          text   collate "C" not null,
  version       int    not null,
  log_id        uuid   not null, -- positions are meaningless on another log
  commit_pos    bigint not null default 0,
  prepare_pos   bigint not null default 0,
  last_event    uuid,            -- the last event of ours at or before the position
  last_event_pos bigint not null default 0,
  last_event_at timestamptz,     -- the running maximum of recorded_at
  events        bigint not null default 0,
  epoch         bigint not null default 0, -- the fencing token: grows with each owner
  owner         text,
  heartbeat     timestamptz,
  state         text   not null default 'new',
  failure       jsonb,
  schema_hash   text   not null, -- of the tables' SQL
  views_hash    text   not null default '',
  primary key (name, version)
) with (fillfactor = 50);
