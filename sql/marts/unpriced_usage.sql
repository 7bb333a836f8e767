-- What is used that has no price?
-- Grain: raw model id (as sent) x region. Units: calls, tokens, UTC days.
-- The tokens are those that no cost has in it, kind by kind; unpriced_tokens is all of
-- them. unpriced_calls are of a model that has no price at all; where only some kinds
-- have none, the calls are in calls, and in the costs with the other kinds. Add a price
-- (bedrock-usage prices import), or find out what the id stands for.
select
    {{ costs.without_price() }}
from int_unpriced_usage
group by raw_model_id, model_id, region
