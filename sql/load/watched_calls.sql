-- Which calls were made on a day, by whom, with what, from where?
-- Grain: call, in the order of time. :day is a UTC day. found_user_key is the user that
-- the event names, user_key the one that rules assign it to.
select
    principal_key,
    coalesce(found_user_key, user_key) as found_user_key,
    user_key,
    account_key,
    region_key,
    model_key,
    user_agent_key,
    source_address_key,
    error_code_key,
    event_time,
    event_id
from events
where event_time >= :day and event_time < :day || 'T99'
