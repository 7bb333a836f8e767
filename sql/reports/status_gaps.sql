-- Which stretches of time can no longer be read?
-- Grain: gap. Both ends are missing.
select
    stream,
    gap_start,
    gap_end,
    reason
from sync_gaps
order by stream, gap_start
