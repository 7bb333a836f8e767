-- Does every hour that a calibration shared have the calls that it had then?
-- Each row is an hour, account, rate key, kind of token, user and application whose
-- calls without the kind differ.
{% set key = ['hour', 'account_key', 'rate_key', 'token_kind', 'user_key', 'application_key'] %}
with shared as (
    select distinct
        shares.hour,
        shares.account_key,
        shares.token_kind,
        series.region_key,
        series.endpoint,
        series.cloudwatch_model_id
    from hour_shares as shares
    inner join int_rate_series as series
        on
            series.account_key = shares.account_key
            and series.rate_key = shares.rate_key
),

both_sides as (
    select
        {{ columns.each(key) }},
        calls
    from hour_shares
    union all
    select
        usage.hour,
        usage.account_key,
        usage.rate_key,
        shared.token_kind,
        usage.user_key,
        usage.application_key,
        -{{ usage.unknown_calls_of('shared.token_kind') }}
    from shared
    inner join int_rate_series as series
        on
            {{ columns.same_series('series', 'shared') }}
    cross join usage_hourly as usage
        on
            usage.hour = shared.hour
            and usage.account_key = shared.account_key
            and usage.rate_key = series.rate_key
)

select
    {{ columns.each(key) }},
    sum(calls) as calls_too_many
from both_sides
group by {{ key | join(', ') }}
having sum(calls) <> 0
