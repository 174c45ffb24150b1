-- What the runners keep about themselves. It is never rebuilt.
create schema if not exists daybook;
create schema if not exists read;
create schema if not exists api;

create table if not exists daybook.projection_checkpoint (
  name          text   collate "C" not null,
  version       int    not null,
  log_id        uuid   not null, -- positions mean nothing on another log
  commit_pos    bigint not null default 0, -- all up to here is in the tables; 0 = nothing
  prepare_pos   bigint not null default 0,
  last_event    uuid,            -- the last event of ours up to here
  last_event_at timestamptz,     -- the running maximum of recorded_at
  events        bigint not null default 0,
  epoch         bigint not null default 0, -- the fencing token: grows with each owner
  owner         text,
  heartbeat     timestamptz,
  state         text   not null default 'new', -- new, running, halted
  failure       jsonb,
  primary key (name, version)
) with (fillfactor = 50);

-- What was made of each version, to notice that its SQL is another now.
create table if not exists daybook.projection_version (
  name    text collate "C" not null,
  version int  not null,
  tables  text not null, -- hash of the SQL
  views   text,          -- hash of the SQL; null = not the active version
  primary key (name, version)
);

-- The views and functions of each active version, in the order of their making.
create table if not exists daybook.projection_object (
  name     text collate "C" not null,
  number   int  not null,
  type     text not null,
  identity text not null,
  primary key (name, number)
);
