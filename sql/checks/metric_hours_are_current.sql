-- Is metric_hourly what the loaded CloudWatch totals come to?
-- Each row is one that is missing, left over, or has another value.
with recomputed as (
    select
        {{ columns.each(columns.metric_hour) }},
        value
    from int_metric_hours
),

stored as (
    select
        {{ columns.each(columns.metric_hour) }},
        value
    from metric_hourly
),

{{ checks.differences('recomputed', 'stored') }}
