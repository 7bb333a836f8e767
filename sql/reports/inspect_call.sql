-- What does the warehouse hold of a call?
-- Grain: one row, as in the view calls; none if it is not there.
select *
from calls
where event_time = :event_time and event_id = :event_id
