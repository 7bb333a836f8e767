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
{% if kind.name in columns.cache_kinds %}
        {{ columns.cached_input }} > 0 as is_taken
{% else %}
        false as is_taken
{% endif %}
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
    {{ estimates.weights(
        'series', 'uncertain.token_kind', 'uncertain', "uncertain.day || 'T00:00:00Z'"
    ) }}
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

-- What changed, and what shares CloudWatch's total with it. SQLite looks rows up by a list
-- of several columns only if that is no compound.
{% macro changed() %}
(day, account_key, rate_key) in (
    select
        day,
        account_key,
        rate_key
    from (
        select
            day,
            account_key,
            rate_key
        from changed_days
        union
        select
            changed_days.day,
            changed_days.account_key,
            siblings.other_key
        from changed_days
        inner join siblings
            on
                siblings.account_key = changed_days.account_key
                and siblings.rate_key = changed_days.rate_key
    )
)
{%- endmacro %}

-- A sum of pico-dollars, in two parts, because one may be too large for an integer.
{% macro whole(amount, over='') %}
sum(({{ amount }}) / 1000000){{ over }} * 1000000
+ sum(({{ amount }}) % 1000000){{ over }}
{% endmacro %}

-- Grain: day x account x rate key x name (user_key or application_key) whose cost may be
-- off, and by how much. What a name has too much, others lack: all of CloudWatch's total
-- is shared. So a name is off by no more than all others together. rows: a condition on
-- priced_daily, of whole groups of day, account and rate key.

-- Not where something of the group has no known width, or where the total is shared with
-- another rate key.
{% macro of_names(name, rows) %}
with siblings as materialized (
    select
        series.account_key,
        series.rate_key,
        others.rate_key as other_key
    from int_rate_series as series
    inner join int_rate_series as others
        on
            {{ columns.same_series('others', 'series') }}
            and others.rate_key <> series.rate_key
),

own as (
    select
        day,
        account_key,
        rate_key,
        {{ name }},
        {{ whole('cost_picodollars') }} as cost,
        {{ whole('cost_picodollars - cost_low_picodollars') }} as below,
        {{ whole('cost_high_picodollars - cost_picodollars') }} as above,
        sum(unbounded_estimates) as unbounded_estimates
    from priced_daily
    where
        {{ rows }}
    group by
        day,
        account_key,
        rate_key,
        {{ name }}
),

compared as (
    select
        *,
        {{ whole('below', ' over shared') }} - below as others_below,
        {{ whole('above', ' over shared') }} - above as others_above,
        sum(unbounded_estimates) over shared = 0
        and not exists (
            select 1 from siblings
            cross join daily_widths as widths
                on
                    widths.day = own.day
                    and widths.account_key = own.account_key
                    and widths.rate_key = siblings.other_key
            where
                siblings.account_key = own.account_key
                and siblings.rate_key = own.rate_key
        )
            as is_whole
    from own
    window shared as (partition by day, account_key, rate_key)
)

select
    day,
    account_key,
    rate_key,
    {{ name }},
    cost as cost_picodollars,
    cost - iif(is_whole, min(below, others_above), below)
        as cost_low_picodollars,
    cost + iif(is_whole, min(above, others_below), above)
        as cost_high_picodollars
from compared
where below > 0 or above > 0
{% endmacro %}
