-- What was rejected, where, and why?
-- Grain: file (or stream) x reason, most frequent first.
select
    file,
    reason,
    count(*) as reject_count
from rejects
group by file, reason
order by count(*) desc, file, reason
