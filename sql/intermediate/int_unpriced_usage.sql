-- Which usage has no price, day by day?
-- Grain: day x row of usage that lacks some price. Units: calls, tokens. Token columns
-- count only tokens without a price.

-- The priced days show which models lack a price; only the usage of those is read.
with final as (
    select
        unpriced.day,
        int_models.model_id as raw_model_id,
        int_models.canonical_model_id as model_id,
        int_models.is_provisioned,
        regions.region,
        usage.calls,
        usage.unpriced_calls,
        usage.unpriced_tokens,
        {{ columns.each(columns.shown, 'usage.unpriced_{0} as {0}') }}
    from priced_daily_by_model as unpriced
    cross join int_usage_daily_priced as usage
        on
            usage.day = unpriced.day
            and usage.account_key = unpriced.account_key
            and usage.rate_key = unpriced.rate_key
    inner join rate_keys on rate_keys.rate_key = usage.rate_key
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    where
        (unpriced.unpriced_calls > 0 or unpriced.unpriced_tokens > 0)
        and (usage.unpriced_calls > 0 or usage.unpriced_tokens > 0)
)

select * from final
