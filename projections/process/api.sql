-- For the read API only.
create view api.process_instance as
  select i.name, i.process_id, i.state, i.version, i.needs, i.reminders, i.outcome, i.taken_over_by, i.reason_code, i.begun_at, i.changed_at,
         i.last_revision as revision,
         (select min(d.at) from {schema}.process_deadline d where (d.name, d.process_id) = (i.name, i.process_id) and d.state = 'open') as next_deadline,
         (select count(*) from {schema}.process_command c where (c.name, c.process_id) = (i.name, i.process_id) and c.answer = 'pending') as pending
  from {schema}.process_instance i;

create view api.process_event as
  select name, process_id, revision, event_id, event_type, data, recorded_at, position, actor_id from {schema}.process_event;

create view api.process_command as
  select command_id, name, process_id, revision, command, intent, undoes, answer, code, event_ids, undone, requested_at, answered_at
  from {schema}.process_command;

create view api.process_deadline as
  select deadline_id, name, process_id, key, at, state from {schema}.process_deadline;
