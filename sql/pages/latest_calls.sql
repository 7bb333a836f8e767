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

{{ latest.shown() }}
