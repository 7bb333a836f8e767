-- What was each call, who made it, what did it cost, and by which price?
-- Grain: one row per Bedrock call; event_id is CloudTrail's, or made of the request id
-- for a call that only an invocation log tells of. Units: tokens; USD at list price.
-- Caveats: only known tokens count here; what CloudWatch adds by estimate exists per
-- hour, in usage_cost. cost_usd is NULL for a failed call, without tokens, or where no
-- kind of token in it has a price; where only some have one it is a lower bound, and
-- unpriced_tokens counts what it leaves out. *_price_id name the rows of prices that
-- were used. user_name is the alias where the configuration gives one; raw_user_name is
-- AWS's name.
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
        int_models.model_id as raw_model_id,
        int_models.canonical_model_id as model_id,
        int_models.inference_scope,
        usage.service_tier,
        principals.principal_arn,
        principals.principal_type,
        sessions.session_name,
        coalesce(users.alias, users.user_name) as user_name,
        users.user_name as raw_user_name,
        case
            when
                int_models.profile_application is not null
                and applications.source_rank > 3
                then int_models.profile_application
            else applications.application
        end as application,
        case
            when
                int_models.profile_application is not null
                and applications.source_rank > 3
                then 'inference profile'
            else applications.application_source
        end as application_source,
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
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_5m_tokens,
        usage.cache_write_1h_tokens,
        usage.image_count,
        rates.input_rate,
        rates.output_rate,
        rates.cache_read_rate,
        rates.cache_write_5m_rate,
        rates.cache_write_1h_rate,
        rates.image_rate,
        rates.input_price_id,
        rates.output_price_id,
        rates.cache_read_price_id,
        rates.cache_write_5m_price_id,
        rates.cache_write_1h_price_id,
        rates.image_price_id
    from int_call_usage as usage
    inner join accounts on accounts.account_key = usage.account_key
    inner join regions on regions.region_key = usage.region_key
    inner join operations on operations.operation_key = usage.operation_key
    inner join int_models on int_models.model_key = usage.model_key
    inner join principals on principals.principal_key = usage.principal_key
    inner join users on users.user_key = usage.user_key
    inner join applications on applications.application_key = usage.application_key
    inner join token_sources on token_sources.token_source_key = usage.token_source_key
    left join sessions on sessions.session_key = usage.session_key
    left join user_agents on user_agents.user_agent_key = usage.user_agent_key
    left join error_codes on error_codes.error_code_key = usage.error_code_key
    left join regions as inference_regions
        on inference_regions.region_key = usage.inference_region_key
    left join request_metadata
        on request_metadata.request_metadata_key = usage.request_metadata_key
    left join rate_keys
        on
            rate_keys.model_key = usage.model_key
            and rate_keys.region_key = usage.region_key
            and rate_keys.service_tier = usage.service_tier
            and rate_keys.min_input_tokens = usage.min_input_tokens
    left join int_rates as rates
        on
            rates.rate_key = rate_keys.rate_key
            and substr(usage.event_time, 1, 10) >= rates.valid_from
            and substr(usage.event_time, 1, 10) < rates.valid_to
),

priced as (
    select
        *,
        coalesce(
            input_tokens,
            output_tokens,
            cache_read_tokens,
            cache_write_5m_tokens,
            cache_write_1h_tokens,
            image_count
        ) is not null as has_tokens,
        coalesce(
            input_rate,
            output_rate,
            cache_read_rate,
            cache_write_5m_rate,
            cache_write_1h_rate,
            image_rate
        ) is not null as has_rates,
        coalesce(
            iif(input_tokens > 0, input_rate, null),
            iif(output_tokens > 0, output_rate, null),
            iif(cache_read_tokens > 0, cache_read_rate, null),
            iif(cache_write_5m_tokens > 0, cache_write_5m_rate, null),
            iif(cache_write_1h_tokens > 0, cache_write_1h_rate, null),
            iif(image_count > 0, image_rate, null)
        ) is not null as has_priced_tokens,
        iif(input_rate is null, coalesce(input_tokens, 0), 0)
        + iif(output_rate is null, coalesce(output_tokens, 0), 0)
        + iif(cache_read_rate is null, coalesce(cache_read_tokens, 0), 0)
        + iif(cache_write_5m_rate is null, coalesce(cache_write_5m_tokens, 0), 0)
        + iif(cache_write_1h_rate is null, coalesce(cache_write_1h_tokens, 0), 0)
        + iif(image_rate is null, coalesce(image_count, 0), 0)
            as unpriced_tokens,
        coalesce(input_tokens * input_rate, 0)
        + coalesce(output_tokens * output_rate, 0)
        + coalesce(cache_read_tokens * cache_read_rate, 0)
        + coalesce(cache_write_5m_tokens * cache_write_5m_rate, 0)
        + coalesce(cache_write_1h_tokens * cache_write_1h_rate, 0)
        + coalesce(image_count * image_rate, 0)
            as cost_of_priced_tokens
    from named
),

summed as (
    select
        *,
        case
            when has_priced_tokens or (has_tokens and unpriced_tokens = 0)
                then cost_of_priced_tokens
        end as cost_picodollars,
        unpriced_tokens > 0
        or (error_code is null and not (has_tokens and has_rates)) as is_lower_bound
    from priced
),

final as (
    select
        event_time,
        case typeof(event_key)
            when 'blob'
                then
                    lower(
                        substr(hex(event_key), 1, 8)
                        || '-' || substr(hex(event_key), 9, 4)
                        || '-' || substr(hex(event_key), 13, 4)
                        || '-' || substr(hex(event_key), 17, 4)
                        || '-' || substr(hex(event_key), 21)
                    )
            else event_key
        end as event_id,
        case typeof(request_key)
            when 'blob'
                then
                    lower(
                        substr(hex(request_key), 1, 8)
                        || '-' || substr(hex(request_key), 9, 4)
                        || '-' || substr(hex(request_key), 13, 4)
                        || '-' || substr(hex(request_key), 17, 4)
                        || '-' || substr(hex(request_key), 21)
                    )
            else request_key
        end as request_id,
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
        principal_arn,
        principal_type,
        session_name,
        user_agent,
        error_code,
        reported_by,
        data_source,
        token_source,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_5m_tokens,
        cache_write_1h_tokens,
        image_count,
        cost_picodollars / 1e12 as cost_usd,
        cost_picodollars,
        unpriced_tokens,
        is_lower_bound,
        case when input_tokens > 0 then input_price_id end as input_price_id,
        case when output_tokens > 0 then output_price_id end as output_price_id,
        case when cache_read_tokens > 0 then cache_read_price_id end
            as cache_read_price_id,
        case when cache_write_5m_tokens > 0 then cache_write_5m_price_id end
            as cache_write_5m_price_id,
        case when cache_write_1h_tokens > 0 then cache_write_1h_price_id end
            as cache_write_1h_price_id,
        case when image_count > 0 then image_price_id end as image_price_id,
        raw_user_name,
        request_metadata,
        guardrail_action
    from summed
)

select * from final
