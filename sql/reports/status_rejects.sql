-- What was rejected and is not accepted, where, and why?
-- Grain: file (or stream) x reason, most frequent first. is_refused: of the whole file.
select
    rejects.file,
    rejects.reason,
    count(*) as reject_count,
    max(rejected_files.is_refused) as is_refused
from rejects
inner join rejected_files on rejected_files.file = rejects.file
where rejected_files.accepted_on is null
group by rejects.file, rejects.reason
order by count(*) desc, rejects.file, rejects.reason
