-- For how many calls does AWS report the tokens call by call?
-- Grain: day x region x model. Units: successful calls; coverage_pct is 0 to 100.

-- "Events with token data: X / Y" is sum(calls_with_tokens) / sum(calls).
select
    day,
    region,
    model_id,
    sum(calls) as calls,
    sum(calls_with_tokens) as calls_with_tokens,
    round(100.0 * sum(calls_with_tokens) / sum(calls), 1) as coverage_pct
from daily_costs_by_model
group by day, region, model_id
having sum(calls) > 0
