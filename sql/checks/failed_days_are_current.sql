-- Are the failed calls of a day those that its calls say?
-- Each row is one that is missing or left over, as its calls say or as it is stored.
-- Only days are compared whose calls were not dropped, and that did not change since.
{% set key = [
    'region_key',
    'model_key',
    'user_key',
    'application_key',
    'error_code_key',
] %}
with compared as materialized (
    select day from usage_daily
    where
        day >= (
            select substr(coalesce(max(dropped_before), ''), 1, 10)
            from dropped_calls
        )
    except
    select day from unwatched_days
),

recomputed as materialized (
    select
        substr(event_time, 1, 10) as day,
        {{ columns.each(key) }},
        count(*) as failed_calls
    from events
    where
        error_code_key is not null
        and substr(event_time, 1, 10) in (select day from compared)
    group by
        substr(event_time, 1, 10),
        {{ columns.each(key) }}
),

stored as materialized (
    select
        day,
        {{ columns.each(key) }},
        failed_calls
    from failed_days
    where day in (select day from compared)
),

{{ checks.differences('recomputed', 'stored') }}
