-- Which files with rejects are accepted?
-- Grain: file, the last accepted first.
select
    file,
    accepted_on,
    reject_count
from rejected_files
where accepted_on is not null
order by accepted_on desc, file
