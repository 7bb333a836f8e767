-- What does the usage of each day cost at list price?
-- Grain: as int_usage_daily. Units: list_cost_picodollars is a whole number of
-- pico-dollars (10^12 = 1 USD): what the kinds of token that have a price come to. NULL
-- where tokens lack a price and none has one, or no tokens are known. An unknown count
-- adds nothing to the cost; a known count of 0 needs no price.
-- Left out are unpriced_tokens (images included; unpriced_... tells them by kind), and
-- unpriced_calls: those of a model that has no price at all on their day. Both follow
-- from sums of counts, so that hours add up to days.
with rated as (
    select
        usage.*,
        -- A model may have rates of no kind that is counted, such as search units.
        coalesce(
            rates.input_rate,
            rates.output_rate,
            rates.cache_read_rate,
            rates.cache_write_5m_rate,
            rates.cache_write_1h_rate,
            rates.image_rate
        ) is not null as has_rates,
        coalesce(
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_5m_tokens,
            usage.cache_write_1h_tokens,
            usage.image_count
        ) is not null as has_tokens,
        coalesce(
            iif(usage.input_tokens > 0, rates.input_rate, null),
            iif(usage.output_tokens > 0, rates.output_rate, null),
            iif(usage.cache_read_tokens > 0, rates.cache_read_rate, null),
            iif(usage.cache_write_5m_tokens > 0, rates.cache_write_5m_rate, null),
            iif(usage.cache_write_1h_tokens > 0, rates.cache_write_1h_rate, null),
            iif(usage.image_count > 0, rates.image_rate, null)
        ) is not null as has_priced_tokens,
        iif(rates.input_rate is null, coalesce(usage.input_tokens, 0), 0)
            as unpriced_input_tokens,
        iif(rates.output_rate is null, coalesce(usage.output_tokens, 0), 0)
            as unpriced_output_tokens,
        iif(rates.cache_read_rate is null, coalesce(usage.cache_read_tokens, 0), 0)
            as unpriced_cache_read_tokens,
        iif(
            rates.cache_write_5m_rate is null,
            coalesce(usage.cache_write_5m_tokens, 0),
            0
        ) as unpriced_cache_write_5m_tokens,
        iif(
            rates.cache_write_1h_rate is null,
            coalesce(usage.cache_write_1h_tokens, 0),
            0
        ) as unpriced_cache_write_1h_tokens,
        iif(rates.image_rate is null, coalesce(usage.image_count, 0), 0)
            as unpriced_image_count,
        coalesce(usage.input_tokens * rates.input_rate, 0)
        + coalesce(usage.output_tokens * rates.output_rate, 0)
        + coalesce(usage.cache_read_tokens * rates.cache_read_rate, 0)
        + coalesce(usage.cache_write_5m_tokens * rates.cache_write_5m_rate, 0)
        + coalesce(usage.cache_write_1h_tokens * rates.cache_write_1h_rate, 0)
        + coalesce(usage.image_count * rates.image_rate, 0)
            as cost_of_priced_tokens
    from int_usage_daily as usage
    left join int_rates as rates
        on
            rates.rate_key = usage.rate_key
            and usage.day >= rates.valid_from
            and usage.day < rates.valid_to
),

added_up as (
    select
        *,
        unpriced_input_tokens
        + unpriced_output_tokens
        + unpriced_cache_read_tokens
        + unpriced_cache_write_5m_tokens
        + unpriced_cache_write_1h_tokens
        + unpriced_image_count
            as unpriced_tokens
    from rated
),

final as (
    select
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
        case
            when has_priced_tokens or (has_tokens and unpriced_tokens = 0)
                then cost_of_priced_tokens
        end as list_cost_picodollars,
        iif(has_rates, 0, calls) as unpriced_calls,
        unpriced_tokens,
        unpriced_input_tokens,
        unpriced_output_tokens,
        unpriced_cache_read_tokens,
        unpriced_cache_write_5m_tokens + unpriced_cache_write_1h_tokens
            as unpriced_cache_write_tokens,
        unpriced_image_count,
        iif(has_tokens, 0, calls) as calls_without_tokens
    from added_up
)

select * from final
