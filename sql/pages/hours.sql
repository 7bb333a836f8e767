-- What was used and what did it cost, hour by hour?
-- Grain: UTC hour x the requested dimensions (:by_..., 1 or 0). For a few days at a
-- time; :since and :until may also be hours, such as 2026-09-01T14. :top: so many names
-- of the first of them are shown. Filters as in usage: :since, :until, :regions,
-- :models, :users, :applications, :teams.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with {{ filters.chosen_keys() }},

-- By key first, and not from usage_cost: an hour may have more rows than a visitor's
-- query may hold of that view.
summed as materialized (
    select
        hour,
        rate_key,
        iif(:by_user, user_key, null) as user_key,
        application_key,
        data_source,
        sum(calls) as calls,
        sum(failed_calls) as failed_calls,
        {{ columns.each(columns.shown_tokens, 'sum({0}) as {0}') }},
        sum(cost_picodollars) as cost_picodollars,
        sum(unpriced_calls) as unpriced_calls,
        sum(unpriced_tokens) as unpriced_tokens,
        sum(unpriced_calls) + sum(unpriced_tokens) + sum(calls_without_tokens) > 0
            as is_lower_bound
    from int_usage_hourly_priced
    where
        hour >= coalesce(:since, '')
        and hour < coalesce(nullif(:until, ''), '9999') || 'Z'
        and {{ filters.of_keys() }}
    group by 1, 2, 3, 4, 5
),

named as (
    select
        summed.*,
        users.user_name,
        names.application,
        names.team,
        names.region,
        names.model_id
    from summed
    inner join int_names as names
        on
            names.rate_key = summed.rate_key
            and names.application_key = summed.application_key
    left join stg_users as users on users.user_key = summed.user_key
),

shown as materialized (
    select
        *,
        {{ filters.name_asked_for() }}
    from named
),

{{ filters.placed('shown', 'cost_picodollars / 1000000') }}

select
    hour,
    {{ filters.asked_for() }},
    sum(calls) as calls,
    sum(failed_calls) as failed_calls,
    {{ columns.each(columns.shown_tokens, 'sum({0}) as {0}') }},
    {{ money.dollars('cost_picodollars') }} as cost_usd,
    round(
        sum(cost_picodollars) filter (where data_source = 'CloudWatch (Estimated)')
        / 1e12,
        9
    ) as estimated_cost_usd,
    sum(unpriced_calls) as unpriced_calls,
    sum(unpriced_tokens) as unpriced_tokens,
    max(is_lower_bound) as is_lower_bound,
    {{ money.data_source() }} as data_source
from placed
group by 1, 2, 3, 4, 5, 6
order by
    hour,
    sum(cost_picodollars / 1000000) desc,
    sum(calls) desc,
    2, 3, 4, 5, 6
