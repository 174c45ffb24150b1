-- For dashboards. No personal column, and no reference to a personal value: the
-- attributes are listed, so that a new one is hidden until somebody decides.
-- known: a position; null = all that is known. Query these names only: they stay
-- when the tables behind them are replaced.

create or replace view read.employee_fact as
  select employee_id, attribute, value, valid, recorded, recorded_from, recorded_to, event_id, cause, superseded_by,
         last_event_id, last_position, last_revision
  from {schema}.employee_fact
  where attribute in ('employment', 'legal_entity', 'position', 'manager', 'fte') or starts_with(attribute, 'secondary_position:');

create or replace view read.organisation_fact as
  select organisation_id, attribute, value, valid, recorded, recorded_from, recorded_to, event_id, cause, superseded_by,
         last_event_id, last_position, last_revision
  from {schema}.organisation_fact;

-- What was recorded up to a time, as a position.
create or replace view read.employee_label as select label, position from {schema}.label_position;

create or replace function read.employee_position_at(at timestamptz) returns bigint language sql stable as $$
  select position from read.employee_label where label <= at order by label desc limit 1
$$;

-- The date of today where the organisation's days begin.
create or replace function read.today() returns date language sql stable as $$
  select (now() at time zone coalesce(
    (select value #>> '{}' from read.organisation_fact where attribute = 'organisation.zone' and upper_inf(recorded)), 'UTC'))::date
$$;

create or replace function read.org_units_at(on_day date, known bigint default null)
returns table (org_unit_id uuid, name text, parent_id uuid) language sql stable as $$
  select n.organisation_id, n.value #>> '{}', (p.value #>> '{}')::uuid
  from read.organisation_fact n
  left join read.organisation_fact p on p.organisation_id = n.organisation_id and p.attribute = 'org_unit.parent'
    and p.valid @> on_day and case when known is null then upper_inf(p.recorded) else p.recorded @> known end
  where n.attribute = 'org_unit.name' and n.valid @> on_day
    and case when known is null then upper_inf(n.recorded) else n.recorded @> known end
$$;

create or replace function read.employees_at(on_day date, known bigint default null)
returns table (employee_id uuid, employee_no text, status text, employment_type text, hire_date date, last_day date,
  legal_entity_id uuid, position_id uuid, org_unit_id uuid, department text, job_title text, grade text, location_id uuid,
  cost_center text, manager_employee_id uuid, fte numeric)
language sql stable as $$
  select e.employee_id, e.value ->> 'employee_no', e.value ->> 'status', e.value ->> 'employment_type',
    (e.value ->> 'hire_date')::date, (e.value ->> 'last_day')::date, (l.value ->> 'legal_entity_id')::uuid,
    (p.value ->> 'position_id')::uuid, (p.value ->> 'org_unit_id')::uuid, u.name, p.value ->> 'job_title', p.value ->> 'grade',
    (p.value ->> 'location_id')::uuid, p.value ->> 'cost_center', (m.value ->> 'manager_employee_id')::uuid, (f.value ->> 'fte')::numeric
  from read.employee_fact e
  left join read.employee_fact l on l.employee_id = e.employee_id and l.attribute = 'legal_entity' and l.valid @> on_day
    and case when known is null then upper_inf(l.recorded) else l.recorded @> known end
  left join read.employee_fact p on p.employee_id = e.employee_id and p.attribute = 'position' and p.valid @> on_day
    and case when known is null then upper_inf(p.recorded) else p.recorded @> known end
  left join read.employee_fact m on m.employee_id = e.employee_id and m.attribute = 'manager' and m.valid @> on_day
    and case when known is null then upper_inf(m.recorded) else m.recorded @> known end
  left join read.employee_fact f on f.employee_id = e.employee_id and f.attribute = 'fte' and f.valid @> on_day
    and case when known is null then upper_inf(f.recorded) else f.recorded @> known end
  left join read.org_units_at(on_day, known) u on u.org_unit_id = (p.value ->> 'org_unit_id')::uuid
  where e.attribute = 'employment' and e.valid @> on_day
    and case when known is null then upper_inf(e.recorded) else e.recorded @> known end
$$;

create or replace view read.employee_current as select * from read.employees_at(read.today());

create or replace function read.headcount(on_day date, known bigint default null)
returns table (org_unit_id uuid, department text, total bigint) language sql stable as $$
  select org_unit_id, department, count(*) from read.employees_at(on_day, known)
  where status = 'active' group by org_unit_id, department
$$;

-- What is known to take effect later.
create or replace view read.future_changes as
  select employee_id, lower(valid) as effective_from, attribute, value, event_id, cause, lower(recorded) as known_since, recorded_from
  from read.employee_fact where upper_inf(recorded) and lower(valid) > read.today();
