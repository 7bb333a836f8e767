-- Which call has this key, and where was it made?
-- Grain: one row. :event_key is the id as it is stored.
select
    events.event_time,
    case typeof(events.event_id)
        when 'blob'
            then
                lower(
                    substr(hex(events.event_id), 1, 8)
                    || '-' || substr(hex(events.event_id), 9, 4)
                    || '-' || substr(hex(events.event_id), 13, 4)
                    || '-' || substr(hex(events.event_id), 17, 4)
                    || '-' || substr(hex(events.event_id), 21)
                )
        else events.event_id
    end as event_id,
    accounts.account_id,
    regions.region
from events
inner join accounts on accounts.account_key = events.account_key
inner join regions on regions.region_key = events.region_key
where events.event_time = :event_time and events.event_id = :event_key
