-- Is the rollup what the events come to? Each row is one that differs: its key, and by
-- how much (rollup less events) its calls, failed calls and tokens are off.
-- Only hours whose calls were not dropped are compared: from kept_from on.
with kept as (
    select coalesce(max(dropped_before), '') as kept_from
    from dropped_calls
),

recomputed as (
    select
        usage.hour,
        usage.account_key,
        rate_keys.rate_key,
        usage.user_key,
        usage.application_key,
        usage.token_source_key,
        -1 as sign,
        usage.calls,
        usage.failed_calls,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_5m_tokens,
        usage.cache_write_1h_tokens,
        usage.image_count,
        usage.input_unknown_calls,
        usage.output_unknown_calls,
        usage.cache_read_unknown_calls,
        usage.cache_write_unknown_calls,
        usage.image_unknown_calls
    from int_call_usage as usage
    left join rate_keys
        on
            rate_keys.model_key = usage.model_key
            and rate_keys.region_key = usage.region_key
            and rate_keys.service_tier = usage.service_tier
            and rate_keys.min_input_tokens = usage.min_input_tokens
    where usage.hour >= (select kept_from from kept)
),

both_sides as (
    select
        hour,
        account_key,
        rate_key,
        user_key,
        application_key,
        token_source_key,
        1 as sign,
        calls,
        failed_calls,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_5m_tokens,
        cache_write_1h_tokens,
        image_count,
        input_unknown_calls,
        output_unknown_calls,
        cache_read_unknown_calls,
        cache_write_unknown_calls,
        image_unknown_calls
    from usage_hourly
    where
        (calls > 0 or failed_calls > 0) and hour >= (select kept_from from kept)
    union all
    select * from recomputed
),

final as (
    select
        hour,
        account_key,
        rate_key,
        user_key,
        application_key,
        token_source_key,
        sum(sign * calls) as calls,
        sum(sign * failed_calls) as failed_calls,
        coalesce(sum(sign * input_tokens), 0) as input_tokens,
        coalesce(sum(sign * output_tokens), 0) as output_tokens,
        coalesce(sum(sign * cache_read_tokens), 0) as cache_read_tokens,
        coalesce(sum(sign * cache_write_5m_tokens), 0) as cache_write_5m_tokens,
        coalesce(sum(sign * cache_write_1h_tokens), 0) as cache_write_1h_tokens,
        coalesce(sum(sign * image_count), 0) as image_count,
        sum(sign * input_unknown_calls) as input_unknown_calls,
        sum(sign * output_unknown_calls) as output_unknown_calls,
        sum(sign * cache_read_unknown_calls) as cache_read_unknown_calls,
        sum(sign * cache_write_unknown_calls) as cache_write_unknown_calls,
        sum(sign * image_unknown_calls) as image_unknown_calls
    from both_sides
    group by
        hour, account_key, rate_key, user_key, application_key, token_source_key
)

select *
from final
where
    calls <> 0
    or failed_calls <> 0
    or input_tokens <> 0
    or output_tokens <> 0
    or cache_read_tokens <> 0
    or cache_write_5m_tokens <> 0
    or cache_write_1h_tokens <> 0
    or image_count <> 0
    or input_unknown_calls <> 0
    or output_unknown_calls <> 0
    or cache_read_unknown_calls <> 0
    or cache_write_unknown_calls <> 0
    or image_unknown_calls <> 0
