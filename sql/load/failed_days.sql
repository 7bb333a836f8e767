-- Which calls failed on a day, and how?
-- Grain: region x model x user x application x error. :day is a UTC day. Every error is
-- looked up by the index of failed calls.
select
    :day as day,
    region_key,
    model_key,
    user_key,
    application_key,
    error_code_key,
    count(*) as failed_calls
from events
where
    error_code_key in (select error_codes.error_code_key from error_codes)
    and event_time >= :day
    and event_time < :day || 'T99'
group by region_key, model_key, user_key, application_key, error_code_key
