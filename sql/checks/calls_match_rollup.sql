-- Do the costs of single calls add up to the measured costs of the rollup?
-- Each row is a user for whom calls and usage_cost differ in cost, in list cost or in
-- tokens without a price. Only hours whose calls were not dropped are compared: from
-- kept_from on.
with kept as (
    select coalesce(max(dropped_before), '') as kept_from
    from dropped_calls
),

both_sides as (
    select
        user_name,
        cost_picodollars / 1000000 as microdollars,
        cost_picodollars % 1000000 as rest,
        list_cost_picodollars / 1000000 as list_microdollars,
        list_cost_picodollars % 1000000 as list_rest,
        unpriced_tokens,
        list_unpriced_tokens
    from usage_cost
    where
        data_source like 'Actual%' and hour >= (select kept_from from kept)
    union all
    -- Calls know nothing of what estimates take from their input.
    select
        users.user_name,
        usage.estimated_cached_input_tokens * rates.input_rate / 1000000
            as microdollars,
        usage.estimated_cached_input_tokens * rates.input_rate % 1000000 as rest,
        usage.estimated_cached_input_tokens * rates.input_list_rate / 1000000
            as list_microdollars,
        usage.estimated_cached_input_tokens * rates.input_list_rate % 1000000
            as list_rest,
        iif(rates.input_rate is null, usage.estimated_cached_input_tokens, 0)
            as unpriced_tokens,
        iif(rates.input_list_rate is null, usage.estimated_cached_input_tokens, 0)
            as list_unpriced_tokens
    from usage_hourly as usage
    inner join stg_users as users on users.user_key = usage.user_key
    {{ rates.in_force('usage.account_key', 'usage.rate_key', 'substr(usage.hour, 1, 10)') }}
    where
        usage.estimated_cached_input_tokens > 0
        and usage.hour >= (select kept_from from kept)
    union all
    select
        user_name,
        -(cost_picodollars / 1000000) as microdollars,
        -(cost_picodollars % 1000000) as rest,
        -(list_cost_picodollars / 1000000) as list_microdollars,
        -(list_cost_picodollars % 1000000) as list_rest,
        -unpriced_tokens as unpriced_tokens,
        -list_unpriced_tokens as list_unpriced_tokens
    from calls
    where substr(event_time, 1, 13) || ':00:00Z' >= (select kept_from from kept)
),

final as (
    select
        user_name,
        coalesce(sum(microdollars), 0) * 1000000 + coalesce(sum(rest), 0)
            as difference_picodollars,
        coalesce(sum(list_microdollars), 0) * 1000000 + coalesce(sum(list_rest), 0)
            as list_difference_picodollars,
        sum(unpriced_tokens) as difference_unpriced_tokens,
        sum(list_unpriced_tokens) as difference_list_unpriced_tokens
    from both_sides
    group by user_name
)

select * from final
where
    difference_picodollars <> 0
    or list_difference_picodollars <> 0
    or difference_unpriced_tokens <> 0
    or difference_list_unpriced_tokens <> 0
