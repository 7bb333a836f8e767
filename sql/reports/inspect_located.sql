-- Which call has this key, and where was it made?
-- Grain: one row. :event_key is the id as stored.
select
    events.event_time,
    {{ ids.as_text('events.event_id') }} as event_id,
    accounts.account_id,
    regions.region
from events
inner join accounts on accounts.account_key = events.account_key
inner join regions on regions.region_key = events.region_key
where events.event_time = :event_time and events.event_id = :event_key
