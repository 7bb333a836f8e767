-- Is every row of usage_daily the sum of its hours, to the last column?
-- Each row is one that is missing, left over, or has another value.
with recomputed as (
    select
        substr(hour, 1, 10) as day,
        account_key,
        rate_key,
        user_key,
        application_key,
        token_source_key,
        sum(calls) as calls,
        sum(failed_calls) as failed_calls,
        sum(input_tokens) as input_tokens,
        sum(output_tokens) as output_tokens,
        sum(cache_read_tokens) as cache_read_tokens,
        sum(cache_write_5m_tokens) as cache_write_5m_tokens,
        sum(cache_write_1h_tokens) as cache_write_1h_tokens,
        sum(image_count) as image_count,
        sum(input_unknown_calls) as input_unknown_calls,
        sum(output_unknown_calls) as output_unknown_calls,
        sum(cache_read_unknown_calls) as cache_read_unknown_calls,
        sum(cache_write_unknown_calls) as cache_write_unknown_calls,
        sum(image_unknown_calls) as image_unknown_calls,
        sum(estimated_calls) as estimated_calls,
        sum(estimated_input_tokens) as estimated_input_tokens,
        sum(estimated_output_tokens) as estimated_output_tokens,
        sum(estimated_cache_read_tokens) as estimated_cache_read_tokens,
        sum(estimated_cache_write_tokens) as estimated_cache_write_tokens,
        sum(estimated_image_count) as estimated_image_count
    from usage_hourly
    group by
        substr(hour, 1, 10),
        account_key,
        rate_key,
        user_key,
        application_key,
        token_source_key
),

stored as (
    select
        day,
        account_key,
        rate_key,
        user_key,
        application_key,
        token_source_key,
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
        image_unknown_calls,
        estimated_calls,
        estimated_input_tokens,
        estimated_output_tokens,
        estimated_cache_read_tokens,
        estimated_cache_write_tokens,
        estimated_image_count
    from usage_daily
),

missing as (
    select * from recomputed
    except
    select * from stored
),

left_over as (
    select * from stored
    except
    select * from recomputed
)

select
    'missing' as problem,
    *
from missing
union all
select
    'left over' as problem,
    *
from left_over
