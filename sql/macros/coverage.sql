-- How much of the tokens is known, and how: sums over int_token_parts.

{% import 'macros/columns' as columns %}
{% import 'macros/filters' as filters %}

{% set parts = [
    'calls',
    'calls_with_tokens',
    'actual_tokens',
    'shared_tokens',
    'single_caller_tokens',
    'calibrated_tokens',
    'unattributed_tokens',
    'unpriced_tokens',
] %}

-- Each token is in one of the columns from actual_tokens to unattributed_tokens, in the
-- order of trust; some of them have no price.
{% macro sums() %}
coalesce(sum(calls), 0) as calls,
coalesce(sum(calls_with_tokens), 0) as calls_with_tokens,
round(100.0 * sum(calls_with_tokens) / nullif(sum(calls), 0), 1) as coverage_pct,
coalesce(sum(actual_tokens), 0) as actual_tokens,
coalesce(sum(single_caller_tokens), 0) as single_caller_tokens,
coalesce(sum(calibrated_tokens), 0) as calibrated_tokens,
coalesce(sum(shared_tokens), 0)
- coalesce(sum(single_caller_tokens), 0)
- coalesce(sum(calibrated_tokens), 0)
    as call_share_tokens,
coalesce(sum(unattributed_tokens), 0) as unattributed_tokens,
coalesce(sum(unpriced_tokens), 0) as unpriced_tokens
{% endmacro %}

-- A CTE of sums by day and rate key, which are few: names are joined to these.
{% macro summed(where='true') %}
summed as (
    select
        day,
        rate_key,
        {{ columns.each(parts, 'sum({0}) as {0}') }}
    from int_token_parts
    where
        {{ where }}
    group by day, rate_key
)
{% endmacro %}

{% macro names() %}
inner join rate_keys on rate_keys.rate_key = summed.rate_key
inner join regions on regions.region_key = rate_keys.region_key
inner join int_models on int_models.model_key = rate_keys.model_key
{% endmacro %}

-- The names that the filters of pages/usage leave, for filters.of_chosen.
{% macro chosen() %}
chosen as materialized (
    select
        rate_key,
        application_key,
        region,
        model_id,
        application
    from int_names
    where
        {{ filters.of_names() }}
        and {{ filters.visible() }}
)
{% endmacro %}
