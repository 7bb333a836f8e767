-- Which calls are the newest?
-- Grain: call, newest first, :number of them.
select
    event_time,
    event_id,
    account_id,
    region
from calls
order by event_time desc, event_id desc
limit :number
