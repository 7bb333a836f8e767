-- Is every row of usage_daily the sum of its hours, in every column?
-- Each row is one that is missing, left over or different.
with recomputed as materialized (
    select
        substr(hour, 1, 10) as day,
        {{ columns.each(columns.keys) }},
        {{ columns.each(columns.usage, 'sum({0}) as {0}') }}
    from usage_hourly
    group by
        substr(hour, 1, 10),
        {{ columns.each(columns.keys) }}
),

stored as materialized (
    select
        day,
        {{ columns.each(columns.keys) }},
        {{ columns.each(columns.usage) }}
    from usage_daily
),

{{ checks.differences('recomputed', 'stored') }}
