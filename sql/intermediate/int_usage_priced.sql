-- What does the usage cost at list price, and under which names?
-- Grain: as int_usage. Units: list_cost_picodollars is a whole number of pico-dollars
-- (10^12 = 1 USD); NULL where a needed price is missing or no tokens are known.
-- An unknown count adds nothing to the cost; a known count of 0 needs no price.
with named as (
    select
        usage.*,
        accounts.account_id,
        regions.region,
        int_models.model_id as raw_model_id,
        int_models.canonical_model_id as model_id,
        rates.rate_key is not null as has_rates,
        coalesce(users.alias, users.user_name) as user_name,
        case
            -- Rank 3 is the inference profile's place among the evidence.
            when
                int_models.profile_application is not null
                and applications.source_rank > 3
                then int_models.profile_application
            else applications.application
        end as application,
        rates.input_rate,
        rates.output_rate,
        rates.cache_read_rate,
        rates.cache_write_5m_rate,
        rates.cache_write_1h_rate,
        rates.image_rate
    from int_usage as usage
    inner join accounts on accounts.account_key = usage.account_key
    inner join rate_keys on rate_keys.rate_key = usage.rate_key
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    inner join users on users.user_key = usage.user_key
    inner join applications on applications.application_key = usage.application_key
    left join int_rates as rates
        on
            rates.rate_key = usage.rate_key
            and usage.day >= rates.valid_from
            and usage.day < rates.valid_to
),

priced as (
    select
        period_kind,
        period,
        day,
        account_id,
        region,
        raw_model_id,
        model_id,
        user_name,
        application,
        data_source,
        calls,
        failed_calls,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_5m_tokens,
        cache_write_1h_tokens,
        image_count,
        has_rates,
        coalesce(
            input_tokens,
            output_tokens,
            cache_read_tokens,
            cache_write_5m_tokens,
            cache_write_1h_tokens,
            image_count
        ) is not null as has_tokens,
        iif(input_tokens > 0, input_tokens * input_rate, 0)
        + iif(output_tokens > 0, output_tokens * output_rate, 0)
        + iif(cache_read_tokens > 0, cache_read_tokens * cache_read_rate, 0)
        + iif(cache_write_5m_tokens > 0, cache_write_5m_tokens * cache_write_5m_rate, 0)
        + iif(cache_write_1h_tokens > 0, cache_write_1h_tokens * cache_write_1h_rate, 0)
        + iif(image_count > 0, image_count * image_rate, 0) as cost_of_known_tokens
    from named
),

final as (
    select
        period_kind,
        period,
        day,
        account_id,
        region,
        raw_model_id,
        model_id,
        user_name,
        application,
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
    from priced
)

select * from final
