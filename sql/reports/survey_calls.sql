-- Which kinds of calls are there, how many of each, and how many report tokens?
-- Grain: operation x model as sent x region x tier x variant x caller x user agent x
-- application x failed or not. is_priced: some kind of token has a price on the day of
-- the last call. Batch and asynchronous jobs, which have no tokens, are left out.
{% set kind = [
    'operation_key',
    'model_key',
    'region_key',
    'service_tier',
    'variant',
    'principal_key',
    'user_key',
    'user_agent_key',
    'application_key',
] %}
with kinds as (
    select
        {{ columns.each(kind, 'usage.{}') }},
        usage.failed_calls as is_failed,
        max(usage.event_time) as last_seen,
        count(*) as calls,
        sum(usage.token_source_key <> 0) as calls_with_tokens
    from int_call_usage as usage
    group by
        {{ columns.each(kind, 'usage.{}') }},
        usage.failed_calls
),

final as (
    select
        operations.event_name,
        applications.raw_model_id,
        applications.model_id,
        applications.inference_scope,
        regions.region,
        kinds.service_tier,
        principals.principal_arn,
        principals.principal_type,
        users.raw_user_name,
        users.alias,
        user_agents.user_agent,
        applications.application,
        kinds.is_failed,
        {{ tokens.is_any(columns.priced_kinds, 'rates.{}_rate') }} as is_priced,
        kinds.last_seen,
        kinds.calls,
        kinds.calls_with_tokens
    from kinds
    inner join operations on operations.operation_key = kinds.operation_key
    inner join regions on regions.region_key = kinds.region_key
    inner join principals on principals.principal_key = kinds.principal_key
    inner join stg_users as users on users.user_key = kinds.user_key
    inner join int_applications as applications
        on
            applications.model_key = kinds.model_key
            and applications.application_key = kinds.application_key
    left join user_agents on user_agents.user_agent_key = kinds.user_agent_key
    left join rate_keys
        on
            rate_keys.model_key = kinds.model_key
            and rate_keys.region_key = kinds.region_key
            and rate_keys.service_tier = kinds.service_tier
            and rate_keys.min_input_tokens = 0
            and rate_keys.variant = kinds.variant
    left join int_rates as rates
        on
            rates.rate_key = rate_keys.rate_key
            and substr(kinds.last_seen, 1, 10) >= rates.valid_from
            and substr(kinds.last_seen, 1, 10) < rates.valid_to
)

select * from final
where event_name not in ('CreateModelInvocationJob', 'StartAsyncInvoke')
order by calls desc, event_name, raw_model_id, raw_user_name, user_agent
