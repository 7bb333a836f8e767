-- Which price did a kind of token of a call nearly match?
-- Grain: one row of the view price_gaps, or none.
select
    missing,
    near_price,
    near_price_id,
    near_usd_per_mtok,
    command
from price_gaps
where
    model_id = :model_id
    and region = :region
    and inference_scope = :inference_scope
    and service_tier = :service_tier
    and (token_kind = :token_kind or token_kind like :token_kind || '_%x%')
    and :day between first_day and last_day
order by min_input_tokens
limit 1
