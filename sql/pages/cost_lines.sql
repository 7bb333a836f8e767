-- How is a cost made: which tokens, at which price, by which row of prices?
-- Grain: model x region x service tier x context size x period of unchanged prices x
-- data source x token kind, the most expensive first. Filters as in usage: :since,
-- :until, :regions, :models, :users, :applications.
-- Units: tokens (images for the kind image); usd_per_mtok = USD per million of them;
-- cost_usd = tokens x usd_per_mtok / 1e6, NULL where there is no price. calls: those
-- whose tokens the line's data source tells, the same on each of its lines.
-- A row of token_kind NULL counts calls of which no tokens are known.
-- :_visitor_applications: those that the visitor may see, NULL for all.
with rates as materialized (
    select * from int_rates
),

rated as (
    select
        rate_keys.rate_key,
        rate_keys.service_tier,
        rate_keys.min_input_tokens,
        regions.region,
        int_models.canonical_model_id as model_id,
        int_models.profile_application
    from rate_keys
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    where
        (
            coalesce(:regions, '') = ''
            or regions.region in (select value from json_each(nullif(:regions, '')))
        )
        and (
            coalesce(:models, '') = ''
            or int_models.canonical_model_id in (
                select value from json_each(nullif(:models, ''))
            )
        )
),

named as (
    select
        rated.rate_key,
        applications.application_key,
        case
            -- Rank 3 is the inference profile's place among the evidence.
            when
                rated.profile_application is not null
                and applications.source_rank > 3
                then rated.profile_application
            else applications.application
        end as application
    from rated
    cross join applications
),

chosen as materialized (
    select
        rate_key,
        application_key
    from named
    where
        (
            coalesce(:applications, '') = ''
            or application in (select value from json_each(nullif(:applications, '')))
        )
        and (
            :_visitor_applications is null
            or application in (select value from json_each(:_visitor_applications))
        )
),

-- Added up before they are taken apart: the days have many rows.
summed as (
    select
        day,
        rate_key,
        token_source_key,
        sum(calls) as calls,
        sum(estimated_calls) as estimated_calls,
        sum(input_tokens) as input_tokens,
        sum(output_tokens) as output_tokens,
        sum(cache_read_tokens) as cache_read_tokens,
        sum(cache_write_5m_tokens) as cache_write_5m_tokens,
        sum(cache_write_1h_tokens) as cache_write_1h_tokens,
        sum(image_count) as image_count,
        sum(estimated_input_tokens) as estimated_input_tokens,
        sum(estimated_output_tokens) as estimated_output_tokens,
        sum(estimated_cache_read_tokens) as estimated_cache_read_tokens,
        sum(estimated_cache_write_tokens) as estimated_cache_write_tokens,
        sum(estimated_image_count) as estimated_image_count
    from usage_daily
    where
        day between coalesce(:since, '') and coalesce(nullif(:until, ''), '9999')
        and (
            (
                coalesce(:regions, '') = ''
                and coalesce(:models, '') = ''
                and coalesce(:applications, '') = ''
                and :_visitor_applications is null
            )
            or (rate_key, application_key) in (select * from chosen)
        )
        and (
            coalesce(:users, '') = ''
            or user_key in (
                select users.user_key from users
                where
                    coalesce(users.alias, users.user_name) in (
                        select value from json_each(nullif(:users, ''))
                    )
            )
        )
    group by day, rate_key, token_source_key
),

dated as materialized (
    select
        summed.*,
        rates.valid_from
    from summed
    left join rates
        on
            rates.rate_key = summed.rate_key
            and summed.day >= rates.valid_from
            and summed.day < rates.valid_to
),

