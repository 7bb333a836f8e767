-- Which jobs used tokens that are not counted here?
-- Grain: one row per accepted batch job (CreateModelInvocationJob) or asynchronous call
-- (StartAsyncInvoke) without known tokens. Batch usage is billed at about half the
-- price; manifest.json.out in the job's S3 output lists it. Asynchronous calls are
-- billed by their output (seconds of video), which only a log with bodies reports.

-- Each counts as one call without tokens. A batch job takes no part in an estimate.
select
    jobs.event_time,
    jobs.job_kind,
    jobs.job_arn,
    accounts.account_id,
    regions.region,
    applications.model_id,
    users.user_name,
    applications.application
from jobs
-- cross join: the few jobs first, then each by its key.
cross join events
    on events.event_time = jobs.event_time and events.event_id = jobs.event_id
inner join accounts on accounts.account_key = events.account_key
inner join regions on regions.region_key = events.region_key
inner join stg_users as users on users.user_key = events.user_key
inner join int_applications as applications
    on
        applications.model_key = events.model_key
        and applications.application_key = events.application_key
left join tokens
    on tokens.event_time = jobs.event_time and tokens.event_id = jobs.event_id
where events.error_code_key is null and tokens.event_time is null
