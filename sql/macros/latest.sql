-- The last selected day that has calls, and its calls.

{% import 'macros/filters' as filters %}

-- CTEs. The last one, last_day, has one row.
{% macro last_day() %}
chosen as materialized (
    select
        model_key,
        application_key
    from int_applications
    where
        {{ filters.chosen('models', 'model_id') }}
        and {{ filters.chosen('applications', 'application') }}
        and {{ filters.chosen('teams', 'team') }}
        and {{ filters.visible() }}
),

chosen_regions as materialized (
    select region_key from regions
    where {{ filters.chosen('regions', 'region') }}
),

chosen_users as materialized (
    select user_key from stg_users
    where {{ filters.chosen('users', 'user_name') }}
),

last_day as materialized (
    select max(costs.day) as day
    from priced_daily as costs
    inner join rate_keys on rate_keys.rate_key = costs.rate_key
    where
        {{ filters.days('costs.day') }}
        and costs.calls + costs.failed_calls > 0
        and costs.user_key in (select * from chosen_users)
        and rate_keys.region_key in (select * from chosen_regions)
        and (rate_keys.model_key, costs.application_key) in (select * from chosen)
)
{% endmacro %}

{% macro events_of_last_day() %}
from last_day
cross join events
    on events.event_time between last_day.day and last_day.day || 'T99'
where
    events.user_key in (select * from chosen_users)
    and events.region_key in (select * from chosen_regions)
    and (events.model_key, events.application_key) in (select * from chosen)
{% endmacro %}
