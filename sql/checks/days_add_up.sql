-- Is every day the sum of its hours?
-- Each row is a day, account and data source where usage_cost_daily and usage_cost
-- differ.
with both_sides as (
    select
        day,
        account_id,
        data_source,
        calls,
        failed_calls,
        coalesce(input_tokens, 0) as input_tokens,
        coalesce(output_tokens, 0) as output_tokens,
        coalesce(cache_read_tokens, 0) as cache_read_tokens,
        coalesce(cache_write_tokens, 0) as cache_write_tokens,
        coalesce(cost_picodollars, 0) as cost_picodollars,
        unpriced_calls,
        unpriced_tokens,
        calls_without_tokens
    from usage_cost_daily
    union all
    select
        day,
        account_id,
        data_source,
        -calls,
        -failed_calls,
        -coalesce(input_tokens, 0),
        -coalesce(output_tokens, 0),
        -coalesce(cache_read_tokens, 0),
        -coalesce(cache_write_tokens, 0),
        -coalesce(cost_picodollars, 0),
        -unpriced_calls,
        -unpriced_tokens,
        -calls_without_tokens
    from usage_cost
)

select
    day,
    account_id,
    data_source,
    sum(calls) as calls,
    sum(failed_calls) as failed_calls,
    sum(input_tokens) as input_tokens,
    sum(output_tokens) as output_tokens,
    sum(cache_read_tokens) as cache_read_tokens,
    sum(cache_write_tokens) as cache_write_tokens,
    sum(cost_picodollars) as cost_picodollars,
    sum(unpriced_calls) as unpriced_calls,
    sum(unpriced_tokens) as unpriced_tokens,
    sum(calls_without_tokens) as calls_without_tokens
from both_sides
group by day, account_id, data_source
having
    sum(calls) <> 0
    or sum(failed_calls) <> 0
    or sum(input_tokens) <> 0
    or sum(output_tokens) <> 0
    or sum(cache_read_tokens) <> 0
    or sum(cache_write_tokens) <> 0
    or sum(cost_picodollars) <> 0
    or sum(unpriced_calls) <> 0
    or sum(unpriced_tokens) <> 0
    or sum(calls_without_tokens) <> 0
