-- For dashboards. Changes of personal values are left out whole: not even whose
-- they are is shown. Query these names only: they stay when the tables behind
-- them are replaced.
create or replace view read.audit_log as
  select position, stream, revision, event_type, event_id, recorded_at, recorded_on, effective_at, effective_on,
         actor_id, actor_kind, on_behalf_of, entity_kind, entity_id, document_no, action,
         jsonb_path_query_array(changes, '$[*] ? (!exists(@.**.personal))') as changes,
         reason_code, correlation_id, causation_id, command_id, approval_id, software_version, policy_version, source,
         period_state, finding, encode(leaf_hash, 'hex') as leaf_hash, last_event_id, last_position, last_revision
  from {schema}.audit_log;

-- What was recorded after the day on which it took effect, or for a document of
-- a period that was closed already.
create or replace view read.backdated_register as
  select position, event_id, event_type, entity_kind, entity_id, document_no, effective_at, recorded_at,
         recorded_on - effective_on as lag_days, actor_id, approval_id, period_state, source is not null as imported,
         last_event_id, last_position, last_revision
  from {schema}.audit_log where recorded_on > effective_on or period_state is not null;

-- Events that are not as they should be.
create or replace view read.integrity_finding as
  select position, event_id, stream, revision, event_type, finding, last_event_id, last_position, last_revision
  from {schema}.audit_log where finding is not null;
