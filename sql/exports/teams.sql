-- What does each team owe for a month?
-- Grain: team x application x user, from :first_day to :last_day. A shared application
-- is split as in team_costs: a team's share is of all its usage, so it has no user.
-- A cost is NULL where nothing has a price, its high end where that is not known.
{% set keys = ['team', 'application', 'user_name', 'is_shared'] %}
{% set summed = ['day', 'calls', 'failed_calls'] + columns.shown + [
    'estimated_tokens',
    'list_cost_picodollars',
    'cost_picodollars',
    'actual_cost_picodollars',
    'estimated_cost_picodollars',
    'cost_low_picodollars',
    'cost_high_picodollars',
    'unpriced_calls',
    'unpriced_tokens',
    'list_unpriced_tokens',
    'calls_without_tokens',
    'is_lower_bound',
    'data_source',
] %}
with costs as (
    select
        team,
        application,
        user_name,
        false as is_shared,
        {{ columns.each(summed) }}
    from daily_costs_by_user_and_application
    where application not in (select application from team_shares)
    union all
    select
        team,
        application,
        null as user_name,
        true as is_shared,
        {{ columns.each(summed) }}
    from daily_costs_by_team
    where application in (select application from team_shares)
)

select
    {{ columns.each(keys) }},
    sum(calls) as calls,
    sum(failed_calls) as failed_calls,
    {{ columns.each(columns.shown, 'sum({0}) as {0}') }},
    {{ money.exact('list_cost_picodollars') }} as list_cost_usd,
    {{ money.exact('cost_picodollars') }} as cost_usd,
    {{ money.exact('actual_cost_picodollars') }} as actual_cost_usd,
    {{ money.exact('estimated_cost_picodollars') }} as estimated_cost_usd,
    {{ money.exact('cost_low_picodollars') }} as cost_low_usd,
    iif(
        max(is_lower_bound)
        or max(cost_high_picodollars is null and cost_picodollars is not null),
        null,
        {{ money.exact('cost_high_picodollars') }}
    ) as cost_high_usd,
    sum(unpriced_calls) as unpriced_calls,
    sum(unpriced_tokens) as unpriced_tokens,
    sum(list_unpriced_tokens) as list_unpriced_tokens,
    sum(calls_without_tokens) as calls_without_tokens,
    coalesce(max(estimated_tokens > 0), false) as is_estimated,
    max(is_lower_bound) as is_lower_bound,
    {{ money.data_source() }} as data_source
from costs
where day >= :first_day and day <= :last_day
group by {{ keys | join(', ') }}
order by {{ keys | join(', ') }}
