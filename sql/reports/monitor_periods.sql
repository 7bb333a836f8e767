-- What did each application use of each model in every five minutes?
-- Grain: 5-minute period x application x model (canonical), over all accounts and
-- regions. :since and :until are bounds of hours and periods, half open; hours before
-- :estimates_until are estimated, later ones not.
-- Units: tokens; calls; *_picodollars are whole numbers, 10^12 = 1 USD.
-- Caveats: a token column is NULL where no count is known, a cost where nothing can be
-- priced; calls_without_cost are the successful calls that a cost leaves out,
-- unpriced_tokens the tokens, because they have no price. Estimates exist by the hour:
-- what a row of usage_hourly is given is shared out evenly among its calls that lack
-- the count, in the order of their times and in whole tokens that add up exactly; what
-- no call can take, (unattributed), over the hour's twelve periods.
with used as (
    select
        usage.*,
        rate_keys.rate_key,
        substr(usage.event_time, 1, 10) as day
    from int_call_usage as usage
    inner join rate_keys
        on
            rate_keys.model_key = usage.model_key
            and rate_keys.region_key = usage.region_key
            and rate_keys.service_tier = usage.service_tier
            and rate_keys.min_input_tokens = usage.min_input_tokens
    where usage.event_time >= :since and usage.event_time < :until
),

-- *_turn: which of the calls that lack the count a call is. *_of: how many there are.
with_estimates as (
    select
        used.*,
        estimates.estimated_input_tokens as input_estimate,
        estimates.estimated_output_tokens as output_estimate,
        estimates.estimated_cache_read_tokens as cache_read_estimate,
        estimates.estimated_cache_write_tokens as cache_write_estimate,
        estimates.estimated_image_count as image_estimate,
        estimates.input_unknown_calls as input_of,
        estimates.output_unknown_calls as output_of,
        estimates.cache_read_unknown_calls as cache_read_of,
        estimates.cache_write_unknown_calls as cache_write_of,
        estimates.image_unknown_calls as image_of,
        sum(used.input_unknown_calls) over earlier as input_turn,
        sum(used.output_unknown_calls) over earlier as output_turn,
        sum(used.cache_read_unknown_calls) over earlier as cache_read_turn,
        sum(used.cache_write_unknown_calls) over earlier as cache_write_turn,
        sum(used.image_unknown_calls) over earlier as image_turn
    from used
    left join usage_hourly as estimates
        on
            estimates.hour = used.hour
            and estimates.account_key = used.account_key
            and estimates.rate_key = used.rate_key
            and estimates.user_key = used.user_key
            and estimates.application_key = used.application_key
            and estimates.token_source_key = used.token_source_key
            and estimates.hour < :estimates_until
    window earlier as (
        partition by
            used.hour,
            used.account_key,
            used.rate_key,
            used.user_key,
            used.application_key,
            used.token_source_key
        order by used.event_time, used.event_id
        rows unbounded preceding
    )
),

-- estimate * turn / of, less what it was a turn before; no product can overflow.
by_call as (
    select
        event_time,
        day,
        rate_key,
        application_key,
        calls,
        failed_calls,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_5m_tokens,
        cache_write_1h_tokens,
        image_count,
        case
            when input_unknown_calls
                then
                    input_estimate / input_of
                    + input_estimate % input_of * input_turn / input_of
                    - input_estimate % input_of * (input_turn - 1) / input_of
        end as estimated_input,
        case
            when output_unknown_calls
                then
                    output_estimate / output_of
                    + output_estimate % output_of * output_turn / output_of
                    - output_estimate % output_of * (output_turn - 1) / output_of
        end as estimated_output,
        case
            when cache_read_unknown_calls
                then
                    cache_read_estimate / cache_read_of
                    + cache_read_estimate % cache_read_of * cache_read_turn
                    / cache_read_of
                    - cache_read_estimate % cache_read_of * (cache_read_turn - 1)
                    / cache_read_of
        end as estimated_cache_read,
        case
            when cache_write_unknown_calls
                then
                    cache_write_estimate / cache_write_of
                    + cache_write_estimate % cache_write_of * cache_write_turn
                    / cache_write_of
                    - cache_write_estimate % cache_write_of * (cache_write_turn - 1)
                    / cache_write_of
        end as estimated_cache_write,
        case
            when image_unknown_calls
                then
                    image_estimate / image_of
                    + image_estimate % image_of * image_turn / image_of
                    - image_estimate % image_of * (image_turn - 1) / image_of
        end as estimated_images
    from with_estimates
),

unattributed as (
    select
        substr(usage.hour, 1, 14) || printf('%02d', twelfths.value * 5) || ':00Z'
            as event_time,
        substr(usage.hour, 1, 10) as day,
        usage.rate_key,
        usage.application_key,
        0 as calls,
        0 as failed_calls,
        null as input_tokens,
        null as output_tokens,
        null as cache_read_tokens,
        null as cache_write_5m_tokens,
        null as cache_write_1h_tokens,
        null as image_count,
        usage.estimated_input_tokens * (twelfths.value + 1) / 12
        - usage.estimated_input_tokens * twelfths.value / 12 as estimated_input,
        usage.estimated_output_tokens * (twelfths.value + 1) / 12
        - usage.estimated_output_tokens * twelfths.value / 12 as estimated_output,
        usage.estimated_cache_read_tokens * (twelfths.value + 1) / 12
        - usage.estimated_cache_read_tokens * twelfths.value / 12
            as estimated_cache_read,
        usage.estimated_cache_write_tokens * (twelfths.value + 1) / 12
        - usage.estimated_cache_write_tokens * twelfths.value / 12
            as estimated_cache_write,
        usage.estimated_image_count * (twelfths.value + 1) / 12
        - usage.estimated_image_count * twelfths.value / 12 as estimated_images
    from usage_hourly as usage
    cross join json_each('[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]') as twelfths
    where
        usage.calls = 0
        and usage.failed_calls = 0
        and usage.hour >= :since
        and usage.hour < :until
        and usage.hour < :estimates_until
),

