-- What was said of each employee, in the order of recording: rectangles alone
-- could not restore what a rescission brings back. Personal values stay sealed.
create table employee_assertion (
  employee_id     uuid   not null,
  position        bigint not null,
  revision        bigint not null,
  event_id        uuid   not null,
  event_type      text   collate "C" not null,
  schema_version  int    not null,
  recorded_at     timestamptz not null, -- the label of the position
  data            bytea  not null,
  primary key (employee_id, position)
);

-- What is believed: of an attribute, from a day to a day (valid), from a
-- position to a position (recorded). Times are labels, positions the truth. The
-- cause is the verb of the event that opened the rectangle: changed, corrected
-- or rescinded; event_id is the event by which the value is believed.
create table employee_fact (
  employee_id     uuid      not null,
  attribute       text      collate "C" not null,
  value           jsonb     not null,
  valid           daterange not null,
  recorded        int8range not null,
  recorded_from   timestamptz not null,
  recorded_to     timestamptz,
  event_id        uuid      not null,
  cause           text      collate "C" not null,
  superseded_by   uuid,
  last_event_id   uuid      not null,
  last_position   bigint    not null,
  last_revision   bigint    not null,
  check (not isempty(valid) and not isempty(recorded))
);
-- Catches a fact that is opened twice, and finds the one to close.
create unique index on employee_fact (employee_id, attribute, coalesce(lower(valid), '-infinity')) where upper_inf(recorded);

-- One row an employee: the person behind it and the stream's revision.
create table employee (
  employee_id     uuid   primary key,
  subject_id      uuid,
  first_position  bigint not null,
  last_event_id   uuid   not null,
  last_position   bigint not null,
  last_revision   bigint not null
);

-- The same for the organisation (the zero ID: there is one), its legal entities
-- and locations, and the org units. The attribute names the kind: org_unit.name.
create table organisation_assertion (
  organisation_id uuid   not null,
  position        bigint not null,
  revision        bigint not null,
  event_id        uuid   not null,
  event_type      text   collate "C" not null,
  schema_version  int    not null,
  recorded_at     timestamptz not null,
  data            bytea  not null,
  primary key (organisation_id, position)
);

create table organisation_fact (
  organisation_id uuid      not null,
  attribute       text      collate "C" not null,
  value           jsonb     not null,
  valid           daterange not null,
  recorded        int8range not null,
  recorded_from   timestamptz not null,
  recorded_to     timestamptz,
  event_id        uuid      not null,
  cause           text      collate "C" not null,
  superseded_by   uuid,
  last_event_id   uuid      not null,
  last_position   bigint    not null,
  last_revision   bigint    not null,
  check (not isempty(valid) and not isempty(recorded))
);
create unique index on organisation_fact (organisation_id, attribute, coalesce(lower(valid), '-infinity')) where upper_inf(recorded);

-- Personal values in clear: here and nowhere else, a table for each purpose.
-- Written once, never updated, deleted when the subject's key for the purpose is
-- destroyed. Facts refer to them by subject, event and path.
create table person_identity (
  subject         uuid   not null,
  event_id        uuid   not null,
  path            text   collate "C" not null,
  value           jsonb  not null,
  last_event_id   uuid   not null,
  last_position   bigint not null,
  last_revision   bigint not null,
  primary key (subject, event_id, path)
);
create table person_contact (like person_identity including all);
create table person_bank (like person_identity including all);
create table person_pay (like person_identity including all);

-- Rectangles of one attribute that share a day and a position: there are none.
-- Tests ask this over the touched keys, a rebuild over the whole tables.
create function check_overlap() returns table (entity uuid, attribute text, valid daterange, recorded int8range)
language sql stable as $$
  select a.employee_id, a.attribute, a.valid * b.valid, a.recorded * b.recorded
  from employee_fact a join employee_fact b
    on a.employee_id = b.employee_id and a.attribute = b.attribute and a.ctid < b.ctid
   and a.valid && b.valid and a.recorded && b.recorded
  union all
  select a.organisation_id, a.attribute, a.valid * b.valid, a.recorded * b.recorded
  from organisation_fact a join organisation_fact b
    on a.organisation_id = b.organisation_id and a.attribute = b.attribute and a.ctid < b.ctid
   and a.valid && b.valid and a.recorded && b.recorded
$$;
