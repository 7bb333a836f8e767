-- Whose calls were refused because there were too many?
-- Grain: day x account x region x model x user x application x team x error. Units:
-- calls, which failed and cost nothing. Calls that vacuum dropped are not counted.
select
    substr(events.event_time, 1, 10) as day,
    accounts.account_id,
    regions.region,
    int_applications.model_id,
    users.user_name,
    int_applications.application,
    int_applications.team,
    error_codes.error_code,
    count(*) as throttled_calls
from events
inner join accounts on accounts.account_key = events.account_key
inner join regions on regions.region_key = events.region_key
inner join int_applications
    on
        int_applications.model_key = events.model_key
        and int_applications.application_key = events.application_key
inner join stg_users as users on users.user_key = events.user_key
inner join error_codes on error_codes.error_code_key = events.error_code_key
where
    {{ quotas.refused() }}
group by
    substr(events.event_time, 1, 10),
    accounts.account_id,
    regions.region,
    int_applications.model_id,
    users.user_name,
    int_applications.application,
    int_applications.team,
    error_codes.error_code
