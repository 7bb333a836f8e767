-- Where did each call come from?
-- Grain: one row per event. source_address is a network (/24, /48) unless the
-- configuration keeps whole addresses. All three are NULL for calls of logs, and for
-- calls that an earlier version read.
select
    events.event_time,
    {{ ids.as_text('events.event_id') }} as event_id,
    source_addresses.source_address,
    providers.provider,
    projects.project
from events
left join source_addresses
    on source_addresses.source_address_key = events.source_address_key
left join providers on providers.provider_key = events.provider_key
left join projects on projects.project_key = events.project_key
