-- Which files could not be read, all or in part, and which of them are accepted?
-- Grain: file (or stream of sync) with rejects. is_refused: it could not be read at
-- all, or not completely because it is damaged; every load reports it until it changes,
-- or is accepted with `load --accept`.
with noted_files as (
    select
        log_folders.folder || log_files.file_name as file,
        log_files.is_refused,
        log_files.accepted_on
    from log_files
    inner join log_folders on log_folders.folder_key = log_files.folder_key
    where log_files.is_refused = 1
    union
    select
        log_folders.folder || log_files.file_name as file,
        log_files.is_refused,
        log_files.accepted_on
    from log_files
    inner join log_folders on log_folders.folder_key = log_files.folder_key
    where log_files.accepted_on is not null
)

select
    rejects.file,
    coalesce(max(noted_files.is_refused), 0) as is_refused,
    max(noted_files.accepted_on) as accepted_on,
    count(*) as reject_count,
    min(rejects.reason) as reason
from rejects
left join noted_files on noted_files.file = rejects.file
group by rejects.file
