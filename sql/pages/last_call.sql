-- When was the last call of a selection?
-- Grain: one row, or none without any call. Filters as in usage: :since, :until,
-- :regions, :models, :users, :applications, :teams.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with {{ latest.last_day() }}

select events.event_time as last_event_time
{{ latest.events_of_last_day() }}
order by events.event_time desc
limit 1
