-- Who called when, by the minute: the definition of call_minutes and known_minutes.

{% import 'macros/checks' as checks %}
{% import 'macros/columns' as columns %}
{% import 'macros/rates' as rates %}

-- The columns that count calls without a kind of cached tokens.
{% set cached = columns.kinds | selectattr('name', 'in', columns.cache_kinds)
    | map(attribute='unknown_calls') | list %}

-- Both: a JSON object with the sum of each minute. times: a condition on the usage.
-- input: of calls that lack only cached tokens of their input.
{% macro of_calls(times) %}
select
    hour,
    account_key,
    rate_key,
    user_key,
    application_key,
    unknown_kinds,
    json_group_object(minute, calls) as minutes,
    iif(is_cache_alone, json_group_object(minute, input_tokens), null) as input
from (
    select
        usage.hour,
        usage.account_key,
        rate_keys.rate_key,
        usage.user_key,
        usage.application_key,
{% for kind in columns.kinds %}
        (usage.{{ kind.unknown_calls }} << {{ loop.index0 }}){{ '' if loop.last else ' +' }}
{% endfor %}
            as unknown_kinds,
        cast(substr(usage.event_time, 15, 2) as integer) as minute,
        sum(usage.calls) as calls,
        sum(usage.{{ columns.input_counts[0] }}) as input_tokens,
        not usage.{{ columns.kinds[0].unknown_calls }}
        and {{ columns.each(cached, 'usage.{}', '\n+ ') }} > 0 as is_cache_alone
    from int_call_usage as usage
    {{ rates.of_call('inner') }}
    where
        usage.calls = 1
        and {{ times }}
    group by 1, 2, 3, 4, 5, 6, 7
)
group by 1, 2, 3, 4, 5, 6
{% endmacro %}

{% macro of_known_tokens(times) %}
{% for kind in columns.kinds %}
select
    hour,
    account_key,
    rate_key,
    '{{ kind.name }}' as token_kind,
    json_group_object(minute, known_tokens) as minutes
from (
    select
        usage.hour,
        usage.account_key,
        rate_keys.rate_key,
        cast(substr(usage.event_time, 15, 2) as integer) as minute,
        sum(
{% for count in kind.counts %}
            {{ '' if loop.first else '+ ' }}coalesce(usage.{{ count.column }}, 0)
{% endfor %}
        ) as known_tokens
    from int_call_usage as usage
    {{ rates.of_call('inner') }}
    where
        usage.calls = 1
        and usage.{{ kind.unknown_calls }} = 0
        and {{ times }}
    group by 1, 2, 3, 4
)
where known_tokens > 0
group by 1, 2, 3
{{ '' if loop.last else 'union all' }}
{% endfor %}
{% endmacro %}

-- Hours that did not change since, as a condition on the usage.
{% set kept = 'usage.hour not in (select hour from stale_minutes)' %}

-- Compares a select with what is stored in a table, for those hours.
{% macro differences(recomputed, table, others) %}
with recomputed as materialized (
    {{ recomputed }}
),

stored as materialized (
    select
        hour,
        account_key,
        rate_key,
        {{ columns.each(others) }}
    from {{ table }} as usage
    where
        {{ kept }}
        and hour >= (select coalesce(max(dropped_before), '') from dropped_calls)
),

{{ checks.differences('recomputed', 'stored') }}
{% endmacro %}
