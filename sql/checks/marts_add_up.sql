-- Does every mart come to the same calls, tokens and cost as usage_cost?
-- Each row is a mart that does not. Cost may differ by rounding at the 12th decimal.
with usage as (
    select
        sum(calls) as calls,
        sum(failed_calls) as failed_calls,
        sum(input_tokens) as input_tokens,
        sum(output_tokens) as output_tokens,
        sum(cost_picodollars / 1000000) / 1e6
        + sum(cost_picodollars % 1000000) / 1e12 as cost_usd
    from usage_cost
),

marts as (
    select
        'user_costs' as mart,
        calls,
        failed_calls,
        input_tokens,
        output_tokens,
        cost_usd
    from user_costs
    union all
    select
        'application_costs' as mart,
        calls,
        failed_calls,
        input_tokens,
        output_tokens,
        cost_usd
    from application_costs
    union all
    select
        'user_breakdown' as mart,
        calls,
        failed_calls,
        input_tokens,
        output_tokens,
        cost_usd
    from user_breakdown
    union all
    select
        'application_breakdown' as mart,
        calls,
        failed_calls,
        input_tokens,
        output_tokens,
        cost_usd
    from application_breakdown
    union all
    select
        'model_costs' as mart,
        calls,
        failed_calls,
        input_tokens,
        output_tokens,
        cost_usd
    from model_costs
    union all
    select
        'region_costs' as mart,
        calls,
        failed_calls,
        input_tokens,
        output_tokens,
        cost_usd
    from region_costs
    union all
    select
        'daily_costs' as mart,
        calls,
        failed_calls,
        input_tokens,
        output_tokens,
        cost_usd
    from daily_costs
),

final as (
    select
        marts.mart,
        sum(marts.calls) - usage.calls as calls,
        sum(marts.failed_calls) - usage.failed_calls as failed_calls,
        coalesce(sum(marts.input_tokens), 0) - coalesce(usage.input_tokens, 0)
            as input_tokens,
        coalesce(sum(marts.output_tokens), 0) - coalesce(usage.output_tokens, 0)
            as output_tokens,
        coalesce(sum(marts.cost_usd), 0) - coalesce(usage.cost_usd, 0) as cost_usd
    from marts
    cross join usage
    group by marts.mart
)

select *
from final
where
    calls <> 0
    or failed_calls <> 0
    or input_tokens <> 0
    or output_tokens <> 0
    or abs(cost_usd) > 1e-6
