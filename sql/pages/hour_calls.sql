-- Which calls were made in an hour?
-- Grain: one row per call, latest first, 500 at most. :hour is a UTC hour, such as
-- 2026-09-01T14. Filters as in usage: :regions, :models, :users, :applications, :teams.
-- Units: tokens; USD, of reported tokens only, as in the view calls.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with {{ latest.selected() }},

hits as materialized (
    select
        event_time,
        {{ ids.as_text('event_id') }} as event_id
    from events
    where
        :hour glob '????-??-??T??'
        and events.event_time >= :hour
        and events.event_time < :hour || 'Z'
        and {{ latest.is_selected() }}
    order by event_time desc, event_id
    limit 500
)

{{ latest.shown() }}
