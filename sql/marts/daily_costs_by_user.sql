-- How much does each user spend each day? Every cost by user adds this up.
-- Grain: day x account x region x model x user, and finer: a row of its own for each
-- model id as sent, service tier and context size. Add them up.
-- Units: tokens; USD at list price; *_picodollars are whole numbers, 10^12 = 1 USD, for
-- exact sums.
-- Caveats: tokens are NULL where none is known, costs where nothing can be priced. A
-- cost leaves something out where is_lower_bound is 1.
-- data_source tells measured from estimated rows, Mixed where a row is both.
select
    costs.day,
    accounts.account_id,
    regions.region,
    int_models.canonical_model_id as model_id,
    coalesce(users.alias, users.user_name) as user_name,
    costs.calls,
    costs.failed_calls,
    costs.input_tokens,
    costs.output_tokens,
    costs.cache_read_tokens,
    costs.cache_write_tokens,
    costs.image_count,
    costs.actual_tokens,
    costs.estimated_tokens,
    costs.cost_picodollars / 1e12 as cost_usd,
    costs.actual_cost_picodollars / 1e12 as actual_cost_usd,
    costs.estimated_cost_picodollars / 1e12 as estimated_cost_usd,
    costs.cost_picodollars,
    costs.actual_cost_picodollars,
    costs.estimated_cost_picodollars,
    costs.unpriced_calls,
    costs.unpriced_tokens,
    costs.calls_with_tokens,
    costs.calls_without_tokens,
    costs.unpriced_calls + costs.unpriced_tokens + costs.calls_without_tokens > 0
        as is_lower_bound,
    costs.data_source
from priced_daily_by_user as costs
inner join accounts on accounts.account_key = costs.account_key
inner join rate_keys on rate_keys.rate_key = costs.rate_key
inner join regions on regions.region_key = rate_keys.region_key
inner join int_models on int_models.model_key = rate_keys.model_key
inner join users on users.user_key = costs.user_key
