-- What did CloudWatch count, hour by hour?
-- Grain: metric series x period, as in metric_totals. Units: value is CloudWatch's Sum.
select
    series_key,
    substr(period_start, 1, 13) || ':00:00Z' as hour,
    period_start,
    period_seconds,
    value,
    is_provisional
from metric_totals
