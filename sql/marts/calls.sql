-- What was each call, who made it, and what did it cost?
-- Grain: one row per Bedrock call. Units: tokens; USD.
-- Only reported tokens count here; CloudWatch's estimates exist by the hour, in
-- usage_cost. cost_usd is NULL where no tokens are known, as for most failed calls, or
-- none has a price. Where only some kinds of token have one, it is a lower bound, and
-- unpriced_tokens counts the rest. input_tokens are net of the cached tokens, unless
-- input_form is unknown. The *_price_id columns refer to rows of prices.
-- list_cost_usd is without discounts and negotiated rates.

-- event_id is CloudTrail's, or made from the request id for a call that only an
-- invocation log reports. user_name is the alias where the configuration file gives
-- one; raw_user_name is AWS's name.
with named as (
    select
        usage.event_time,
        usage.event_id as event_key,
        usage.hour,
        usage.request_id as request_key,
        accounts.account_id,
        regions.region,
        operations.event_source,
        operations.event_name,
        applications.raw_model_id,
        applications.model_id,
        applications.inference_scope,
        usage.service_tier,
        principals.principal_arn,
        principals.principal_type,
        sessions.session_name,
        users.user_name,
        users.raw_user_name,
        applications.application,
        applications.application_source,
        applications.team,
        applications.team_source,
        user_agents.user_agent,
        error_codes.error_code,
        inference_regions.region as inference_region,
        case usage.reported_by
            when 1 then 'CloudTrail'
            when 2 then 'invocation log'
            when 3 then 'CloudTrail, invocation log'
        end as reported_by,
        request_metadata.request_metadata,
        usage.guardrail_action,
        token_sources.data_source,
        token_sources.token_source,
        usage.input_form,
        usage.reported_input_tokens,
        {{ columns.each(columns.counts, 'usage.{}') }},
        rates.is_list,
        {{ columns.each(columns.priced_kinds, 'rates.{}_rate') }},
        {{ columns.each(columns.priced_kinds, 'rates.{}_list_rate') }},
        {{ columns.each(columns.priced_kinds, 'rates.{}_price_id') }}
    from int_call_usage as usage
    inner join accounts on accounts.account_key = usage.account_key
    inner join regions on regions.region_key = usage.region_key
    inner join operations on operations.operation_key = usage.operation_key
    inner join principals on principals.principal_key = usage.principal_key
    inner join stg_users as users on users.user_key = usage.user_key
    inner join int_applications as applications
        on
            applications.model_key = usage.model_key
            and applications.application_key = usage.application_key
    inner join token_sources on token_sources.token_source_key = usage.token_source_key
    left join sessions on sessions.session_key = usage.session_key
    left join user_agents on user_agents.user_agent_key = usage.user_agent_key
    left join error_codes on error_codes.error_code_key = usage.error_code_key
    left join regions as inference_regions
        on inference_regions.region_key = usage.inference_region_key
    left join request_metadata
        on request_metadata.request_metadata_key = usage.request_metadata_key
    {{ rates.of_call('left') }}
    {{ rates.in_force('usage.account_key', 'rate_keys.rate_key', 'substr(usage.event_time, 1, 10)') }}
),

priced as (
    select
        *,
        {{ tokens.is_any(columns.priced_kinds, '{}_rate') }} as has_rates,
        {{ tokens.pricing() }},
        {{ tokens.list_pricing() }}
    from named
),

summed as (
    select
        *,
        {{ tokens.cost() }} as cost_picodollars,
        {{ tokens.list_cost() }} as list_cost_picodollars,
        {{ tokens.list_unpriced() }} as list_unpriced_tokens,
        unpriced_tokens > 0
        or (error_code is null and not (has_tokens and has_rates)) as is_lower_bound
    from priced
),

final as (
    select
        event_time,
        {{ ids.as_text('event_key') }} as event_id,
        {{ ids.as_text('request_key') }} as request_id,
        account_id,
        region,
        event_source,
        event_name,
        raw_model_id,
        model_id,
        inference_scope,
        inference_region,
        service_tier,
        user_name,
        application,
        application_source,
        team,
        team_source,
        principal_arn,
        principal_type,
        session_name,
        user_agent,
        error_code,
        reported_by,
        data_source,
        token_source,
        {{ columns.each(columns.counts) }},
        list_cost_picodollars / 1e12 as list_cost_usd,
        cost_picodollars / 1e12 as cost_usd,
        list_cost_picodollars,
        cost_picodollars,
        unpriced_tokens,
        list_unpriced_tokens,
        is_lower_bound,
{% for count, price in columns.priced_counts %}
        case when {{ count }} > 0 then {{ price }}_price_id end
            as {{ price }}_price_id,
{% endfor %}
        raw_user_name,
        request_metadata,
        guardrail_action,
        input_form,
        reported_input_tokens
    from summed
)

select * from final
