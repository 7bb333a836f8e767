-- How many tokens a call has, and what they cost: each kind's count times its rate. An
-- unknown count adds nothing; a count of 0 needs no price. Where only some kinds have a
-- price, the cost covers those, and the others count as unpriced (DECISIONS 1).

{% import 'macros/columns' as columns %}

-- The size of the request, which may decide its price: the largest threshold that it
-- exceeds. Nearly every request is below all of them, so the lowest is checked first.
{% macro context_band(call) %}
{% set known = 'coalesce(' ~ call ~ '.{}, 0)' %}
{% set size = columns.each(columns.input_counts, known, '\n+ ') | trim %}
case
    when
        {{ size }}
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
                < {{ size }}
        ),
        0
    )
end
{% endmacro %}

-- What a call uses, and which kinds a successful call does not report.
{% macro counted(call, error_code_key) %}
{{ columns.each(columns.counts, call ~ '.{}') }},
{% for kind in columns.kinds %}
{{ error_code_key }} is null
{% for count in kind.counts %}
and {{ call }}.{{ count.column }} is null
{% endfor %}
    as {{ kind.unknown_calls }}{{ ',' if not loop.last }}
{% endfor %}
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
