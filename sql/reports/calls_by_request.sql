-- What does the warehouse know about these requests?
-- Grain: call. :request_ids is a JSON array; :first and :last are times, both included.
-- Units: tokens; pico-dollars after discounts.
select
    request_id,
    account_id,
    region,
    event_name,
    raw_model_id,
    raw_user_name,
    application,
    application_source,
    error_code,
    token_source,
    input_form,
    reported_input_tokens,
    {{ columns.each(columns.token_counts) }},
    cost_picodollars,
    unpriced_tokens,
    event_time
from calls
where
    event_time >= :first
    and event_time <= :last
    and request_id in (select value from json_each(:request_ids))
order by event_time, request_id
