create index on audit_log (event_id);
create index on audit_log (entity_kind, entity_id, position);
create index on audit_log (actor_id, position);
create index on audit_log (event_type, position);
create index on audit_log (recorded_at, position);
create index on audit_log (document_no, position) where document_no is not null;
create index on audit_log (position) where recorded_on > effective_on or period_state is not null;
