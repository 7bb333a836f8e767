-- What did an application cost on each of the last days?
-- Grain: UTC day, for :application, from the day :since on.
-- Units: *_picodollars are whole numbers, 10^12 = 1 USD; NULL where nothing is priced.
select
    day,
    sum(cost_picodollars) as cost_picodollars
from daily_costs_by_application
where application = :application and day >= :since
group by day
order by day
