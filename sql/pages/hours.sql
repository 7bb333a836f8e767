-- What was used and what did it cost, hour by hour?
-- Grain: UTC hour x the requested dimensions (:by_..., 1 or 0). For a few days at a
-- time. :top: so many names of the first of them are shown. Filters as in usage:
-- :since, :until, :regions, :models, :users, :applications, :teams.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with chosen as materialized (
    select
        *,
        case
            when :by_user then user_name
            when :by_application then application
            when :by_team then team
            when :by_region then region
            when :by_model then model_id
        end as name
    from usage_cost
    where
        {{ filters.days() }}
        and {{ filters.of_names() }}
        and {{ filters.chosen('users', 'user_name') }}
        and {{ filters.visible() }}
),

placed as (
    select
        *,
        coalesce(:top, '') <> '' and name not in (
            select name from chosen
            group by name
            order by
                sum(cost_picodollars / 1000000) desc,
                sum(calls) desc,
                name
            limit cast(coalesce(:top, 0) as integer)
        ) as is_other
    from chosen
)

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
