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
  state         text   not null default 'new', -- new, running, halted, paused
  failure       jsonb,
  paused_by     text,            -- while it is paused: the principal who wanted it
  paused_at     timestamptz,
  primary key (name, version)
) with (fillfactor = 50);

-- The versions of each read model: one is read, others are built or kept.
create table if not exists daybook.projection_version (
  name         text collate "C" not null,
  version      int  not null,
  tables       text not null, -- hash of the SQL
  views        text,          -- hash of the SQL; null = it has none yet
  code         int  not null, -- Spec.Version of the program that made it
  phase        text not null, -- building, ready, differs, active, kept
  indexed      boolean not null default true,  -- false while a bulk load is faster without
  automatic    boolean not null default false, -- to be promoted as soon as it is ready
  target       bigint not null default 0,      -- the head of the log when it was begun
  begun        timestamptz not null default clock_timestamp(), -- when it was begun, or went on
  begun_commit bigint not null default 0,      -- its checkpoint then
  begun_events bigint not null default 0,
  verification jsonb,         -- how it compares with the one that was active
  promoted     timestamptz,
  primary key (name, version)
);

-- The views and functions of each version that has some, in the order of their
-- making. Those of a version that is not active have names that nobody asks for.
create table if not exists daybook.projection_object (
  name     text collate "C" not null,
  version  int  not null,
  number   int  not null,
  type     text not null,
  identity text not null,
  primary key (name, version, number)
);

-- Databases from before there were phases.
do $$ begin
  if not exists (select from pg_attribute where attrelid = 'daybook.projection_version'::regclass and attname = 'phase') then
    alter table daybook.projection_version
      add column code int, add column phase text,
      add column indexed boolean not null default true, add column automatic boolean not null default false,
      add column target bigint not null default 0, add column begun timestamptz not null default clock_timestamp(),
      add column begun_commit bigint not null default 0, add column begun_events bigint not null default 0,
      add column verification jsonb, add column promoted timestamptz;
    update daybook.projection_version set code = version, phase = case when views is null then 'kept' else 'active' end;
    alter table daybook.projection_version alter code set not null, alter phase set not null;
    alter table daybook.projection_object add column version int;
    update daybook.projection_object o set version = v.version from daybook.projection_version v where v.name = o.name and v.phase = 'active';
    delete from daybook.projection_object where version is null;
    alter table daybook.projection_object drop constraint projection_object_pkey, add primary key (name, version, number);
  end if;
end $$;

-- Renames the objects of a version, from what ends in one text to what ends in
-- another, and writes down what they are called now.
create or replace function daybook.rename_objects(of text, of_version int, was text, becomes text) returns void language plpgsql as $$
declare o record; class regclass; place oid; called text; begin
  for o in select number, type, identity from daybook.projection_object where name = of and version = of_version order by number loop
    if o.type in ('view', 'materialized view') then
      class := 'pg_class'::regclass; place := to_regclass(o.identity);
      select relname into called from pg_class where oid = place;
    else
      class := 'pg_proc'::regclass; place := to_regprocedure(o.identity);
      select proname into called from pg_proc where oid = place;
    end if;
    if place is null then -- somebody dropped it; its name is another version's from now on
      delete from daybook.projection_object p where p.name = of and p.version = of_version and p.number = o.number;
      continue;
    end if;
    execute format('alter %s %s rename to %I', o.type, o.identity, left(called, length(called) - length(was)) || becomes);
    update daybook.projection_object p set identity = (pg_identify_object(class, place, 0)).identity
      where p.name = of and p.version = of_version and p.number = o.number;
  end loop;
end $$;

create or replace function daybook.run(statement text) returns void language plpgsql as $$ begin execute statement; end $$;
revoke execute on function daybook.run(text), daybook.rename_objects(text, int, text, text) from public;

-- Databases from before anybody could pause.
do $$ begin
  if not exists (select from pg_attribute where attrelid = 'daybook.projection_checkpoint'::regclass and attname = 'paused_by') then
    alter table daybook.projection_checkpoint add column paused_by text, add column paused_at timestamptz;
  end if;
end $$;

-- Who is there for each version: its owner holds the advisory lock of the
-- schema's name, those who stand by share that of another name. Both locks go
-- with the connections of those who hold them, however these end.
create or replace view daybook.projection_session as
select c.name, c.version, l.pid, key.owner, case when key.owner then c.owner else a.application_name end as process
from daybook.projection_checkpoint c
cross join lateral (select 'rm_' || c.name || '_v' || c.version as schema) named
cross join lateral (values (hashtextextended(schema, 0), true), (hashtextextended('standby ' || schema, 0), false)) key (hash, owner)
join pg_locks l on l.locktype = 'advisory' and l.objsubid = 1 and l.granted and (l.classid::bigint << 32 | l.objid::bigint) = key.hash
  and l.database = (select oid from pg_database where datname = current_database())
join pg_stat_activity a on a.pid = l.pid;
