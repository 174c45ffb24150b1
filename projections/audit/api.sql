-- For the read API only: changes hold references to personal values.
create or replace view api.audit_log as
  select position, stream, revision, event_type, event_id, recorded_at, recorded_on, effective_at, effective_on,
         actor_id, actor_kind, on_behalf_of, entity_kind, entity_id, document_no, action, changes, reason_code,
         correlation_id, causation_id, command_id, approval_id, software_version, policy_version, source, period_state,
         finding, leaf_hash, last_event_id, last_position, last_revision
  from {schema}.audit_log;

create or replace view api.entity_version as
  select entity_kind, entity_id, revision, version, patch, state, recorded_from,
         lead(recorded_from) over (partition by entity_kind, entity_id order by revision) as recorded_to,
         recorded_at, last_event_id, last_position, last_revision
  from {schema}.entity_version;

-- The organisation's zone as it was known.
-- In a language that keeps its plan: in SQL it would be parsed and planned at each call.
create or replace function api.audit_zone_at(known bigint) returns text language plpgsql stable as $$ begin
  return coalesce((select patch ->> 'zone' from {schema}.entity_version
    where entity_kind = 'organisation' and patch ? 'zone' and recorded_from <= known order by revision desc limit 1), 'UTC');
end $$;
