-- Which calls of a selection are the latest?
-- Grain: one row per call, latest first, 100 at most, from the last selected day that
-- has calls. Filters as in usage: :since, :until, :regions, :models, :users,
-- :applications, :teams.
-- Units: tokens; USD, of reported tokens only, as in the view calls.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with {{ latest.last_day() }},

hits as materialized (
    select
        event_time,
        {{ ids.as_text('event_id') }} as event_id
    {{ latest.events_of_last_day() }}
    order by event_time desc, event_id
    limit 100
)

select
    calls.event_time,
    calls.event_id,
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
