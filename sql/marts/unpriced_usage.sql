-- Which usage has no price?
-- Grain: raw model id (as sent) x region. Units: calls, tokens, UTC days.
-- Token columns count only tokens that are in no cost. unpriced_calls are the calls of
-- a model with no price at all. Add a price (price_gaps says which, and has the nearest
-- one), or find out what the id stands for. Calls to provisioned capacity need no
-- price: AWS bills its hours (capacity_hours).

-- unpriced_tokens is the sum over all kinds. Where only some kinds have no price, the
-- calls are in calls, and in the costs with their other kinds.
select
    {{ costs.without_price() }}
from int_unpriced_usage
group by raw_model_id, model_id, region
