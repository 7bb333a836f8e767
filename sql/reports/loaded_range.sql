-- Which days are loaded?
-- Grain: one row; NULL if nothing is loaded.
select
    min(day) as first_day,
    max(day) as last_day
from usage_daily
