-- What did each team use and what did it cost, where shared applications are split?
-- Grain: one row for each combination of the requested dimensions (:by_team,
-- :by_region, :by_model, 1 or 0). Filters as in pages/usage, but for users: a share is
-- of all usage of an application. The columns are those of pages/usage.
select
    iif(:by_team, team, null) as team,
    iif(:by_region, region, null) as region,
    iif(:by_model, model_id, null) as model_id,
    {{ costs.use() }},
    {{ costs.amounts() }},
    sum(calls_with_tokens) as calls_with_tokens,
    sum(calls_without_tokens) as calls_without_tokens,
    sum(unpriced_calls) as unpriced_calls,
    sum(unpriced_tokens) as unpriced_tokens,
    {{ money.list_unpriced() }} as list_unpriced_tokens,
    max(is_lower_bound) as is_lower_bound,
    {{ money.data_source() }} as data_source,
    {{ costs.bounds(low='low', high='high') }},
    {{ money.per_unit() }}
from (
    select
        *,
        -- Over all callers, the total is CloudWatch's.
        iif(is_of_all, cost_picodollars, cost_low_picodollars) as low,
        iif(is_of_all and not is_lower_bound, cost_picodollars, cost_high_picodollars)
            as high
    from (
        select
            *,
            not :by_team
            and {{ filters.is_blank('applications') }}
            and {{ filters.is_blank('teams') }}
                as is_of_all
        from daily_costs_by_team
    )
)
where
    {{ filters.days() }}
    and {{ filters.of_names() }}
group by 1, 2, 3
having count(*) > 0
order by sum(cost_picodollars / 1000000) desc, sum(calls) desc, team, region, model_id
