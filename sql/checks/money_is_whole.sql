-- Is every amount a whole number of pico-dollars?
-- Each row is a row of usage_cost, or a day of a model, that is not: SQLite silently
-- turns a product beyond 64 bits into a floating-point number. That takes a cost of
-- over 9.2 million USD. An amount wrong by user or application is also wrong by model.
select
    hour as period,
    account_id,
    region,
    model_id,
    user_name,
    application,
    cost_picodollars,
    list_cost_picodollars
from usage_cost
where 'real' in (typeof(cost_picodollars), typeof(list_cost_picodollars))
union all
select
    day as period,
    account_id,
    region,
    model_id,
    null as user_name,
    null as application,
    cost_picodollars,
    list_cost_picodollars
from daily_costs_by_model
where 'real' in (typeof(cost_picodollars), typeof(list_cost_picodollars))
