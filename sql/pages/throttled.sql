-- Whose calls were refused because there were too many?
-- Grain: application x region x model, the most first. Filters as in usage. Units:
-- calls; days. Calls that vacuum dropped are not counted.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
select
    application,
    region,
    model_id,
    sum(throttled_calls) as throttled_calls,
    count(distinct day) as days,
    max(day) as last_day
from throttled_calls
where
    {{ filters.days() }}
    and {{ filters.of_names() }}
    and {{ filters.chosen('users', 'user_name') }}
    and {{ filters.visible() }}
group by application, region, model_id
order by sum(throttled_calls) desc, application, region, model_id
