-- Do the costs of single calls come to the measured costs of the rollup?
-- Each row is a user whose calls and whose rows of usage_cost differ. Users with
-- unpriced tokens are left out: there the rollup gives no cost to any call of an hour's
-- row. Only hours whose calls were not dropped are compared: from kept_from on.
with kept as (
    select coalesce(max(dropped_before), '') as kept_from
    from dropped_calls
),

from_calls as (
    select
        user_name,
        sum(cost_picodollars / 1000000) as microdollars,
        sum(cost_picodollars % 1000000) as rest
    from calls
    where substr(event_time, 1, 13) || ':00:00Z' >= (select kept_from from kept)
    group by user_name
),

from_rollup as (
    select
        user_name,
        sum(cost_picodollars / 1000000) as microdollars,
        sum(cost_picodollars % 1000000) as rest
    from usage_cost
    where
        data_source like 'Actual%' and hour >= (select kept_from from kept)
    group by user_name
    having sum(unpriced_tokens) = 0 and sum(cost_picodollars) is not null
),

final as (
    select
        from_rollup.user_name,
        (from_rollup.microdollars - coalesce(from_calls.microdollars, 0)) * 1000000
        + from_rollup.rest - coalesce(from_calls.rest, 0) as difference_picodollars
    from from_rollup
    left join from_calls on from_calls.user_name = from_rollup.user_name
)

select * from final where difference_picodollars <> 0