-- What calls tell, and what CloudWatch adds: source -1, as in int_usage_daily.
parts as materialized (
    select
        rate_key,
        valid_from,
        token_source_key,
        sum(iif(token_source_key = 0, calls - estimated_calls, calls)) as calls,
        sum(input_tokens) as input_tokens,
        sum(output_tokens) as output_tokens,
        sum(cache_read_tokens) as cache_read_tokens,
        sum(cache_write_5m_tokens) as cache_write_5m_tokens,
        sum(cache_write_1h_tokens) as cache_write_1h_tokens,
        sum(image_count) as image_count
    from dated
    group by rate_key, valid_from, token_source_key
    union all
    select
        rate_key,
        valid_from,
        -1 as token_source_key,
        sum(estimated_calls) as calls,
        sum(estimated_input_tokens) as input_tokens,
        sum(estimated_output_tokens) as output_tokens,
        sum(estimated_cache_read_tokens) as cache_read_tokens,
        sum(estimated_cache_write_tokens) as cache_write_5m_tokens,
        0 as cache_write_1h_tokens,
        sum(estimated_image_count) as image_count
    from dated
    group by rate_key, valid_from
),

lines as (
    select
        parts.rate_key,
        parts.token_source_key,
        parts.calls,
        'input' as token_kind,
        parts.input_tokens as tokens,
        rates.input_price_id as price_id
    from parts
    left join rates
        on rates.rate_key = parts.rate_key and rates.valid_from = parts.valid_from
    where parts.input_tokens > 0
    union all
    select
        parts.rate_key,
        parts.token_source_key,
        parts.calls,
        'output' as token_kind,
        parts.output_tokens as tokens,
        rates.output_price_id as price_id
    from parts
    left join rates
        on rates.rate_key = parts.rate_key and rates.valid_from = parts.valid_from
    where parts.output_tokens > 0
    union all
    select
        parts.rate_key,
        parts.token_source_key,
        parts.calls,
        'cache_read' as token_kind,
        parts.cache_read_tokens as tokens,
        rates.cache_read_price_id as price_id
    from parts
    left join rates
        on rates.rate_key = parts.rate_key and rates.valid_from = parts.valid_from
    where parts.cache_read_tokens > 0
    union all
    select
        parts.rate_key,
        parts.token_source_key,
        parts.calls,
        'cache_write_5m' as token_kind,
        parts.cache_write_5m_tokens as tokens,
        rates.cache_write_5m_price_id as price_id
    from parts
    left join rates
        on rates.rate_key = parts.rate_key and rates.valid_from = parts.valid_from
    where parts.cache_write_5m_tokens > 0
    union all
    select
        parts.rate_key,
        parts.token_source_key,
        parts.calls,
        'cache_write_1h' as token_kind,
        parts.cache_write_1h_tokens as tokens,
        rates.cache_write_1h_price_id as price_id
    from parts
    left join rates
        on rates.rate_key = parts.rate_key and rates.valid_from = parts.valid_from
    where parts.cache_write_1h_tokens > 0
    union all
    select
        parts.rate_key,
        parts.token_source_key,
        parts.calls,
        'image' as token_kind,
        parts.image_count as tokens,
        rates.image_price_id as price_id
    from parts
    left join rates
        on rates.rate_key = parts.rate_key and rates.valid_from = parts.valid_from
    where parts.image_count > 0
    union all
    select
        rate_key,
        token_source_key,
        calls,
        null as token_kind,
        null as tokens,
        null as price_id
    from parts
    where token_source_key = 0 and calls > 0
),

final as (
    select
        rated.model_id,
        rated.region,
        rated.service_tier,
        rated.min_input_tokens,
        token_sources.data_source,
        lines.calls,
        lines.token_kind,
        lines.tokens,
        prices.usd_per_mtok / 1e6 as usd_per_mtok,
        round(lines.tokens * (prices.usd_per_mtok / 1e12), 9) as cost_usd,
        lines.price_id,
        prices.source as price_source,
        prices.checked_on as price_checked_on,
        prices.effective_from as price_effective_from,
        prices.is_override as price_is_own
    from lines
    inner join rated on rated.rate_key = lines.rate_key
    inner join token_sources
        on token_sources.token_source_key = lines.token_source_key
    left join prices on prices.price_id = lines.price_id
)

select * from final
order by
    cost_usd desc,
    calls desc,
    model_id,
    region,
    data_source,
    token_kind,
    service_tier,
    min_input_tokens,
    price_id
