-- Are the days of guardrails the sums of their calls?
-- Each row is one that is missing or left over, as its calls say or as it is stored.
-- Only days whose calls were not dropped are compared.
{% set key = [
    'account_key',
    'region_key',
    'model_key',
    'user_key',
    'application_key',
    'guardrail_use_key',
] %}
with recomputed as materialized (
    select
        substr(event_time, 1, 10) as day,
        {{ columns.each(key) }},
        count(*) as calls
    from events
    where
        guardrail_use_key is not null
        and event_time >= (select coalesce(max(dropped_before), '') from dropped_calls)
    group by
        substr(event_time, 1, 10),
        {{ columns.each(key) }}
),

stored as materialized (
    select
        day,
        {{ columns.each(key) }},
        calls
    from guardrail_daily
    where
        day >= (
            select substr(coalesce(max(dropped_before), ''), 1, 10)
            from dropped_calls
        )
),

{{ checks.differences('recomputed', 'stored') }}
