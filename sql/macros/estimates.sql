-- Who gets how much of what CloudWatch counted and no call reports.

{% import 'macros/columns' as columns %}
{% import 'macros/usage' as usage %}

-- By its number in usage_hourly.estimated_by, from 1; the weakest last.
{% set methods = ['single caller', 'calibrated', 'calls'] %}
{% set by_calls = methods | length %}

{% macro method_name(number) %}
case {{ number }}
{% for method in methods %}
    when {{ loop.index }} then '{{ method }}'
{% endfor %}
end
{%- endmacro %}

-- Whether a row of calibrations has the weights of a row with CloudWatch's names, at its
-- hour or another one.
{% macro serves(row, kind, hour='') -%}
{{ columns.same_series('calibrations', row) }}
and calibrations.token_kind = {{ kind }}
and calibrations.window_start = (
    select max(earlier.window_start) from calibrations as earlier
    where
        {{ columns.same_series('earlier', row) }}
        and earlier.token_kind = {{ kind }}
        and earlier.window_start <= {{ hour or row ~ '.hour' }}
)
and calibrations.is_used
{%- endmacro %}

-- Joins the calibration whose weights serve a row with CloudWatch's names, if any.
{% macro calibration_of(row, kind, hour='') %}
left join calibrations
    on
        {{ serves(row, kind, hour) }}
{% endmacro %}

-- Joins its weight of a usage row's caller.
{% macro weight_of(usage) %}
left join call_weights
    on
        call_weights.calibration_key = calibrations.calibration_key
        and call_weights.user_key = {{ usage }}.user_key
        and call_weights.application_key = {{ usage }}.application_key
{% endmacro %}

-- Both.
{% macro weights(row, kind, usage='usage', hour='') %}
{{ calibration_of(row, kind, hour) }}
{{ weight_of(usage) }}
{% endmacro %}

-- Joins what a calibration found for the caller and hour of a usage row.
{% macro found_for_hour(kind) %}
left join hour_shares
    on
        hour_shares.hour = usage.hour
        and hour_shares.account_key = usage.account_key
        and hour_shares.rate_key = usage.rate_key
        and hour_shares.token_kind = {{ kind }}
        and hour_shares.user_key = usage.user_key
        and hour_shares.application_key = usage.application_key
{% endmacro %}

-- Joins what arrives in an hour of residuals of calls of the hour before, as late.
{% macro late_shares() %}
cross join hour_shares as late
    on
        late.hour = residuals.hour
        and late.account_key = residuals.account_key
        and late.rate_key = series.rate_key
        and late.token_kind = residuals.token_kind
{% endmacro %}

-- Each row is due what a calibration found for its caller and hour; else its calls times
-- the weight of its caller, where the series is calibrated; else its calls. It gets the
-- residual's share for what is due up to and including it, less the share for what is due
-- before it. Ends with a CTE shares, which has tokens_up_to and tokens_before, and the
-- method (as usage_hourly.estimated_by). more: other columns of the residuals. series:
-- the columns that tell one residual from another.
{% macro shares(residuals, more=[], series=columns.metric_model + ['token_kind']) %}
with series_calls as (
    select
        {{ columns.each(columns.metric_model, 'residuals.{}') }},
        residuals.token_kind,
{% for column in more %}
        residuals.{{ column }},
{% endfor %}
        residuals.residual_tokens,
        usage.rate_key,
        usage.user_key,
        usage.application_key,
        usage.token_source_key,
        {{ usage.unknown_calls_of('residuals.token_kind') }} as unknown_calls,
        calibrations.calibration_key is not null
        or hour_shares.due is not null as is_weighted,
        coalesce(call_weights.weight, calibrations.average_weight, 1) as weight,
        hour_shares.calls as calls_due,
        hour_shares.due as hour_due,
        coalesce(hour_shares.method, call_weights.method, {{ by_calls }}) as method
    from {{ residuals }} as residuals
    inner join int_rate_series as series
        on
            {{ columns.same_series('series', 'residuals') }}
    {{ calibration_of('residuals', 'residuals.token_kind') }}
    -- cross join: first the hours and rates needed, then the rollup by its key.
    cross join usage_hourly as usage
        on
            usage.hour = residuals.hour
            and usage.account_key = residuals.account_key
            and usage.rate_key = series.rate_key
    {{ weight_of('usage') }}
    {{ found_for_hour('residuals.token_kind') }}
    where residuals.unknown_calls > 0
),

