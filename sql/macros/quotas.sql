-- What counts towards quotas, and who was refused.

{% import 'macros/columns' as columns %}

-- The kinds of token that a quota counts: reads from the cache are free.
{% set counted = columns.kinds_of_tokens | map(attribute='name')
    | reject('eq', 'cache_read') | list %}

-- By which route a call's model id is called, as etl/normalise/quotas.py has it.
{% macro route(models='int_models') -%}
case
    when {{ models }}.inference_scope = 'global' then 'global'
    when {{ models }}.cloudwatch_model_id = {{ models }}.canonical_model_id
        then 'on-demand'
    else 'cross-region'
end
{%- endmacro %}

-- The errors of a call that was refused because there were too many.
{% set refusals = [
    'ThrottlingException',
    'TooManyRequestsException',
    'ServiceQuotaExceededException',
] %}

{% macro refused(events='events') %}
{{ events }}.error_code_key in (
    select error_codes.error_code_key from error_codes
    where
        error_codes.error_code in (
            {{ columns.each(refusals, "'{}'") }}
        )
)
{% endmacro %}

-- Quotas with what was used of them, as CTEs; the last is used. since: the first day.
{% macro used(since) %}
minutes as (
    -- Calls by the minute, of all users.
    select
        calls.account_key,
        rate_keys.region_key,
        int_models.canonical_model_id as model_id,
        {{ route() }} as route,
        calls.hour,
        minute.key as minute,
        sum(minute.value) as value
    from call_minutes as calls
    cross join json_each(calls.minutes) as minute
    inner join rate_keys on rate_keys.rate_key = calls.rate_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    where calls.hour >= {{ since }}
    group by 1, 2, 3, 4, 5, 6
),

token_minutes as (
    select
        series.account_key,
        series.region_key,
        int_models.canonical_model_id as model_id,
        {{ route() }} as route,
        counted.hour,
        minute.key as minute,
        sum(minute.value) as value
    from metric_minutes as counted
    inner join metric_series as series on series.series_key = counted.series_key
    cross join json_each(counted.minutes) as minute
    inner join int_models on int_models.model_key = series.model_key
    where
        counted.hour >= {{ since }}
        and series.metric_kind in (
            {{ columns.each(counted, "'{}'", ', ') }}
        )
    group by 1, 2, 3, 4, 5, 6
),

hours as materialized (
    select
        hourly.account_key,
        hourly.region_key,
        int_models.canonical_model_id as model_id,
        {{ route() }} as route,
        hourly.hour,
        iif(hourly.metric_kind = 'calls', 'requests', 'tokens') as quota_kind,
        sum(hourly.value) as value
    from metric_hourly as hourly
    inner join int_models on int_models.model_key = hourly.model_key
    where
        hourly.hour >= {{ since }}
        and hourly.metric_kind in (
            'calls',
            {{ columns.each(counted, "'{}'", ', ') }}
        )
    group by 1, 2, 3, 4, 5, 6
),

days as (
    select
        account_key,
        region_key,
        model_id,
        iif(route = 'global', route, 'regional') as route,
        quota_kind,
        substr(hour, 1, 10) as day,
        sum(value) as value
    from hours
    group by 1, 2, 3, 4, 5, 6
),

-- SQLite takes the time from the row that has the maximum.
found as (
    select
        accounts.account_key,
        regions.region_key,
        peaks.model_id,
        peaks.route,
        'tokens' as quota_kind,
        'minute' as period,
        1 as turn,
        'minutes by CloudWatch''s estimate' as found_in,
        max(peaks.tokens) as highest,
        peaks.peak_at as highest_at
    from quota_peaks as peaks
    inner join accounts on accounts.account_id = peaks.account_id
    inner join regions on regions.region = peaks.region
    where peaks.day >= {{ since }}
    group by 1, 2, 3, 4
    union all
    select
        account_key,
        region_key,
        model_id,
        route,
        'tokens' as quota_kind,
        'minute' as period,
        2 as turn,
        'minutes by CloudWatch''s totals' as found_in,
        max(value) as highest,
        substr(hour, 1, 14) || printf('%02d', minute) || ':00Z' as highest_at
    from token_minutes
    group by 1, 2, 3, 4
    union all
    select
        account_key,
        region_key,
        model_id,
        route,
        'requests' as quota_kind,
        'minute' as period,
        2 as turn,
        'minutes of calls' as found_in,
        max(value) as highest,
        substr(hour, 1, 14) || printf('%02d', minute) || ':00Z' as highest_at
    from minutes
    group by 1, 2, 3, 4
    union all
    select
        account_key,
        region_key,
        model_id,
        route,
        quota_kind,
        'minute' as period,
        3 as turn,
        'mean minute of the highest hour' as found_in,
        max(value) / 60 as highest,
        hour as highest_at
    from hours
    group by 1, 2, 3, 4, 5
    union all
    select
        account_key,
        region_key,
        model_id,
        route,
        quota_kind,
        'day' as period,
        1 as turn,
        'days' as found_in,
        max(value) as highest,
        day as highest_at
    from days
    group by 1, 2, 3, 4, 5
),

used as materialized (
    select
        accounts.account_id,
        regions.region,
        found.*,
        row_number() over (
            partition by
                found.account_key,
                found.region_key,
                found.model_id,
                found.route,
                found.quota_kind,
                found.period
            order by found.turn
        ) as choice
    from found
    inner join accounts on accounts.account_key = found.account_key
    inner join regions on regions.region_key = found.region_key
),

refused as materialized (
    select
        accounts.account_id,
        regions.region,
        int_models.canonical_model_id as model_id,
        {{ route() }} as route,
        count(*) as throttled_calls
    from events
    inner join accounts on accounts.account_key = events.account_key
    inner join regions on regions.region_key = events.region_key
    inner join int_models on int_models.model_key = events.model_key
    where
        {{ refused() }}
        and events.event_time >= {{ since }}
    group by 1, 2, 3, 4
)
{% endmacro %}
