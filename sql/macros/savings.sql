-- What caching of prompts saved.

{% import 'macros/columns' as columns %}
{% import 'macros/money' as money %}
{% import 'macros/rates' as rates %}
{% import 'macros/widths' as widths %}

{% set reads = columns.kinds | selectattr('name', 'eq', 'cache_read')
    | map(attribute='counts') | first %}
{% set writes = columns.kinds | selectattr('name', 'eq', 'cache_write')
    | map(attribute='counts') | first %}
{% set cached_counts = reads + writes %}
{% set names = ['region', 'model_id', 'application', 'team'] %}

-- A sum of counts, each times its rate or times one rate for all.
{% macro cost(counts, rate='') %}
{% for count in counts %}
{{ '' if loop.first else '+' }} iif(
    usage.{{ count.column }} > 0,
    usage.{{ count.column }} * rates.{{ rate or count.price }}_rate,
    0
)
{% endfor %}
{% endmacro %}

-- What the cache saved, as CTEs; the last is savings, by these columns. Needs the CTE
-- usage of what_if.
{% macro of_cache(by=['day', 'account_key'] + names) %}
rated as (
    select
        usage.*,
        rates.cache_read_rate is not null as can_cache,
        {{ cost(reads) }} as read_cost,
        {{ cost(reads, 'input') }} as read_as_input,
        {{ cost(writes) }} as write_cost,
        {{ cost(writes, 'input') }} as write_as_input,
        usage.input_tokens * max(rates.input_rate - rates.cache_read_rate, 0)
            as savable,
        rates.input_rate is null
        and (
{% for count in cached_counts %}
            {{ '' if loop.first else 'or' }} usage.{{ count.column }} > 0
{% endfor %}
        ) as lacks_input,
{% for count in cached_counts %}
        usage.{{ count.column }} > 0 and rates.{{ count.price }}_rate is null
            as lacks_{{ count.price }}{{ ',' if not loop.last }}
{% endfor %}
    from usage
    {{ rates.in_force(
        'usage.account_key', 'usage.rate_key', 'usage.day', 'priced_rates'
    ) }}
),

totals as (
    select
        {{ columns.each(by) }},
        {{ money.data_source() }} as data_source,
        sum(calls) as calls,
        sum(input_tokens) as input_tokens,
        sum(cache_read_tokens) as cache_read_tokens,
        sum(cache_write_tokens) as cache_write_tokens,
        sum(iif(can_cache, input_tokens, null)) as cacheable_input_tokens,
        {{ widths.whole('read_cost') }} as read_cost,
        {{ widths.whole('read_as_input') }} as read_as_input,
        {{ widths.whole('write_cost') }} as write_cost,
        {{ widths.whole('write_as_input') }} as write_as_input,
        {{ widths.whole('savable') }} as savable_picodollars,
        sum(calls_without_tokens) as calls_without_tokens,
        rtrim(
            iif(max(lacks_input), 'input, ', '')
{% for count in cached_counts %}
            || iif(max(lacks_{{ count.price }}), '{{ count.price }}, ', '')
{% endfor %}
            , ', '
        ) as missing
    from rated
    inner join int_names
        on
            int_names.rate_key = rated.rate_key
            and int_names.application_key = rated.application_key
    group by
        {{ columns.each(by) }}
),

savings as (
    select
        *,
        max(cache_write_tokens - coalesce(cache_read_tokens, 0), 0)
            as unread_write_tokens,
{% for kind in ['read', 'write'] %}
{% for cost in [kind ~ '_cost', kind ~ '_as_input'] %}
        iif(missing = '' and cache_{{ kind }}_tokens is not null, {{ cost }}, null)
            as cache_{{ cost }}_picodollars,
{% endfor %}
{% endfor %}
        iif(
            missing = ''
            and coalesce(cache_read_tokens, cache_write_tokens) is not null,
            read_as_input - read_cost - (write_cost - write_as_input),
            null
        ) as saved_picodollars,
        nullif(missing, '') as missing_prices
    from totals
)
{% endmacro %}

-- The figures that views and pages show of savings.
{% macro figures() %}
data_source,
calls,
input_tokens,
cache_read_tokens,
cache_write_tokens,
unread_write_tokens,
cacheable_input_tokens,
cache_read_cost_picodollars / 1e12 as cache_read_usd,
cache_read_as_input_picodollars / 1e12 as cache_read_as_input_usd,
cache_write_cost_picodollars / 1e12 as cache_write_usd,
cache_write_as_input_picodollars / 1e12 as cache_write_as_input_usd,
saved_picodollars / 1e12 as saved_usd,
savable_picodollars / 1e12 as savable_usd,
saved_picodollars,
savable_picodollars,
missing_prices,
calls_without_tokens
{% endmacro %}
