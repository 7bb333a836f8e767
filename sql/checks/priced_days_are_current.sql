-- Do the priced days match the days at current prices?
-- Each row is one of priced_daily, or of its sums by user, application or model, that
-- is missing, left over or different.
{% set priced_days = [
    ('priced_daily', ['user_key', 'application_key']),
    ('priced_daily_by_user', ['user_key']),
    ('priced_daily_by_application', ['application_key']),
    ('priced_daily_by_model', []),
] %}
with usage as (
    select
        *,
        data_source like 'Actual%' as is_actual,
        data_source = 'CloudWatch (Estimated)' as is_estimated,
        calls > 0 or cost_picodollars > 0 or unpriced_tokens > 0 as tells,
        {{ columns.each(columns.shown_tokens, 'coalesce({}, 0)', '\n+ ') }} as tokens
    from int_usage_daily_priced
),

recomputed as (
{% for table, names in priced_days %}
    select
        '{{ table }}' as priced_table,
        day,
        account_key,
        rate_key,
        {{ 'user_key' if 'user_key' in names else 'null as user_key' }},
        {{ 'application_key' if 'application_key' in names else 'null as application_key' }},
        sum(calls) as calls,
        sum(failed_calls) as failed_calls,
        coalesce(sum(calls) filter (where is_actual), 0) as calls_with_tokens,
        sum(calls_without_tokens) as calls_without_tokens,
        sum(unpriced_calls) as unpriced_calls,
        sum(unpriced_tokens) as unpriced_tokens,
        sum(list_unpriced_tokens) as list_unpriced_tokens,
        {{ columns.each(columns.shown, 'sum({0}) as {0}') }},
        sum(tokens) filter (where is_actual) as actual_tokens,
        sum(tokens) filter (where is_estimated) as estimated_tokens,
        sum(cost_picodollars) as cost_picodollars,
        sum(cost_picodollars) filter (where is_actual) as actual_cost_picodollars,
        sum(cost_picodollars) filter (where is_estimated)
            as estimated_cost_picodollars,
        sum(list_cost_picodollars) as list_cost_picodollars,
{% for column in ('cost_low_picodollars', 'cost_high_picodollars') %}
        {{ 'sum(' ~ column ~ ')' if names | length == 2 else 'null' }} as {{ column }},
{% endfor %}
        {{ 'sum(unbounded_estimates)' if names else 'null' }} as unbounded_estimates,
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

stored as (
{% for table, names in priced_days %}
    select
        '{{ table }}' as priced_table,
        day,
        account_key,
        rate_key,
        {{ 'user_key' if 'user_key' in names else 'null as user_key' }},
        {{ 'application_key' if 'application_key' in names else 'null as application_key' }},
        calls,
        failed_calls,
        calls_with_tokens,
        calls_without_tokens,
        unpriced_calls,
        unpriced_tokens,
        list_unpriced_tokens,
        {{ columns.each(columns.shown) }},
        actual_tokens,
        estimated_tokens,
        cost_picodollars,
        actual_cost_picodollars,
        estimated_cost_picodollars,
        list_cost_picodollars,
{% for column in ('cost_low_picodollars', 'cost_high_picodollars') %}
        {{ column if names | length == 2 else 'null as ' ~ column }},
{% endfor %}
        {{ 'unbounded_estimates' if names else 'null as unbounded_estimates' }},
        data_source
    from {{ table }}
{% if not loop.last %}
    union all
{% endif %}
{% endfor %}
),

{{ checks.differences('recomputed', 'stored') }}
