-- How many tokens a call has, and what they cost: each kind's count times its rate. An
-- unknown count adds nothing; a count of 0 needs no price. Where only some kinds have a
-- price, the cost covers those, and the others count as unpriced (DECISIONS 1).

{% import 'macros/columns' as columns %}

-- What a call reports as input may contain what the cache had or took (gross) or not
-- (net). That depends on the model and on where the counts are from: forms is the model's
-- row of model_input_forms, in which each source is a bit. Several sources must be alike.
{% macro of_cache(counts, forms) %}
{{ columns.each(columns.cache_counts, 'coalesce(' ~ counts ~ '.{}, 0)', '\n+ ') }}
    as cached_tokens,
coalesce({{ counts }}.input_sources, 1 << {{ counts }}.token_source_key)
& ~{{ forms }}.gross_sources = 0
    as is_gross,
coalesce({{ counts }}.input_sources, 1 << {{ counts }}.token_source_key)
& ({{ forms }}.gross_sources | {{ forms }}.unknown_sources) = 0
    as is_net
{% endmacro %}

-- The macros below need the columns of of_cache. A model without a row is net.
{% macro input_form(call) %}
case
    when {{ call }}.input_tokens is null then null
    when {{ call }}.is_gross then 'gross'
    when {{ call }}.is_net is not 0 then 'net'
    else 'unknown'
end
{% endmacro %}

-- Gross input is counted without the cached tokens. Where they exceed it, it cannot
-- contain them, and stays as it is.
{% macro contains_cached(call) -%}
{{ call }}.is_gross and {{ call }}.cached_tokens <= {{ call }}.input_tokens
{%- endmacro %}

-- The size of the request, which may decide its price: the largest threshold that it
-- exceeds. Nearly every request is below all of them even with its cached tokens counted
-- twice, so that is checked first.
{% macro context_band(call, has_cached=true) %}
case
    when
        coalesce({{ call }}.input_tokens, 0)
        {%- if has_cached %} + {{ call }}.cached_tokens{% endif %}

        <= (
            select coalesce(min(min_input_tokens), 0)
            from context_bands
            where min_input_tokens > 0
        ) then 0
    else coalesce(
        (
            select max(context_bands.min_input_tokens)
            from context_bands
            where
                context_bands.min_input_tokens
                < coalesce({{ call }}.input_tokens, 0)
{% if has_cached %}
                + iif(
                    {{ contains_cached(call) }},
                    0,
                    {{ call }}.cached_tokens
                )
{% endif %}
        ),
        0
    )
end
{% endmacro %}

-- What a call uses, which kinds a successful call does not report, and whether its gross
-- input is less than the cached tokens that should be in it.
{% macro counted(call, error_code_key, has_cached=true) %}
{% if has_cached %}
{{ call }}.input_tokens
- iif(
    {{ contains_cached(call) }},
    {{ call }}.cached_tokens,
    0
) as input_tokens,
{% else %}
{{ call }}.input_tokens,
{% endif %}
{{ columns.each(columns.counts[1:], call ~ '.{}') }},
{% for kind in columns.kinds %}
{{ error_code_key }} is null
{% for count in kind.counts %}
and {{ call }}.{{ count.column }} is null
{% endfor %}
    as {{ kind.unknown_calls }},
{% endfor %}
{% if has_cached %}
iif(
    {{ call }}.is_gross and {{ call }}.cached_tokens > {{ call }}.input_tokens,
    1,
    0
) as input_contradictions
{% else %}
0 as input_contradictions
{% endif %}
{% endmacro %}

{% macro is_any(names, pattern='{}') %}
coalesce(
    {{ columns.each(names, pattern) }}
) is not null
{% endmacro %}

-- Columns for which counts are known and have a price, how many tokens have none, and
-- what the others cost. cost() turns them into one amount.
{% macro pricing(counted=columns.priced_counts, of='tokens', rate='rate') %}
{{ is_any(counted | map('first')) }} as has_{{ of }},
coalesce(
{% for count, price in counted %}
    iif({{ count }} > 0, {{ price }}_{{ rate }}, null){{ ',' if not loop.last }}
{% endfor %}
) is not null as has_priced_{{ of }},
{% for count, price in counted %}
{% if not loop.first %}+ {% endif %}iif({{ price }}_{{ rate }} is null, coalesce({{ count }}, 0), 0)
{% endfor %}
    as unpriced_{{ of }},
{% for count, price in counted %}
{% if not loop.first %}+ {% endif %}coalesce({{ count }} * {{ price }}_{{ rate }}, 0)
{% endfor %}
    as cost_of_priced_{{ of }}
{% endmacro %}

{% macro cost(of='tokens') %}
case
    when has_priced_{{ of }} or (has_{{ of }} and unpriced_{{ of }} = 0)
        then cost_of_priced_{{ of }}
end
{% endmacro %}

-- The same at list rates; where all rates are list rates, nothing is computed twice.
{% macro list_pricing() %}
is_list,
{{ pricing(of='listed', rate='list_rate') }}
{% endmacro %}

{% macro list_cost() %}
iif(
    is_list,
    {{ cost() }},
    {{ cost('listed') }}
)
{% endmacro %}

{% macro list_unpriced() %}
iif(is_list, unpriced_tokens, unpriced_listed)
{% endmacro %}

-- What the widths of estimates cost, from daily_widths as widths; and how many have an
-- upper end that nothing tells.
{% macro pricing_widths() %}
{% for side in ('below', 'above') %}
{% for kind in columns.kinds %}
{% if not loop.first %}+ {% endif %}coalesce(widths.{{ kind[side] }} * {{ kind.counts[0].price }}_rate, 0)
{% endfor %}
    as cost_{{ side }},
{% endfor %}
{% for kind in columns.kinds %}
{% if not loop.first %}+ {% endif %}(widths.{{ kind.below }} is not null and widths.{{ kind.above }} is null)
{% endfor %}
    as unbounded_estimates
{%- endmacro %}
