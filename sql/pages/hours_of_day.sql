-- At which hours of the day are calls made?
-- Grain: hour of the day, 0 to 23, UTC; 24 rows. Filters as in usage: :since, :until,
-- :regions, :models, :users, :applications, :teams.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with recursive hours (hour_of_day) as (
    select 0
    union all
    select hour_of_day + 1 from hours
    where hour_of_day < 23
),

{{ of_hours.chosen() }},

summed as (
    select
        cast(substr(hour, 12, 2) as integer) as hour_of_day,
        sum(calls) as calls,
        sum(failed_calls) as failed_calls
    from {{ of_hours.sums() }}
    group by 1
)

select
    hours.hour_of_day,
    coalesce(summed.calls, 0) as calls,
    coalesce(summed.failed_calls, 0) as failed_calls
from hours
left join summed on summed.hour_of_day = hours.hour_of_day
order by hours.hour_of_day
