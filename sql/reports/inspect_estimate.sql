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
        and totals.account_key = series.account_key
        and totals.region_key = series.region_key
        and totals.endpoint = series.endpoint
        and totals.cloudwatch_model_id = series.cloudwatch_model_id
left join hour_shares
    on
        hour_shares.hour = usage.hour
        and hour_shares.account_key = usage.account_key
        and hour_shares.rate_key = usage.rate_key
        and hour_shares.token_kind = totals.metric_kind
        and hour_shares.user_key = usage.user_key
        and hour_shares.application_key = usage.application_key
left join calibrations
    on {{ estimates.serves('totals', 'totals.metric_kind') }}
left join call_weights
    on
        call_weights.calibration_key = calibrations.calibration_key
        and call_weights.user_key = usage.user_key
        and call_weights.application_key = usage.application_key
where {{ usage.unknown_calls_of('totals.metric_kind') }} = 1
order by totals.metric_kind
