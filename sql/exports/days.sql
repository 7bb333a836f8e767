-- Which days of a month have usage?
-- Grain: day, from :first_day to :last_day.
select distinct day from usage_daily
where day >= :first_day and day <= :last_day
order by day
