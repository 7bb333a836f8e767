-- When did each caller first use each region, model, agent and network?
-- Grain: caller (principal, user that the event names) x kind x value; kind principal
-- is the caller itself. calls and failed_calls are those of the first day.
-- is_new_to_all: no other caller used it before. earlier_values: others of the kind
-- that the caller had used before, the latest since previous_time, new_lately of them
-- in the four weeks before; known_since: the caller's first day.
select
    uses.principal_key,
    uses.found_user_key,
    uses.kind,
    case uses.kind
        when 'principal' then principals.principal_arn
        when 'region' then regions.region
        when 'model' then int_models.canonical_model_id
        when 'agent' then agents.agent
        else source_addresses.source_address
    end as value,
    uses.value_key,
    principals.principal_arn,
    users.user_name,
    uses.user_key,
    {{ watch.is_machine('principals', 'found_users') }} as is_machine,
    uses.day,
    uses.first_time,
    {{ ids.as_text('uses.first_event_id') }} as event_id,
    uses.calls,
    uses.failed_calls,
    min(uses.first_time) over (partition by uses.kind, uses.value_key)
    = uses.first_time as is_new_to_all,
    count(*) over earlier - 1 as earlier_values,
    lag(uses.first_time) over earlier as previous_time,
    count(*) over lately - 1 as new_lately,
    min(uses.day) over (partition by uses.principal_key, uses.found_user_key)
        as known_since
from first_uses as uses
inner join principals on principals.principal_key = uses.principal_key
inner join stg_users as users on users.user_key = uses.user_key
inner join stg_users as found_users on found_users.user_key = uses.found_user_key
left join regions
    on uses.kind = 'region' and regions.region_key = uses.value_key
left join int_models
    on uses.kind = 'model' and int_models.model_key = uses.value_key
left join agents on uses.kind = 'agent' and agents.agent_key = uses.value_key
left join source_addresses
    on source_addresses.source_address_key = uses.source_address_key
window earlier as (
    partition by uses.principal_key, uses.found_user_key, uses.kind
    order by uses.first_time, uses.value_key
    rows unbounded preceding
),
lately as (
    partition by uses.principal_key, uses.found_user_key, uses.kind
    order by julianday(uses.first_time)
    range between 28 preceding and current row
)
