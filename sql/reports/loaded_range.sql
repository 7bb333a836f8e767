-- Which hours are loaded?
-- Grain: one row; NULL if nothing is loaded.
select
    min(hour) as first_hour,
    max(hour) as last_hour
from usage_hourly
