-- Usage by hour and by day: the same views over both tables, because SQLite views have
-- no parameters (DECISIONS 46).

{% import 'macros/columns' as columns %}
{% import 'macros/rates' as rates %}
{% import 'macros/tokens' as tokens %}

{% macro staged(period, table) %}
select
    {{ period }},
    {{ columns.each(columns.keys) }},
    calls,
    failed_calls,
{% for kind in columns.kinds %}
{% for count in kind.counts %}
    iif(
        calls > {{ kind.unknown_calls }}
        or {{ columns.total(kind) }} > 0,
        {{ columns.counted(count.column) }},
        null
    ) as {{ count.column }},
{% endfor %}
{% endfor %}
    estimated_calls,
{% if period == 'hour' %}
    estimated_by,
{% endif %}
    {{ columns.each(columns.estimates) }}
from {{ table }}
{% endmacro %}

{% macro known_caveats() %}
-- One is what calls report, and includes failed calls and calls without any tokens; the
-- other is the estimate from CloudWatch, which counts no calls for (unattributed) usage
-- or for calls that report some of their counts. A token column is NULL where unknown.
-- Estimated cache writes count as 5-minute ones.
{% endmacro %}

-- Needs a CTE parts: rows of usage, with is_estimated.
{% macro known(periods) %}
final as (
    select
        {{ columns.each(periods + columns.keys) }},
        data_source,
{% if 'hour' in periods %}
        iif(is_estimated, estimated_by, null) as estimated_by,
{% endif %}
        case
            when is_estimated then estimated_calls
            when token_source_key = 0 then calls - estimated_calls
            else calls
        end as calls,
        iif(is_estimated, 0, failed_calls) as failed_calls,
{% for count, estimate in columns.estimate_of.items() %}
        iif(is_estimated, {{ estimate or 'null' }}, {{ count }})
            as {{ count }}{{ ',' if not loop.last }}
{% endfor %}
    from parts
    where
        case
            when is_estimated
                then
                    estimated_calls > 0
                    or {{ columns.each(columns.estimates, '{} > 0', '\nor ') }}
            when token_source_key = 0 then calls > estimated_calls or failed_calls > 0
            else true
        end
)

select * from final
{% endmacro %}

{% macro priced_units() %}
-- Units: *cost_picodollars are whole numbers of pico-dollars (10^12 = 1 USD), for the
-- kinds of token that have a price. They are NULL where no tokens are known, or where
-- some lack a price and none has one. cost_picodollars leaves out unpriced_tokens
-- (images included) and unpriced_calls, the calls of a model with no price at all on
-- that day; list_cost_picodollars those calls and list_unpriced_tokens.

-- An unknown count adds nothing to the cost; a known count of 0 needs no price. What is
-- left out follows from sums of counts, so hours add up to days.
{% endmacro %}

-- has_bounds: also the costs at both ends of what estimates may be.
{% macro priced(periods, view, has_bounds=false, rates_in='int_account_rates') %}
with rated as (
    select
        usage.*,
        -- A model may only have rates of kinds not counted here, such as search units.
        {{ tokens.is_any(columns.priced_kinds, '{}_rate') }} as has_rates,
{% for count, price in columns.priced_counts %}
        iif({{ price }}_rate is null, coalesce({{ count }}, 0), 0)
            as unpriced_{{ count }},
{% endfor %}
        {{ tokens.pricing() }},
        {{ tokens.list_pricing() }}{{ ',' if has_bounds }}
{% if has_bounds %}
        {{ tokens.pricing_widths() }}
{% endif %}
    from {{ view }} as usage
{% if has_bounds %}
    left join daily_widths as widths
        on
            usage.data_source = 'CloudWatch (Estimated)'
            and widths.day = usage.day
{% for key in columns.keys %}
            and widths.{{ key }} = usage.{{ key }}
{% endfor %}
{% endif %}
    {{ rates.in_force('usage.account_key', 'usage.rate_key', 'usage.day', rates_in) }}
),

final as (
    select
        {{ columns.each(periods) }},
        account_key,
        rate_key,
        user_key,
        application_key,
        data_source,
{% if 'hour' in periods %}
        estimated_by,
{% endif %}
        calls,
        failed_calls,
{% for kind in columns.kinds %}
        {{ columns.shown_total(kind) }},
{% endfor %}
        {{ tokens.cost() }} as cost_picodollars,
        {{ tokens.list_cost() }} as list_cost_picodollars,
{% if has_bounds %}
        {{ tokens.cost() }} - cost_below as cost_low_picodollars,
        {{ tokens.cost() }} + cost_above as cost_high_picodollars,
        unbounded_estimates,
{% endif %}
        iif(has_rates, 0, calls) as unpriced_calls,
        unpriced_tokens,
        {{ tokens.list_unpriced() }} as list_unpriced_tokens,
{% for kind in columns.kinds %}
        {{ columns.shown_total(kind, 'unpriced_') }},
{% endfor %}
        iif(has_tokens, 0, calls) as calls_without_tokens
    from rated
)

select * from final
{% endmacro %}

-- What is left of a call's input, if the cached tokens estimated for the calls of its
-- hour are taken from the first of them. Needs input_up_to, by each_hours_calls.
{% macro uncached_input() %}
input_tokens
- max(
    min(input_tokens, coalesce(cached_input, 0) - (input_up_to - input_tokens)),
    0
)
{% endmacro %}

-- A window over the calls of each row of usage_hourly, in their order.
{% macro each_hours_calls(calls) %}
partition by
    {{ calls }}.hour,
    {{ columns.each(columns.keys, calls ~ '.{}') }}
order by {{ calls }}.event_time, {{ calls }}.event_id
rows unbounded preceding
{% endmacro %}

-- The row of usage_hourly that counts a call.
{% macro same_hour(hours, calls) %}
{{ hours }}.hour = {{ calls }}.hour
and {{ columns.each(columns.keys, hours ~ '.{0} = ' ~ calls ~ '.{0}', '\nand ') }}
{% endmacro %}

-- The estimate of a usage row for a kind.
{% macro estimate_of(kind) %}
case {{ kind }}
{% for one in columns.kinds %}
    when '{{ one.name }}' then usage.{{ one.estimate }}
{% endfor %}
end
{% endmacro %}

-- The calls of a usage row that lack the count of a kind.
{% macro unknown_calls_of(kind) %}
case {{ kind }}
{% for one in columns.kinds %}
    when '{{ one.name }}' then usage.{{ one.unknown_calls }}
{% endfor %}
end
{% endmacro %}
