-- What would a token cost in another service tier?
-- Grain: rate key x target x discount group x period of unchanged rates [valid_from,
-- valid_to), UTC days. target: the other tier.
-- Units: *_rate = pico-dollars per token (or image), with the account's discounts; NULL
-- where there is no price.
with {{ what_if.uses() }},

tiers as materialized (
    select distinct
        ids.model_id,
        prices.service_tier
    from int_book_models as ids
    inner join prices on prices.model_id = ids.price_model_id
    where prices.corrected_on is null
),

targets as materialized (
    select
        {{ what_if.other_use('tiers.service_tier', tier='tiers.service_tier') }}
    from used
    inner join tiers
        on
            tiers.model_id = used.model_id
            and tiers.service_tier <> used.service_tier
),

{{ what_if.other_rates() }}
