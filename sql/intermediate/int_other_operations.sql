-- Which events of Bedrock are kept although they are no calls?
-- Grain: one row per event. is_known: 1 for the control plane, 0 for an operation that
-- this version does not know.
with operations_of_both as (
    select
        *,
        1 as is_known
    from control_events
    union all
    select
        *,
        0 as is_known
    from unknown_operations
)

select
    kept.event_time,
    {{ ids.as_text('kept.event_id') }} as event_id,
    kept.is_known,
    accounts.account_id,
    regions.region,
    operations.event_source,
    operations.event_name,
    users.user_name,
    principals.principal_arn,
    principals.principal_type,
    sessions.session_name,
    user_agents.user_agent,
    providers.provider,
    source_addresses.source_address,
    error_codes.error_code,
    kept.resource
from operations_of_both as kept
inner join accounts on accounts.account_key = kept.account_key
inner join regions on regions.region_key = kept.region_key
inner join operations on operations.operation_key = kept.operation_key
inner join principals on principals.principal_key = kept.principal_key
inner join stg_users as users on users.user_key = kept.user_key
left join sessions on sessions.session_key = kept.session_key
left join user_agents on user_agents.user_agent_key = kept.user_agent_key
left join providers on providers.provider_key = kept.provider_key
left join source_addresses
    on source_addresses.source_address_key = kept.source_address_key
left join error_codes on error_codes.error_code_key = kept.error_code_key
