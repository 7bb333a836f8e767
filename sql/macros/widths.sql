-- How far off the estimates of a day may be: the definition of daily_widths.

{% import 'macros/columns' as columns %}
{% import 'macros/estimates' as estimates %}
{% import 'macros/usage' as usage %}

-- Grain: usage_daily row with an estimate that may be off. Units: tokens. *_below: how
-- much of the estimate may be too much; *_above: how much may be missing. NULL: nothing;
-- if only *_above is NULL, it is not known how much, and *_below is all that is not
-- certain. days: a condition on the day.

-- Certain is what was counted while nobody else called. The rest is off by what the
-- calibration found for the caller and window; shares by calls alone are off by nobody
-- knows how much. Cached tokens that take from known input would move both: not known.
{% macro of_days(days) %}
with parts as (
{% for kind in columns.kinds %}
    select
        day,
        {{ columns.each(columns.keys) }},
        '{{ kind.name }}' as token_kind,
        {{ kind.estimate }} as tokens,
        {{ columns.cached_input ~ ' > 0' if kind.name in columns.cache_kinds else 'false' }} as is_taken
    from usage_daily
    where
        {{ kind.estimate }} > 0
        and {{ days }}
    union all
{% endfor %}
    select
        usage_hours.day,
        {{ columns.each(columns.keys, 'usage.{}') }},
        shares.token_kind,
        -cast(
            {{ usage.estimate_of('shares.token_kind') }}
            * (1.0 * shares.alone / shares.due) as integer
        ) as tokens,
        false as is_taken
    from usage_hours
    cross join hour_shares as shares on shares.hour = usage_hours.hour
    cross join usage_hourly as usage
        on
            usage.hour = shares.hour
            and usage.account_key = shares.account_key
            and usage.rate_key = shares.rate_key
            and usage.user_key = shares.user_key
            and usage.application_key = shares.application_key
    where
        shares.alone > 0
        and {{ days }}
),

uncertain as (
    select
        day,
        {{ columns.each(columns.keys) }},
        token_kind,
        sum(tokens) as tokens,
        max(is_taken) as is_taken
    from parts
    group by
        day,
        {{ columns.each(columns.keys) }},
        token_kind
    having sum(tokens) > 0
),

weighted as (
    select
        uncertain.*,
        iif(is_taken, null, call_weights.low_millionths) as low,
        iif(is_taken, null, call_weights.high_millionths) as high
    from uncertain
    inner join users on users.user_key = uncertain.user_key
    left join int_rate_series as series
        on
            series.account_key = uncertain.account_key
            and series.rate_key = uncertain.rate_key
    -- Windows begin with a day.
    left join calibrations
        on {{ estimates.serves('series', 'uncertain.token_kind', "uncertain.day || 'T00:00:00Z'") }}
    left join call_weights
        on
            call_weights.calibration_key = calibrations.calibration_key
            and call_weights.user_key = uncertain.user_key
            and call_weights.application_key = uncertain.application_key
    -- What nobody called is nobody's share.
    where users.user_name <> '(unattributed)'
),

-- Whole tokens, rounded outwards; no product can overflow.
ends as (
    select
        day,
        {{ columns.each(columns.keys) }},
        token_kind,
        tokens
        - coalesce(tokens / 1000000 * low + tokens % 1000000 * low / 1000000, 0)
            as below,
        tokens / 1000000 * (high - 1000000)
        + (tokens % 1000000 * (high - 1000000) + 999999) / 1000000
            as above
    from weighted
)

select
    day,
    {{ columns.each(columns.keys) }},
{% for kind in columns.kinds %}
    sum(iif(token_kind = '{{ kind.name }}', below, null)) as {{ kind.below }},
    sum(iif(token_kind = '{{ kind.name }}', above, null)) as {{ kind.above }}{{ ',' if not loop.last }}
{% endfor %}
from ends
group by
    day,
    {{ columns.each(columns.keys) }}
{% endmacro %}
