-- What does a token cost, by model, region, tier and context size?
-- Grain: rate key x period of unchanged rates [valid_from, valid_to), UTC days.
-- Units: *_rate = pico-dollars per token (or image) before discounts; NULL where there
-- is no price. *_list_rate leaves out negotiated rates, which come before all others.

with uses as not materialized (
    select
        rate_keys.rate_key,
        model_price_ids.price_model_id,
        model_price_ids.match_rank,
        regions.region,
        int_models.inference_scope,
        rate_keys.service_tier,
        rate_keys.min_input_tokens,
        rate_keys.variant
    from rate_keys
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    inner join model_price_ids
        on model_price_ids.model_key = int_models.price_model_key
),

{{ rates.of_uses() }}
