-- Do the priced days match the days at current prices?
-- Each row is one of priced_daily, or of its sums by user, application or model, that
-- is missing, left over or different.
{% set priced_days = {
    'priced_daily': ['user_key', 'application_key'],
    'priced_daily_by_user': ['user_key'],
    'priced_daily_by_application': ['application_key'],
    'priced_daily_by_model': [],
} %}
{% set sums = [
    'calls',
    'failed_calls',
    'calls_without_tokens',
    'unpriced_calls',
    'unpriced_tokens',
    'list_unpriced_tokens',
    'cost_picodollars',
    'list_cost_picodollars',
] + columns.shown %}
{% set parts = {
    'calls_with_tokens': 'coalesce(sum(calls) filter (where is_actual), 0)',
    'actual_tokens': 'sum(tokens) filter (where is_actual)',
    'estimated_tokens': 'sum(tokens) filter (where is_estimated)',
    'actual_cost_picodollars': 'sum(cost_picodollars) filter (where is_actual)',
    'estimated_cost_picodollars': 'sum(cost_picodollars) filter (where is_estimated)',
} %}
{% macro key(table, names) %}
'{{ table }}' as priced_table,
day,
account_key,
rate_key,
{{ 'user_key' if 'user_key' in names else 'null as user_key' }},
{{ 'application_key' if 'application_key' in names else 'null as application_key' }}
{% endmacro %}
-- Of names, the bounds are another check's.
{% macro bounds(names, form) %}
{% for column, least in {
    'cost_low_picodollars': 2, 'cost_high_picodollars': 2, 'unbounded_estimates': 1
}.items() %}
{{ form.format(column) if names | length >= least else 'null' }} as {{ column }},
{% endfor %}
{% endmacro %}
with usage as materialized (
    select
        *,
        data_source like 'Actual%' as is_actual,
        data_source = 'CloudWatch (Estimated)' as is_estimated,
        calls > 0 or cost_picodollars > 0 or unpriced_tokens > 0 as tells,
        {{ columns.each(columns.shown_tokens, 'coalesce({}, 0)', '\n+ ') }} as tokens
    from int_usage_daily_priced
),

recomputed as materialized (
{% for table, names in priced_days.items() %}
    select
        {{ key(table, names) }},
        {{ columns.each(sums, 'sum({0}) as {0}') }},
{% for column, part in parts.items() %}
        {{ part }} as {{ column }},
{% endfor %}
        {{ bounds(names, 'sum({})') }}
        case
            when count(distinct iif(tells, data_source, null)) > 1 then 'Mixed'
            else coalesce(max(iif(tells, data_source, null)), max(data_source))
        end as data_source
    from usage
    group by {{ (['day', 'account_key', 'rate_key'] + names) | join(', ') }}
{% if not loop.last %}
    union all
{% endif %}
{% endfor %}
),

stored as materialized (
{% for table, names in priced_days.items() %}
    select
        {{ key(table, names) }},
        {{ columns.each(sums + parts.keys() | list) }},
        {{ bounds(names, '{}') }}
        data_source
    from {{ table }}
{% if not loop.last %}
    union all
{% endif %}
{% endfor %}
),

{{ checks.differences('recomputed', 'stored') }}
