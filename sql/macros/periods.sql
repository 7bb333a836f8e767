-- What each application, or each team, used of each model in each five minutes: see
-- sql/reports/monitor_periods.sql.

{% import 'macros/columns' as columns %}
{% import 'macros/rates' as rates %}
{% import 'macros/tokens' as tokens %}
{% import 'macros/usage' as usages %}

-- name: application or team. The column is application all the same.
{% macro by(name) %}
with used as (
    select
        usage.*,
        rate_keys.rate_key,
        substr(usage.event_time, 1, 10) as day
    from int_call_usage as usage
    {{ rates.of_call('inner') }}
    where usage.event_time >= :since and usage.event_time < :until
),

-- *_turn: a call's number among those that lack the count. *_of: how many there are.
with_estimates as (
    select
        used.*,
{% for kind in columns.kinds %}
        estimates.{{ kind.estimate }} as {{ kind.name }}_estimate,
        estimates.{{ kind.unknown_calls }} as {{ kind.name }}_of,
        sum(used.{{ kind.unknown_calls }}) over earlier
            as {{ kind.name }}_turn,
{% endfor %}
        estimates.{{ columns.cached_input }} as cached_input,
        sum(used.{{ columns.counts[0] }}) over earlier as input_up_to
    from used
    left join usage_hourly as estimates
        on
            {{ usages.same_hour('estimates', 'used') }}
            and estimates.hour < :estimates_until
    window earlier as (
        {{ usages.each_hours_calls('used') }}
    )
),

-- estimate * turn / of, less its value one turn before; no product can overflow.
by_call as (
    select
        event_time,
        day,
        account_key,
        rate_key,
        application_key,
        calls,
        failed_calls,
        {{ usages.uncached_input() }} as input_tokens,
        {{ columns.each(columns.counts[1:]) }},
{% for kind in columns.kinds %}
        case
            when {{ kind.unknown_calls }}
                then
                    {{ kind.name }}_estimate / {{ kind.name }}_of
                    + {{ kind.name }}_estimate % {{ kind.name }}_of * {{ kind.name }}_turn
                    / {{ kind.name }}_of
                    - {{ kind.name }}_estimate % {{ kind.name }}_of * ({{ kind.name }}_turn - 1)
                    / {{ kind.name }}_of
        end as {{ kind.estimate }}{{ ',' if not loop.last }}
{% endfor %}
    from with_estimates
),

without_calls as (
    select
        substr(usage.hour, 1, 14) || printf('%02d', twelfths.value * 5) || ':00Z'
            as event_time,
        substr(usage.hour, 1, 10) as day,
        usage.account_key,
        usage.rate_key,
        usage.application_key,
        0 as calls,
        0 as failed_calls,
        {{ columns.each(columns.counts, 'null as {}') }},
{% for estimate in columns.estimates %}
        usage.{{ estimate }} * (twelfths.value + 1) / 12
        - usage.{{ estimate }} * twelfths.value / 12
            as {{ estimate }}{{ ',' if not loop.last }}
{% endfor %}
    from usage_hourly as usage
    cross join json_each('[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]') as twelfths
    where
        usage.calls = 0
        and coalesce({{ columns.each(columns.estimates, 'usage.{}') }}) is not null
        and usage.hour >= :since
        and usage.hour < :until
        and usage.hour < :estimates_until
),

parts as (
    select * from by_call
    union all
    select * from without_calls
),

priced as (
    select
        parts.*,
        {{ tokens.pricing(of='known') }},
        {{ tokens.pricing(columns.priced_estimates, of='estimated') }}
    from parts
    {{ rates.in_force('parts.account_key', 'parts.rate_key', 'parts.day') }}
),

named as (
    select
        priced.*,
        {{ tokens.cost('known') }} as known_cost,
        {{ tokens.cost('estimated') }} as estimated_cost,
        substr(priced.event_time, 1, 14)
        || printf('%02d', substr(priced.event_time, 15, 2) / 5 * 5)
        || ':00Z' as period_start,
        names.model_id,
        names.{{ name }} as application
    from priced
    inner join int_names as names
        on
            names.rate_key = priced.rate_key
            and names.application_key = priced.application_key
    where period_start < :until
),

final as (
    select
        period_start,
        application,
        model_id,
        sum(calls) as calls,
        sum(failed_calls) as failed_calls,
{% for kind in columns.kinds_of_tokens %}
        sum(
            coalesce(
                {{ columns.total(kind) }},
                {{ columns.each(kind.counts[1:] | map(attribute='column') | list + [kind.estimate]) }}
            )
        ) as {{ kind.shown }},
{% endfor %}
        sum(known_cost) as known_cost_picodollars,
        sum(estimated_cost) as estimated_cost_picodollars,
        sum(calls and known_cost is null and estimated_cost is null)
            as calls_without_cost,
        sum(unpriced_known + unpriced_estimated) as unpriced_tokens
    from named
    group by period_start, application, model_id
)

select
    period_start,
    application,
    model_id,
    calls,
    failed_calls,
    {{ columns.each(columns.shown_tokens) }},
    case
        when coalesce(known_cost_picodollars, estimated_cost_picodollars) is not null
            then
                coalesce(known_cost_picodollars, 0)
                + coalesce(estimated_cost_picodollars, 0)
    end as cost_picodollars,
    estimated_cost_picodollars,
    calls_without_cost,
    unpriced_tokens
from final
order by period_start, application, model_id
{% endmacro %}
