-- Does the rollup match the events? Each row is one that differs: its key, and by how
-- much (rollup less events) its calls, failed calls and tokens are off.
-- Only hours whose calls were not dropped are compared: from kept_from on.
with kept as (
    select coalesce(max(dropped_before), '') as kept_from
    from dropped_calls
),

recomputed as (
    select
        usage.hour,
        usage.account_key,
        rate_keys.rate_key,
        usage.user_key,
        usage.application_key,
        usage.token_source_key,
        -1 as sign,
        {{ columns.each(columns.known, 'usage.{}') }}
    from int_call_usage as usage
    {{ rates.of_call('left') }}
    where usage.hour >= (select kept_from from kept)
),

both_sides as (
    select
        hour,
        {{ columns.each(columns.keys) }},
        1 as sign,
        {{ columns.each(columns.known) }}
    from usage_hourly
    where
        (calls > 0 or failed_calls > 0) and hour >= (select kept_from from kept)
    union all
    select * from recomputed
),

final as (
    select
        hour,
        {{ columns.each(columns.keys) }},
        {{ columns.each(columns.known, 'coalesce(sum(sign * {0}), 0) as {0}') }}
    from both_sides
    group by
        hour,
        {{ columns.each(columns.keys) }}
)

select *
from final
where
    {{ columns.each(columns.known, '{} <> 0', '\nor ') }}
