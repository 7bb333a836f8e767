-- What does the usage of each hour cost at list price?
-- Grain: as int_usage_hourly. Units: list_cost_picodollars is a whole number of
-- pico-dollars (10^12 = 1 USD); NULL where a needed price is missing or no tokens are
-- known. An unknown count adds nothing to the cost; a known count of 0 needs no price.
with rated as (
    select
        usage.*,
        rates.rate_key is not null as has_rates,
        coalesce(
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_5m_tokens,
            usage.cache_write_1h_tokens,
            usage.image_count
        ) is not null as has_tokens,
        iif(usage.input_tokens > 0, usage.input_tokens * rates.input_rate, 0)
        + iif(usage.output_tokens > 0, usage.output_tokens * rates.output_rate, 0)
        + iif(
            usage.cache_read_tokens > 0,
            usage.cache_read_tokens * rates.cache_read_rate,
            0
        )
        + iif(
            usage.cache_write_5m_tokens > 0,
            usage.cache_write_5m_tokens * rates.cache_write_5m_rate,
            0
        )
        + iif(
            usage.cache_write_1h_tokens > 0,
            usage.cache_write_1h_tokens * rates.cache_write_1h_rate,
            0
        )
        + iif(usage.image_count > 0, usage.image_count * rates.image_rate, 0)
            as cost_of_known_tokens
    from int_usage_hourly as usage
    left join int_rates as rates
        on
            rates.rate_key = usage.rate_key
            and usage.day >= rates.valid_from
            and usage.day < rates.valid_to
),

final as (
    select
        hour,
        day,
        account_key,
        rate_key,
        user_key,
        application_key,
        data_source,
        calls,
        failed_calls,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_5m_tokens + coalesce(cache_write_1h_tokens, 0)
            as cache_write_tokens,
        image_count,
        case when has_tokens then cost_of_known_tokens end as list_cost_picodollars,
        -- Without tokens, a call is unpriced if its model has no price at all.
        case
            when has_tokens and cost_of_known_tokens is null then calls
            when not has_tokens and not has_rates then calls
            else 0
        end as unpriced_calls,
        case
            when has_tokens and cost_of_known_tokens is null
                then
                    coalesce(input_tokens, 0)
                    + coalesce(output_tokens, 0)
                    + coalesce(cache_read_tokens, 0)
                    + coalesce(cache_write_5m_tokens, 0)
                    + coalesce(cache_write_1h_tokens, 0)
            else 0
        end as unpriced_tokens,
        case when has_tokens then 0 else calls end as calls_without_tokens
    from rated
)

select * from final
