-- For the read API only: what is here holds references to personal values, and
-- the values themselves.
create or replace view api.employee as
  select employee_id, subject_id, first_position, last_event_id, last_position, last_revision from {schema}.employee;

create or replace view api.employee_fact as
  select employee_id, attribute, value, valid, recorded, recorded_from, recorded_to, event_id, cause, superseded_by,
         last_event_id, last_position, last_revision
  from {schema}.employee_fact;

create or replace view api.employee_event as
  select employee_id, position, revision, event_id, event_type, recorded_at from {schema}.employee_assertion;

-- The org units' events have their own streams, all others are of the one of the
-- organisation.
create or replace view api.organisation_event as
  select organisation_id, position, revision, event_id, event_type, recorded_at from {schema}.organisation_assertion;

create or replace view api.organisation_fact as
  select organisation_id, attribute, value, valid, recorded, recorded_from, recorded_to, event_id, cause, superseded_by,
         last_event_id, last_position, last_revision
  from {schema}.organisation_fact;

create or replace view api.person_identity as select subject, event_id, path, value from {schema}.person_identity;
create or replace view api.person_contact as select subject, event_id, path, value from {schema}.person_contact;
create or replace view api.person_bank as select subject, event_id, path, value from {schema}.person_bank;
create or replace view api.person_pay as select subject, event_id, path, value from {schema}.person_pay;

create or replace function api.org_units_at(on_day date, known bigint)
returns table (org_unit_id uuid, name text, parent_id uuid) language sql stable as $$
  select n.organisation_id, n.value #>> '{}', (p.value #>> '{}')::uuid
  from {schema}.organisation_fact n
  left join {schema}.organisation_fact p on p.organisation_id = n.organisation_id and p.attribute = 'org_unit.parent'
    and p.valid @> on_day and p.recorded @> known
  where n.attribute = 'org_unit.name' and n.valid @> on_day and n.recorded @> known
$$;

-- Who has an employment fact on a day: what lists are filtered and sorted by.
create or replace function api.employees_at(on_day date, known bigint)
returns table (employee_id uuid, employee_no text, status text, employment_type text, hire_date date, last_day date,
  org_unit_id uuid, department text, job_title text, location_id uuid, cost_center text, manager_employee_id uuid)
language sql stable as $$
  select e.employee_id, e.value ->> 'employee_no', e.value ->> 'status', e.value ->> 'employment_type',
    (e.value ->> 'hire_date')::date, (e.value ->> 'last_day')::date,
    (p.value ->> 'org_unit_id')::uuid, u.name, p.value ->> 'job_title', (p.value ->> 'location_id')::uuid, p.value ->> 'cost_center',
    (m.value ->> 'manager_employee_id')::uuid
  from {schema}.employee_fact e
  left join {schema}.employee_fact p on p.employee_id = e.employee_id and p.attribute = 'position' and p.valid @> on_day and p.recorded @> known
  left join {schema}.employee_fact m on m.employee_id = e.employee_id and m.attribute = 'manager' and m.valid @> on_day and m.recorded @> known
  left join api.org_units_at(on_day, known) u on u.org_unit_id = (p.value ->> 'org_unit_id')::uuid
  where e.attribute = 'employment' and e.valid @> on_day and e.recorded @> known
$$;

-- The names by which an employee can be found, of the day and as known.
create or replace function api.employee_names_at(on_day date, known bigint)
returns table (employee_id uuid, name text) language sql stable as $$
  select f.employee_id, case jsonb_typeof(v.value)
    when 'object' then concat_ws(' ', v.value ->> 'given', v.value ->> 'middle', v.value ->> 'family') else v.value #>> '{}' end
  from {schema}.employee_fact f
  join {schema}.person_identity v on v.subject = (f.value #>> '{personal,subject}')::uuid
    and v.event_id = (f.value #>> '{personal,event_id}')::uuid and v.path = f.value #>> '{personal,path}'
  where f.attribute in ('legal_name', 'preferred_name') and f.valid @> on_day and f.recorded @> known
$$;

-- Heads per org unit, under the name it had on the day.
create or replace function api.headcount(on_day date, known bigint)
returns table (org_unit_id uuid, department text, total bigint) language sql stable as $$
  select org_unit_id, department, count(*) from api.employees_at(on_day, known)
  where status = 'active' group by org_unit_id, department
$$;

-- In a language that keeps its plan: in SQL it would be parsed and planned at each call.
create or replace function api.zone_at(known bigint) returns text language plpgsql stable as $$ begin
  return coalesce((select value #>> '{}' from {schema}.organisation_fact
    where attribute = 'organisation.zone' and recorded @> known), 'UTC');
end $$;
