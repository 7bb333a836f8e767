-- Who gets how much of what CloudWatch counted and no call reports.

{% import 'macros/columns' as columns %}
{% import 'macros/usage' as usage %}

-- Each row gets the residual's share for all calls up to and including its own, less
-- the share for the calls before them. Ends with a CTE shares, which has tokens_up_to and
-- tokens_before. more: other columns of the residuals.
{% macro shares(residuals, more=[]) %}
with series_calls as (
    select
        {{ columns.each(columns.metric_model, 'residuals.{}') }},
        residuals.token_kind,
{% for column in more %}
        residuals.{{ column }},
{% endfor %}
        residuals.residual_tokens,
        residuals.unknown_calls as all_calls,
        usage.rate_key,
        usage.user_key,
        usage.application_key,
        usage.token_source_key,
        {{ usage.unknown_calls_of('residuals.token_kind') }} as unknown_calls
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
    where residuals.unknown_calls > 0
),

running as (
    select
        *,
        sum(unknown_calls) over (
            partition by
                hour, account_key, region_key, endpoint, cloudwatch_model_id, token_kind
            order by rate_key, user_key, application_key, token_source_key
            rows unbounded preceding
        ) as calls_up_to
    from series_calls
    where unknown_calls > 0
),

-- residual * calls / all_calls, written so that no product can overflow.
shares as (
    select
        *,
        residual_tokens / all_calls * calls_up_to
        + residual_tokens % all_calls * calls_up_to / all_calls as tokens_up_to,
        residual_tokens / all_calls * (calls_up_to - unknown_calls)
        + residual_tokens % all_calls * (calls_up_to - unknown_calls) / all_calls
            as tokens_before
    from running
)
{%- endmacro %}
