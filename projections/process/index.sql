create index process_instance_state on process_instance (state, name, process_id);
create index process_command_instance on process_command (name, process_id, revision);
create index process_deadline_instance on process_deadline (name, process_id, at);
