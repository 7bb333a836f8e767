-- What does a token cost, with discounts?
-- Grain: discount group of accounts x rate key x period of unchanged rates [valid_from,
-- valid_to), UTC days. Group 0 is every account that no discount names.
-- Units: *_rate = pico-dollars per token (or image) after discounts, *_list_rate
-- without discounts and negotiated rates; NULL where there is no price. *_discount is
-- the number of the discount in *_rate.

with rates as materialized (
    select * from int_rates
),

keys as not materialized (
    select
        rate_keys.rate_key,
        regions.region,
        rate_keys.service_tier,
        int_models.canonical_model_id,
        int_models.cloudwatch_model_id
    from rate_keys
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
),

{{ rates.of_accounts() }}
