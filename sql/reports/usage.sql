-- What was used and what does it cost, by any of user, application, region, model, day?
-- Grain: one row for each combination of the dimensions asked for (:by_...), 1 or 0.
-- Filters: :since, :until are UTC days, both inclusive; :regions, :models, :users and
-- :applications are JSON arrays of exact names; NULL is no filter.
select
    iif(:by_day, day, null) as day,
    iif(:by_user, user_name, null) as user_name,
    iif(:by_application, application, null) as application,
    iif(:by_region, region, null) as region,
    iif(:by_model, model_id, null) as model_id,
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
            sum(cost_picodollars / 1000000)
            filter (where data_source like 'Actual%')
            + sum(cost_picodollars % 1000000)
            filter (where data_source like 'Actual%') / 1e6
        ) / 1e6,
        9
    ) as actual_cost_usd,
    round(
        (
            sum(cost_picodollars / 1000000)
            filter (where data_source = 'CloudWatch (Estimated)')
            + sum(cost_picodollars % 1000000)
            filter (where data_source = 'CloudWatch (Estimated)') / 1e6
        ) / 1e6,
        9
    ) as estimated_cost_usd,
    coalesce(sum(calls) filter (where data_source like 'Actual%'), 0)
        as calls_with_tokens,
    sum(calls_without_tokens) as calls_without_tokens,
    sum(unpriced_calls) as unpriced_calls,
    sum(unpriced_tokens) as unpriced_tokens,
    case
        when
            count(distinct data_source)
            filter (where calls > 0 or cost_usd > 0 or unpriced_tokens > 0) > 1
            then 'Mixed'
        else coalesce(
            max(data_source)
            filter (where calls > 0 or cost_usd > 0 or unpriced_tokens > 0),
            max(data_source)
        )
    end as data_source
from usage_cost_daily
where
    (:since is null or day >= :since)
    and (:until is null or day <= :until)
    and (:regions is null or region in (select value from json_each(:regions)))
    and (:models is null or model_id in (select value from json_each(:models)))
    and (:users is null or user_name in (select value from json_each(:users)))
    and (
        :applications is null
        or application in (select value from json_each(:applications))
    )
group by 1, 2, 3, 4, 5
order by
    iif(:by_day, day, null),
    sum(cost_picodollars / 1000000) desc,
    sum(calls) desc,
    user_name,
    application,
    region,
    model_id
