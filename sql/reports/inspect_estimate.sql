-- How were the tokens estimated that a call does not tell?
-- Grain: kind of token that the call lacks and CloudWatch counts. weight: tokens for
-- each call of the caller.
with own as (
    select
        usage.*,
        rate_keys.rate_key
    from int_call_usage as usage
    {{ rates.of_call('inner') }}
    where
        usage.event_time = :event_time
        and usage.event_id = :event_id
        and usage.calls = 1
)

select
    totals.metric_kind as token_kind,
    {{ estimates.method_name(
        'coalesce(hour_shares.method, call_weights.method, %s)' % estimates.by_calls
    ) }} as method,
    call_weights.weight / 1000.0 as weight,
    call_weights.relative_error,
    calibrations.unit,
    calibrations.window_start,
    calibrations.bucket_seconds,
    calibrations.held_out_gain
from own as usage
inner join int_rate_series as series
    on
        series.account_key = usage.account_key
        and series.rate_key = usage.rate_key
inner join metric_hourly as totals
    on
        totals.hour = usage.hour
        and {{ columns.same_series('totals', 'series') }}
{{ estimates.found_for_hour('totals.metric_kind') }}
{{ estimates.weights('totals', 'totals.metric_kind') }}
where {{ usage.unknown_calls_of('totals.metric_kind') }} = 1
order by totals.metric_kind
