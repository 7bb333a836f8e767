-- Who used what, hour by hour, and what does it cost?
-- Grain: hour x account x region x model x user x application x data source.
-- Units: tokens; USD; *_picodollars are whole numbers, 10^12 = 1 USD, for exact sums.
-- Caveats: a token column is NULL where unknown, a cost where no tokens are known or
-- none has a price; it leaves something out where is_lower_bound is 1. data_source
-- tells measured from estimated rows. A row may count no call: the estimated part of
-- calls counted elsewhere, or (unattributed) usage.
-- For days and longer, usage_cost_daily gives the same sums from far fewer rows.
-- No discount is configured in this version: cost_usd equals list_cost_usd.
-- Each hour is added up by itself, so that a page, an hour or a day of this view reads
-- no other. json_each is SQLite's one way to join what depends on the row before it.
with named as (
    select
        usage.*,
        accounts.account_id,
        regions.region,
        int_models.canonical_model_id as model_id,
        coalesce(users.alias, users.user_name) as user_name,
        case
            -- Rank 3 is the inference profile's place among the evidence.
            when
                int_models.profile_application is not null
                and applications.source_rank > 3
                then int_models.profile_application
            else applications.application
        end as application
    from int_usage_hourly_priced as usage
    inner join accounts on accounts.account_key = usage.account_key
    inner join rate_keys on rate_keys.rate_key = usage.rate_key
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    inner join users on users.user_key = usage.user_key
    inner join applications on applications.application_key = usage.application_key
),

summed as (
    select
        usage_hours.hour,
        usage_hours.day,
        json_each.value as sums
    from usage_hours
    cross join json_each((
        select json_group_array(json(sums))
        from (
            select
                json_array(
                    account_id,
                    region,
                    model_id,
                    user_name,
                    application,
                    data_source,
                    sum(calls),
                    sum(failed_calls),
                    sum(input_tokens),
                    sum(output_tokens),
                    sum(cache_read_tokens),
                    sum(cache_write_tokens),
                    sum(image_count),
                    sum(list_cost_picodollars),
                    sum(unpriced_calls),
                    sum(unpriced_tokens),
                    sum(calls_without_tokens)
                ) as sums
            from named
            where named.hour = usage_hours.hour
            group by
                account_id, region, model_id, user_name, application, data_source
        )
    ))
)

select
    hour,
    day,
    json_extract(sums, '$[0]') as account_id,
    json_extract(sums, '$[1]') as region,
    json_extract(sums, '$[2]') as model_id,
    json_extract(sums, '$[3]') as user_name,
    json_extract(sums, '$[4]') as application,
    json_extract(sums, '$[5]') as data_source,
    json_extract(sums, '$[6]') as calls,
    json_extract(sums, '$[7]') as failed_calls,
    json_extract(sums, '$[8]') as input_tokens,
    json_extract(sums, '$[9]') as output_tokens,
    json_extract(sums, '$[10]') as cache_read_tokens,
    json_extract(sums, '$[11]') as cache_write_tokens,
    json_extract(sums, '$[12]') as image_count,
    json_extract(sums, '$[13]') / 1e12 as list_cost_usd,
    json_extract(sums, '$[13]') / 1e12 as cost_usd,
    json_extract(sums, '$[13]') as cost_picodollars,
    json_extract(sums, '$[14]') as unpriced_calls,
    json_extract(sums, '$[15]') as unpriced_tokens,
    json_extract(sums, '$[16]') as calls_without_tokens,
    json_extract(sums, '$[14]')
    + json_extract(sums, '$[15]')
    + json_extract(sums, '$[16]') > 0 as is_lower_bound
from summed
