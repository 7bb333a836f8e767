-- What does the warehouse hold for a call?
-- Grain: one row, as in the view calls; none if the call is not loaded.
select *
from calls
where event_time = :event_time and event_id = :event_id
