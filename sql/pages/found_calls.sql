-- Which calls have an event id or a request id?
-- Grain: one row per call, latest first, 100 at most. :id is the whole id. :since and
-- :until are UTC days, both included: their calls are compared one by one, because an
-- index of ids would be the largest part of the file. Units: tokens; USD, of reported
-- tokens only, as in the view calls.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with {{ ids.bytes() }},

visible as materialized (
    select
        model_key,
        application_key
    from int_applications
    where {{ filters.visible() }}
),

wanted as materialized (
    select {{ ids.stored(':id') }} as id
    from bytes
),

hits as materialized (
    select
        event_time,
        {{ ids.as_text('event_id') }} as event_id
    from wanted
    cross join events
        on
            events.event_time >= coalesce(:since, '')
            and events.event_time < coalesce(nullif(:until, ''), '9999') || 'Z'
            and (events.event_id = wanted.id or events.request_id = wanted.id)
    where
        coalesce(:id, '') <> ''
        and (model_key, application_key) in (select * from visible)
    order by event_time desc, event_id
    limit 100
)

{{ latest.shown() }}
