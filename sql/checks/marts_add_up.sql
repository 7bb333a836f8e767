-- Does every mart add up to the same calls, tokens and cost as usage_cost?
-- Each row is a mart that does not, or whose cost leaves out something different. Costs
-- may differ by rounding at the 12th decimal.
with usage as (
    select
        sum(calls) as calls,
        sum(failed_calls) as failed_calls,
        {{ columns.each(columns.shown_tokens, 'sum({0}) as {0}') }},
        sum(cost_picodollars / 1000000) / 1e6
        + sum(cost_picodollars % 1000000) / 1e12 as cost_usd,
        sum(list_cost_picodollars / 1000000) / 1e6
        + sum(list_cost_picodollars % 1000000) / 1e12 as list_cost_usd,
        sum(unpriced_calls) as unpriced_calls,
        sum(unpriced_tokens) as unpriced_tokens,
        sum(list_unpriced_tokens) as list_unpriced_tokens,
        sum(calls_without_tokens) as calls_without_tokens,
        max(is_lower_bound) as is_lower_bound
    from usage_cost
),

marts as (
{% for mart in (
    'user_costs',
    'application_costs',
    'user_breakdown',
    'application_breakdown',
    'team_costs',
    'team_breakdown',
    'model_costs',
    'region_costs',
    'daily_costs',
) %}
    select
        '{{ mart }}' as mart,
        calls,
        failed_calls,
        {{ columns.each(columns.shown_tokens) }},
        cost_usd,
        list_cost_usd,
        unpriced_calls,
        unpriced_tokens,
        list_unpriced_tokens,
        calls_without_tokens,
        is_lower_bound
    from {{ mart }}
{% if not loop.last %}
    union all
{% endif %}
{% endfor %}
),

final as (
{% set difference = 'coalesce(sum(marts.{0}), 0)\n    - coalesce(usage.{0}, 0) as {0}' %}
    select
        marts.mart,
        sum(marts.calls) - usage.calls as calls,
        sum(marts.failed_calls) - usage.failed_calls as failed_calls,
        {{ columns.each(columns.shown_tokens, difference) }},
        coalesce(sum(marts.cost_usd), 0) - coalesce(usage.cost_usd, 0) as cost_usd,
        coalesce(sum(marts.list_cost_usd), 0) - coalesce(usage.list_cost_usd, 0)
            as list_cost_usd,
        sum(marts.unpriced_calls) - usage.unpriced_calls as unpriced_calls,
        sum(marts.unpriced_tokens) - usage.unpriced_tokens as unpriced_tokens,
        sum(marts.list_unpriced_tokens) - usage.list_unpriced_tokens
            as list_unpriced_tokens,
        sum(marts.calls_without_tokens) - usage.calls_without_tokens
            as calls_without_tokens,
        max(marts.is_lower_bound) - usage.is_lower_bound as is_lower_bound
    from marts
    cross join usage
    group by marts.mart
)

select *
from final
where
    calls <> 0
    or failed_calls <> 0
    or {{ columns.each(columns.shown_tokens, '{} <> 0', '\nor ') }}
    or abs(cost_usd) > 1e-6
    or abs(list_cost_usd) > 1e-6
    or unpriced_calls <> 0
    or unpriced_tokens <> 0
    or list_unpriced_tokens <> 0
    or calls_without_tokens <> 0
    or is_lower_bound <> 0
