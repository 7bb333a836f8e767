-- Which periods can no longer be read?
-- Grain: gap. Both ends are part of the gap.
select
    stream,
    gap_start,
    gap_end,
    reason
from sync_gaps
order by stream, gap_start
