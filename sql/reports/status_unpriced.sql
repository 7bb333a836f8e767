-- Which models have no price?
-- Grain: raw model id (as sent) x region, as in the view unpriced_usage.
select
    model_id,
    raw_model_id,
    region,
    reason,
    first_seen,
    last_seen,
    unpriced_calls,
    unpriced_tokens
from unpriced_usage
order by unpriced_calls desc, unpriced_tokens desc, raw_model_id, region
