-- title: Activity by user
-- description: How many calls each user made, with which models, where and when,
--   without prices.
{{ filters.period_in_words() }}
-- parameters: date_from, date_to, regions, models
-- chart: bar x=calls:quantitative y=user_name:ordinal
select
    user_name,
    sum(calls) as calls,
    sum(failed_calls) as failed_calls,
    count(distinct model_id) as model_count,
    count(distinct region) as region_count,
    min(day) as first_seen,
    max(day) as last_seen,
    group_concat(distinct model_id) as models,
    group_concat(distinct region) as regions
from daily_costs_by_user
where
    {{ filters.period() }}
    -- Usage that no known call accounts for is not a user's activity.
    and calls + failed_calls > 0
group by user_name
order by sum(calls) desc, user_name
