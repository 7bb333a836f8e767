-- Who gets how much of what CloudWatch counted and no call reports.

{% import 'macros/columns' as columns %}
{% import 'macros/usage' as usage %}

-- Each row is due its calls times the weight of its caller, where the series is
-- calibrated, else its calls. It gets the residual's share for what is due up to and
-- including it, less the share for what is due before it. Ends with a CTE shares, which
-- has tokens_up_to and tokens_before. more: other columns of the residuals.
{% macro shares(residuals, more=[]) %}
with series_calls as (
    select
        {{ columns.each(columns.metric_model, 'residuals.{}') }},
        residuals.token_kind,
{% for column in more %}
        residuals.{{ column }},
{% endfor %}
        residuals.residual_tokens,
        calibrations.calibration_key is not null as is_calibrated,
        usage.rate_key,
        usage.user_key,
        usage.application_key,
        usage.token_source_key,
        {{ usage.unknown_calls_of('residuals.token_kind') }} as unknown_calls,
        coalesce(call_weights.weight, calibrations.average_weight, 1) as weight
    from {{ residuals }} as residuals
    inner join int_rate_series as series
        on
            series.account_key = residuals.account_key
            and series.region_key = residuals.region_key
            and series.endpoint = residuals.endpoint
            and series.cloudwatch_model_id = residuals.cloudwatch_model_id
    -- cross join: first the hours and rates needed, then the rollup by its key.
    cross join usage_hourly as usage
        on
            usage.hour = residuals.hour
            and usage.account_key = residuals.account_key
            and usage.rate_key = series.rate_key
    left join calibrations
        on
            calibrations.account_key = residuals.account_key
            and calibrations.region_key = residuals.region_key
            and calibrations.endpoint = residuals.endpoint
            and calibrations.cloudwatch_model_id = residuals.cloudwatch_model_id
            and calibrations.token_kind = residuals.token_kind
            and calibrations.window_start = (
                select max(earlier.window_start) from calibrations as earlier
                where
                    earlier.account_key = residuals.account_key
                    and earlier.region_key = residuals.region_key
                    and earlier.endpoint = residuals.endpoint
                    and earlier.cloudwatch_model_id = residuals.cloudwatch_model_id
                    and earlier.token_kind = residuals.token_kind
                    and earlier.window_start <= residuals.hour
            )
            and calibrations.is_used
    left join call_weights
        on
            call_weights.calibration_key = calibrations.calibration_key
            and call_weights.user_key = usage.user_key
            and call_weights.application_key = usage.application_key
    where residuals.unknown_calls > 0
),

running as (
    select
        *,
        unknown_calls * weight as due,
        sum(unknown_calls * weight) over series as all_due,
        sum(unknown_calls * weight) over running as due_up_to
    from series_calls
    where unknown_calls > 0
    window
        series as (
            partition by
                hour, account_key, region_key, endpoint, cloudwatch_model_id, token_kind
        ),
        running as (
            series
            order by rate_key, user_key, application_key, token_source_key
            rows unbounded preceding
        )
),

-- residual * due / all_due, written so that no product can overflow. What is due by
-- weight is too much for that; its parts are fractions, the last of which is exactly 1.
shares as (
    select
        *,
        iif(
            is_calibrated,
            cast(residual_tokens * (1.0 * due_up_to / all_due) as integer),
            residual_tokens / all_due * due_up_to
            + residual_tokens % all_due * due_up_to / all_due
        ) as tokens_up_to,
        iif(
            is_calibrated,
            cast(residual_tokens * (1.0 * (due_up_to - due) / all_due) as integer),
            residual_tokens / all_due * (due_up_to - due)
            + residual_tokens % all_due * (due_up_to - due) / all_due
        ) as tokens_before
    from running
)
{%- endmacro %}
