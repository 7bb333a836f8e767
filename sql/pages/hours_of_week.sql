-- At which hours of which weekdays are calls made?
-- Grain: weekday, 1 is Monday and 7 Sunday, x hour of the day, 0 to 23, UTC; hours with
-- calls only. Filters as in usage: :since, :until, :regions, :models, :users,
-- :applications, :teams. A weekday that is more often in the range has more calls.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with {{ of_hours.chosen() }}

select
    (strftime('%w', day) + 6) % 7 + 1 as weekday,
    cast(substr(hour, 12, 2) as integer) as hour_of_day,
    sum(calls) as calls,
    sum(failed_calls) as failed_calls
from {{ of_hours.sums() }}
group by 1, 2
having sum(calls) + sum(failed_calls) > 0
order by 1, 2
