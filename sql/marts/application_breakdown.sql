-- Which regions and models does each application spend on?
-- Grain: application x region x model, over all that is loaded.
-- Units: tokens; USD at list price, exact sums of whole pico-dollars.
-- cost_usd sums what has a price: a lower bound where is_lower_bound is 1, because
-- unpriced_calls, unpriced_tokens or calls_without_tokens is not 0. Tokens are NULL
-- where none is known.
select
    application,
    region,
    model_id,
    sum(calls) as calls,
    sum(failed_calls) as failed_calls,
    sum(input_tokens) as input_tokens,
    sum(output_tokens) as output_tokens,
    sum(cache_read_tokens) as cache_read_tokens,
    sum(cache_write_tokens) as cache_write_tokens,
    round(
        (
            sum(cost_picodollars / 1000000)
            + sum(cost_picodollars % 1000000) / 1e6
        ) / 1e6,
        9
    ) as cost_usd,
    round(
        (
            sum(actual_cost_picodollars / 1000000)
            + sum(actual_cost_picodollars % 1000000) / 1e6
        ) / 1e6,
        9
    ) as actual_cost_usd,
    round(
        (
            sum(estimated_cost_picodollars / 1000000)
            + sum(estimated_cost_picodollars % 1000000) / 1e6
        ) / 1e6,
        9
    ) as estimated_cost_usd,
    sum(unpriced_calls) as unpriced_calls,
    sum(unpriced_tokens) as unpriced_tokens,
    sum(calls_without_tokens) as calls_without_tokens,
    sum(unpriced_calls) + sum(unpriced_tokens) + sum(calls_without_tokens) > 0
        as is_lower_bound,
    case
        when
            min(data_source)
            filter (where calls > 0 or cost_picodollars > 0 or unpriced_tokens > 0)
            < max(data_source)
            filter (where calls > 0 or cost_picodollars > 0 or unpriced_tokens > 0)
            then 'Mixed'
        else coalesce(
            max(data_source)
            filter (where calls > 0 or cost_picodollars > 0 or unpriced_tokens > 0),
            max(data_source)
        )
    end as data_source
from daily_costs_by_application
group by application, region, model_id