parts as (
    select * from by_call
    union all
    select * from unattributed
),

priced as (
    select
        parts.*,
        coalesce(
            input_tokens,
            output_tokens,
            cache_read_tokens,
            cache_write_5m_tokens,
            cache_write_1h_tokens,
            image_count
        ) is not null as is_known,
        coalesce(
            estimated_input,
            estimated_output,
            estimated_cache_read,
            estimated_cache_write,
            estimated_images
        ) is not null as is_estimated,
        coalesce(
            iif(input_tokens > 0, input_rate, null),
            iif(output_tokens > 0, output_rate, null),
            iif(cache_read_tokens > 0, cache_read_rate, null),
            iif(cache_write_5m_tokens > 0, cache_write_5m_rate, null),
            iif(cache_write_1h_tokens > 0, cache_write_1h_rate, null),
            iif(image_count > 0, image_rate, null)
        ) is not null as has_priced_known,
        iif(input_rate is null, coalesce(input_tokens, 0), 0)
        + iif(output_rate is null, coalesce(output_tokens, 0), 0)
        + iif(cache_read_rate is null, coalesce(cache_read_tokens, 0), 0)
        + iif(cache_write_5m_rate is null, coalesce(cache_write_5m_tokens, 0), 0)
        + iif(cache_write_1h_rate is null, coalesce(cache_write_1h_tokens, 0), 0)
        + iif(image_rate is null, coalesce(image_count, 0), 0)
            as unpriced_known,
        coalesce(input_tokens * input_rate, 0)
        + coalesce(output_tokens * output_rate, 0)
        + coalesce(cache_read_tokens * cache_read_rate, 0)
        + coalesce(cache_write_5m_tokens * cache_write_5m_rate, 0)
        + coalesce(cache_write_1h_tokens * cache_write_1h_rate, 0)
        + coalesce(image_count * image_rate, 0)
            as priced_known,
        coalesce(
            iif(estimated_input > 0, input_rate, null),
            iif(estimated_output > 0, output_rate, null),
            iif(estimated_cache_read > 0, cache_read_rate, null),
            iif(estimated_cache_write > 0, cache_write_5m_rate, null),
            iif(estimated_images > 0, image_rate, null)
        ) is not null as has_priced_estimated,
        iif(input_rate is null, coalesce(estimated_input, 0), 0)
        + iif(output_rate is null, coalesce(estimated_output, 0), 0)
        + iif(cache_read_rate is null, coalesce(estimated_cache_read, 0), 0)
        + iif(cache_write_5m_rate is null, coalesce(estimated_cache_write, 0), 0)
        + iif(image_rate is null, coalesce(estimated_images, 0), 0)
            as unpriced_estimated,
        coalesce(estimated_input * input_rate, 0)
        + coalesce(estimated_output * output_rate, 0)
        + coalesce(estimated_cache_read * cache_read_rate, 0)
        + coalesce(estimated_cache_write * cache_write_5m_rate, 0)
        + coalesce(estimated_images * image_rate, 0)
            as priced_estimated
    from parts
    left join int_rates as rates
        on
            rates.rate_key = parts.rate_key
            and parts.day >= rates.valid_from
            and parts.day < rates.valid_to
),

named as (
    select
        priced.*,
        case
            when has_priced_known or (is_known and unpriced_known = 0) then priced_known
        end as known_cost,
        case
            when has_priced_estimated or (is_estimated and unpriced_estimated = 0)
                then priced_estimated
        end as estimated_cost,
        substr(priced.event_time, 1, 14)
        || printf('%02d', substr(priced.event_time, 15, 2) / 5 * 5)
        || ':00Z' as period_start,
        int_models.canonical_model_id as model_id,
        case
            -- Rank 3 is the inference profile's place among the evidence.
            when
                int_models.profile_application is not null
                and applications.source_rank > 3
                then int_models.profile_application
            else applications.application
        end as application
    from priced
    inner join rate_keys on rate_keys.rate_key = priced.rate_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    inner join applications on applications.application_key = priced.application_key
    where period_start < :until
),

final as (
    select
        period_start,
        application,
        model_id,
        sum(calls) as calls,
        sum(failed_calls) as failed_calls,
        sum(coalesce(input_tokens, estimated_input)) as input_tokens,
        sum(coalesce(output_tokens, estimated_output)) as output_tokens,
        sum(coalesce(cache_read_tokens, estimated_cache_read)) as cache_read_tokens,
        sum(
            coalesce(
                cache_write_5m_tokens + coalesce(cache_write_1h_tokens, 0),
                cache_write_1h_tokens,
                estimated_cache_write
            )
        ) as cache_write_tokens,
        sum(known_cost) as known_cost_picodollars,
        sum(estimated_cost) as estimated_cost_picodollars,
        sum(calls and known_cost is null and estimated_cost is null)
            as calls_without_cost,
        sum(unpriced_known + unpriced_estimated) as unpriced_tokens
    from named
    group by period_start, application, model_id
)

select
    period_start,
    application,
    model_id,
    calls,
    failed_calls,
    input_tokens,
    output_tokens,
    cache_read_tokens,
    cache_write_tokens,
    case
        when coalesce(known_cost_picodollars, estimated_cost_picodollars) is not null
            then
                coalesce(known_cost_picodollars, 0)
                + coalesce(estimated_cost_picodollars, 0)
    end as cost_picodollars,
    estimated_cost_picodollars,
    calls_without_cost,
    unpriced_tokens
from final
order by period_start, application, model_id
