-- What was used, by whom, and how is it known?
-- Grain: stg_usage row x data source. A row of stg_usage comes to as many as three
-- here: calls with known tokens; calls that CloudWatch estimates (with (unattributed)
-- usage and the estimated part of calls that know some of their counts, counting no
-- call); and calls of which nothing is known, with the failed ones. A token column is
-- NULL where unknown. Estimated cache writes are taken as 5-minute ones.
with known as (
    select
        usage.period_kind,
        usage.period,
        usage.day,
        usage.account_key,
        usage.rate_key,
        usage.user_key,
        usage.application_key,
        token_sources.data_source,
        usage.calls,
        usage.failed_calls,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_5m_tokens,
        usage.cache_write_1h_tokens,
        usage.image_count
    from stg_usage as usage
    inner join token_sources
        on token_sources.token_source_key = usage.token_source_key
    where usage.token_source_key <> 0
),

estimated as (
    select
        period_kind,
        period,
        day,
        account_key,
        rate_key,
        user_key,
        application_key,
        'CloudWatch (Estimated)' as data_source,
        estimated_calls as calls,
        0 as failed_calls,
        estimated_input_tokens as input_tokens,
        estimated_output_tokens as output_tokens,
        estimated_cache_read_tokens as cache_read_tokens,
        estimated_cache_write_tokens as cache_write_5m_tokens,
        null as cache_write_1h_tokens,
        estimated_image_count as image_count
    from stg_usage
    where
        estimated_calls > 0
        or estimated_input_tokens > 0
        or estimated_output_tokens > 0
        or estimated_cache_read_tokens > 0
        or estimated_cache_write_tokens > 0
        or estimated_image_count > 0
),

unknown as (
    select
        period_kind,
        period,
        day,
        account_key,
        rate_key,
        user_key,
        application_key,
        'No token data' as data_source,
        calls - estimated_calls as calls,
        failed_calls,
        null as input_tokens,
        null as output_tokens,
        null as cache_read_tokens,
        null as cache_write_5m_tokens,
        null as cache_write_1h_tokens,
        null as image_count
    from stg_usage
    where token_source_key = 0 and (calls > estimated_calls or failed_calls > 0)
),

final as (
    select * from known
    union all
    select * from estimated
    union all
    select * from unknown
)

select * from final
