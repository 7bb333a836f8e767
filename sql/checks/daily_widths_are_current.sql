-- Does it follow from the calibrations how far off each day's estimates may be?
-- Each row is one of daily_widths that is missing, left over or different.
with recomputed as materialized (
    {{ widths.of_days('true') }}
),

stored as materialized (
    select * from daily_widths
),

{{ checks.differences('recomputed', 'stored') }}
