-- Do the calls by the minute match the events?
-- Each row is one that is missing, left over or different.
-- Only hours whose calls were not dropped, and that did not change since, are compared.
{% set kept = "usage.hour not in (select hour from stale_minutes)" %}
with recomputed as (
    select
        *
    from (
        {{ minutes.of_calls(kept) }}
    )
),

stored as (
    select
        hour,
        account_key,
        rate_key,
        user_key,
        application_key,
        unknown_kinds,
        minutes,
        input
    from call_minutes
    where
        hour not in (select hour from stale_minutes)
        and hour >= (select coalesce(max(dropped_before), '') from dropped_calls)
),

{{ checks.differences('recomputed', 'stored') }}
