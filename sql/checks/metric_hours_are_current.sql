-- Does metric_hourly match the loaded CloudWatch totals?
-- Each row is one that is missing, left over or different.
with recomputed as materialized (
    select
        {{ columns.each(columns.metric_hour) }},
        value
    from int_metric_hours
),

stored as materialized (
    select
        {{ columns.each(columns.metric_hour) }},
        value
    from metric_hourly
),

{{ checks.differences('recomputed', 'stored') }}
