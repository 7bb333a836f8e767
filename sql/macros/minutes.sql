-- Who called when, by the minute: the definition of call_minutes and known_minutes.

{% import 'macros/checks' as checks %}
{% import 'macros/columns' as columns %}
{% import 'macros/rates' as rates %}

-- The kinds that a call lacks, a bit each.
{% macro unknown_kinds() %}
{% for kind in columns.kinds %}
(usage.{{ kind.unknown_calls }} << {{ loop.index0 }}){{ '' if loop.last else ' +' }}
{% endfor %}
{%- endmacro %}

-- The minute of a call, in the hour.
{% set minute = 'cast(substr(usage.event_time, 15, 2) as integer)' %}

-- A JSON object with the sum of each minute. rows: their sums by minute, in order. input:
-- of calls that lack only cached tokens of their input.
{% macro calls_by_minute(rows) %}
select
    hour,
    account_key,
    rate_key,
    user_key,
    application_key,
    unknown_kinds,
    json_group_object(minute, calls) as minutes,
    iif(
{% for kind in columns.kinds if kind.name == columns.input_kind %}
        not unknown_kinds & {{ 2 ** columns.kinds.index(kind) }}
{% endfor %}
        and (
{% for kind in columns.kinds if kind.name in columns.cache_kinds %}
            unknown_kinds & {{ 2 ** columns.kinds.index(kind) }}{{ '' if loop.last else ' or' }}
{% endfor %}
        ),
        json_group_object(minute, input_tokens),
        null
    ) as input
from (
    {{ rows }}
)
group by 1, 2, 3, 4, 5, 6
{% endmacro %}

-- times: a condition on the usage.
{% macro of_calls(times) %}
{% set rows %}
select
    usage.hour,
    usage.account_key,
    rate_keys.rate_key,
    usage.user_key,
    usage.application_key,
    {{ unknown_kinds() }} as unknown_kinds,
    {{ minute }} as minute,
    sum(usage.calls) as calls,
    sum(usage.{{ columns.input_counts[0] }}) as input_tokens
from int_call_usage as usage
{{ rates.of_call('inner') }}
where
    usage.calls = 1
    and {{ times }}
group by 1, 2, 3, 4, 5, 6, 7
{% endset %}
{{ calls_by_minute(rows) }}
{% endmacro %}

{% macro known_by_minute(rows) %}
select
    hour,
    account_key,
    rate_key,
    token_kind,
    json_group_object(minute, known_tokens) as minutes
from (
    {{ rows }}
)
where known_tokens > 0
group by 1, 2, 3, 4
{% endmacro %}

{% macro of_known_tokens(times) %}
{% for kind in columns.kinds %}
{% set rows %}
select
    usage.hour,
    usage.account_key,
    rate_keys.rate_key,
    '{{ kind.name }}' as token_kind,
    {{ minute }} as minute,
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
group by 1, 2, 3, 5
{% endset %}
{{ known_by_minute(rows) }}
{{ '' if loop.last else 'union all' }}
{% endfor %}
{% endmacro %}

-- Hours that did not change since, and whose calls are there, as a condition on the
-- usage.
{% set kept = 'usage.hour not in (select hour from stale_minutes)
and usage.hour >= (
    select coalesce(max(dropped_before), \'\') from dropped_calls
)' %}

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
),

{{ checks.differences('recomputed', 'stored') }}
{% endmacro %}
