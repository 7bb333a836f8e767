-- Is every amount a whole number of pico-dollars?
-- Each row is a row of usage_cost, or of a priced day, that is not: SQLite turns a
-- product beyond 64 bits into a floating-point number without a word. One row would
-- have to cost over 9.2 million USD.
select
    hour as period,
    account_id,
    region,
    model_id,
    user_name,
    application,
    cost_picodollars
from usage_cost
where typeof(cost_picodollars) = 'real'
union all
select
    day as period,
    account_id,
    region,
    model_id,
    user_name,
    application,
    cost_picodollars
from daily_costs_by_user_and_application
where typeof(cost_picodollars) = 'real'
