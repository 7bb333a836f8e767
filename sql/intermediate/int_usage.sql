-- What was used, by whom, and how is it known?
-- Grain: hour x account x rate key x user x application x data source (and token
-- source). Four kinds of row: calls with known tokens; calls without (with their
-- estimate, if CloudWatch has one); the estimated part of calls that know only some of
-- their counts, counting no call; and what CloudWatch saw but no call can take
-- (user_key NULL). A token column is NULL where unknown. Estimated cache writes are
-- taken as 5-minute ones.
with estimates as (
    select
        hour,
        account_key,
        rate_key,
        user_key,
        application_key,
        token_source_key,
        sum(case when token_kind = 'input' then estimated_tokens end) as input_tokens,
        sum(case when token_kind = 'output' then estimated_tokens end) as output_tokens,
        sum(case when token_kind = 'cache_read' then estimated_tokens end)
            as cache_read_tokens,
        sum(case when token_kind = 'cache_write' then estimated_tokens end)
            as cache_write_5m_tokens,
        sum(case when token_kind = 'image' then estimated_tokens end) as image_count,
        sum(estimated_tokens) as estimated_tokens
    from int_estimates
    group by hour, account_key, rate_key, user_key, application_key, token_source_key
),

known as (
    select
        usage.hour,
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
    from stg_usage_hourly as usage
    inner join token_sources
        on token_sources.token_source_key = usage.token_source_key
    where usage.token_source_key <> 0
),

without_tokens as (
    select
        usage.hour,
        usage.account_key,
        usage.rate_key,
        usage.user_key,
        usage.application_key,
        case
            when estimates.hour is null then 'No token data'
            else 'CloudWatch (Estimated)'
        end as data_source,
        usage.calls,
        usage.failed_calls,
        estimates.input_tokens,
        estimates.output_tokens,
        estimates.cache_read_tokens,
        estimates.cache_write_5m_tokens,
        null as cache_write_1h_tokens,
        estimates.image_count
    from stg_usage_hourly as usage
    left join estimates
        on
            estimates.hour = usage.hour
            and estimates.account_key = usage.account_key
            and estimates.rate_key = usage.rate_key
            and estimates.user_key = usage.user_key
            and estimates.application_key = usage.application_key
            and estimates.token_source_key = usage.token_source_key
    where usage.token_source_key = 0
),

missing_kinds as (
    select
        hour,
        account_key,
        rate_key,
        user_key,
        application_key,
        'CloudWatch (Estimated)' as data_source,
        0 as calls,
        0 as failed_calls,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_5m_tokens,
        null as cache_write_1h_tokens,
        image_count
    from estimates
    where token_source_key <> 0 and estimated_tokens > 0
),

unattributed as (
    select
        residuals.hour,
        residuals.account_key,
        rate_keys.rate_key,
        null as user_key,
        null as application_key,
        'CloudWatch (Estimated)' as data_source,
        0 as calls,
        0 as failed_calls,
        sum(case when token_kind = 'input' then residual_tokens end) as input_tokens,
        sum(case when token_kind = 'output' then residual_tokens end) as output_tokens,
        sum(case when token_kind = 'cache_read' then residual_tokens end)
            as cache_read_tokens,
        sum(case when token_kind = 'cache_write' then residual_tokens end)
            as cache_write_5m_tokens,
        null as cache_write_1h_tokens,
        sum(case when token_kind = 'image' then residual_tokens end) as image_count
    from int_metric_residuals as residuals
    inner join rate_keys
        on
            rate_keys.model_key = residuals.model_key
            and rate_keys.region_key = residuals.region_key
            and rate_keys.service_tier = 'standard'
            and rate_keys.min_input_tokens = 0
    where residuals.unknown_calls = 0 and residuals.residual_tokens > 0
    group by residuals.hour, residuals.account_key, rate_keys.rate_key
),

final as (
    select * from known
    union all
    select * from without_tokens
    union all
    select * from missing_kinds
    union all
    select * from unattributed
)

select * from final