-- Calls of the hour before, whose tokens arrive in this one, are lines that count none.
lines as (
    select
        *,
        iif(
            hour_due is null,
            unknown_calls * weight,
            hour_due / calls_due * unknown_calls
            + hour_due % calls_due * unknown_calls / calls_due
        ) as due
    from series_calls
    where unknown_calls > 0
    union all
    select
        {{ columns.each(columns.metric_model, 'residuals.{}') }},
        residuals.token_kind,
{% for column in more %}
        residuals.{{ column }},
{% endfor %}
        residuals.residual_tokens,
        late.rate_key,
        late.user_key,
        late.application_key,
        0 as token_source_key,
        0 as unknown_calls,
        true as is_weighted,
        0 as weight,
        0 as calls_due,
        late.due as hour_due,
        late.method,
        late.due
    from {{ residuals }} as residuals
    inner join int_rate_series as series
        on
            {{ columns.same_series('series', 'residuals') }}
    {{ late_shares() }}
    where late.calls = 0
),

running as (
    select
        *,
        sum(due) over series as all_due,
        sum(due) over running as due_up_to
    from lines
    window
        series as (
            partition by
                {{ series | join(',\n') }}
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
            is_weighted,
            cast(residual_tokens * (1.0 * due_up_to / all_due) as integer),
            residual_tokens / all_due * due_up_to
            + residual_tokens % all_due * due_up_to / all_due
        ) as tokens_up_to,
        iif(
            is_weighted,
            cast(residual_tokens * (1.0 * (due_up_to - due) / all_due) as integer),
            residual_tokens / all_due * (due_up_to - due)
            + residual_tokens % all_due * (due_up_to - due) / all_due
        ) as tokens_before
    from running
)
{%- endmacro %}

-- Whether a calibration shares a residual that no call of its hour lacks.
{% macro is_late() %}
exists (
    select 1
    from int_rate_series as series
    {{ late_shares() }}
    where
        {{ columns.same_series('series', 'residuals') }}
)
{%- endmacro %}

-- The last CTE of estimates, after shares(): what each usage row gets. cached_input: the
-- relation int_cached_input, or its rows.
{% macro of_rows(cached_input) %}
final as (
    select
        hour,
        {{ columns.each(columns.keys) }},
        token_kind,
        tokens_up_to - tokens_before as estimated_tokens,
        method
    from shares
    union all
    select
        hour,
        {{ columns.each(columns.keys) }},
        'cached_input' as token_kind,
        cached_tokens as estimated_tokens,
        null as method
    from {{ cached_input }}
)
{%- endmacro %}

-- What no call accounts for. The rate key is the model's for the standard tier and normal
-- context size.
{% macro unattributed(residuals) %}
select
    residuals.hour,
    residuals.account_key,
    rate_keys.rate_key,
    residuals.token_kind,
    residuals.residual_tokens
from {{ residuals }} as residuals
inner join rate_keys
    on
        rate_keys.model_key = residuals.model_key
        and rate_keys.region_key = residuals.region_key
        and rate_keys.service_tier = 'standard'
        and rate_keys.min_input_tokens = 0
        and rate_keys.variant = ''
where
    residuals.unknown_calls = 0
    and residuals.residual_tokens > 0
    and not {{ is_late() }}
{%- endmacro %}

-- What is left of each total; cached_input: as above.
{% macro residuals(cached_input) %}
with parts as (
    select
        {{ columns.each(columns.metric_model) }},
        token_kind,
        model_key,
        total_tokens,
        known_tokens,
        unknown_calls,
        cached_tokens,
        gross_cached_tokens,
        iif(
            token_kind in ({{ columns.each(columns.cache_kinds, "'{}'", ', ') }}),
            max(total_tokens - known_tokens, 0),
            0
        ) as cache_residual,
        0 as taken_from_input
    from int_metric_known
    union all
    select
        {{ columns.each(columns.metric_model) }},
        'cached_input' as token_kind,
        null as model_key,
        null as total_tokens,
        null as known_tokens,
        null as unknown_calls,
        null as cached_tokens,
        null as gross_cached_tokens,
        0 as cache_residual,
        cached_tokens as taken_from_input
    from {{ cached_input }}
),

together as (
    select
        *,
        sum(cache_residual) over series as cache_residuals,
        sum(taken_from_input) over series as cached_input
    from parts
    window series as (
        partition by {{ columns.metric_model | join(', ') }}
    )
),

compared as (
    select
        {{ columns.each(columns.metric_model, 'together.{}') }},
        together.token_kind,
        together.model_key,
        together.total_tokens,
        case
            when together.token_kind <> '{{ columns.input_kind }}' then together.known_tokens
            -- The lowest bit is CloudWatch's.
            when forms.gross_sources & 1
                then
                    together.known_tokens
                    + together.cached_tokens
                    + together.cache_residuals
                    - together.cached_input
            when forms.unknown_sources & 1
                then together.known_tokens + together.gross_cached_tokens
            else together.known_tokens - together.cached_input
        end as known_tokens,
        together.unknown_calls
    from together
    left join model_input_forms as forms on forms.model_key = together.model_key
    where together.token_kind <> 'cached_input'
)

select
    *,
    max(total_tokens - known_tokens, 0) as residual_tokens
from compared
{%- endmacro %}
