-- For dashboards. Query these names only: they stay when the tables behind them
-- are replaced.
create view read.process_instance as
  select name, process_id, state, version, needs, reminders, outcome, taken_over_by, reason_code, begun_at, changed_at,
         last_event_id, last_position, last_revision
  from {schema}.process_instance;

create view read.process_command as
  select command_id, name, process_id, command, intent, undoes, answer, code, event_ids, undone, requested_at, answered_at,
         last_event_id, last_position, last_revision
  from {schema}.process_command;

create view read.process_deadline as
  select deadline_id, name, process_id, key, at, state, last_event_id, last_position, last_revision from {schema}.process_deadline;
