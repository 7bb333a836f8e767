-- Single calls: what a page shows of them, and those of the last selected day that has
-- any.

{% import 'macros/filters' as filters %}

-- CTEs of what is selected, except the days.
{% macro selected() %}
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
)
{%- endmacro %}

-- Whether an event is of what is selected.
{% macro is_selected() %}
events.user_key in (select * from chosen_users)
and events.region_key in (select * from chosen_regions)
and (events.model_key, events.application_key) in (select * from chosen)
{% endmacro %}

-- CTEs. The last one, last_day, has one row.
{% macro last_day() %}
{{ selected() }},

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
    {{ is_selected() }}
{% endmacro %}

-- The calls of the CTE hits, which has their times and their ids as text.
{% macro shown() %}
select
    calls.event_time,
    calls.event_id,
    calls.request_id,
    calls.user_name,
    calls.application,
    calls.application_source,
    calls.team,
    calls.team_source,
    calls.region,
    calls.model_id,
    calls.event_name,
    calls.error_code,
    calls.data_source,
    calls.input_tokens,
    calls.output_tokens,
    calls.cache_read_tokens,
    calls.cost_usd,
    calls.unpriced_tokens,
    calls.is_lower_bound,
    calls.user_agent,
    calls.session_name
from hits
cross join calls
    on calls.event_time = hits.event_time and calls.event_id = hits.event_id
order by calls.event_time desc, calls.event_id
{% endmacro %}
