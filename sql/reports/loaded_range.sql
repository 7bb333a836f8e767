-- Which days are loaded?
-- Grain: one row; NULL if nothing is loaded.
-- Two selects, because SQLite finds one end of the key at once, but not both.
select
    (select min(day) from usage_daily) as first_day,
    (select max(day) from usage_daily) as last_day
