-- Which are the newest calls?
-- Grain: call, the newest first, :number of them.
select
    event_time,
    event_id,
    account_id,
    region
from calls
order by event_time desc, event_id desc
limit :number
