-- Amounts are whole pico-dollars. SQLite can sum no more than nine million dollars of
-- them in one integer, so a sum has two parts.

{% import 'macros/columns' as columns %}
{% import 'macros/rates' as rates %}

{% macro dollars(column) %}
round(
    (
        sum({{ column }} / 1000000)
        + sum({{ column }} % 1000000) / 1e6
    ) / 1e6,
    9
)
{% endmacro %}

-- The same at list price, which is summed only if it may differ.
{% macro list_dollars() %}
iif(
    {{ rates.may_differ() }},
    round(
        (
            sum(list_cost_picodollars / 1000000)
            filter (where {{ rates.may_differ() }})
            + sum(list_cost_picodollars % 1000000)
            filter (where {{ rates.may_differ() }}) / 1e6
        ) / 1e6,
        9
    ),
    {{ dollars('cost_picodollars') }}
)
{% endmacro %}

{% macro list_unpriced() %}
iif(
    {{ rates.may_differ() }},
    sum(list_unpriced_tokens) filter (where {{ rates.may_differ() }}),
    sum(unpriced_tokens)
)
{% endmacro %}

-- What a call costs, and a thousand tokens of whatever kind. pattern: {0} is a column.
{% macro per_unit(cost=dollars('cost_picodollars'), pattern='sum({0})') %}
round(
    {{ cost }}
    / nullif({{ pattern.format('calls') }}, 0),
    9
) as usd_per_call,
round(
    1e3 * {{ cost }}
    / nullif(
        {{ columns.each(columns.shown_tokens, 'coalesce(' ~ pattern ~ ', 0)', '\n+ ') }},
        0
    ),
    9
) as usd_per_ktok
{%- endmacro %}

-- How the amount of a group of rows is known. Rows without usage count only where there
-- are no others.
{% macro data_source(
    has_usage='calls > 0 or cost_picodollars > 0 or unpriced_tokens > 0'
) %}
case
    when
        min(data_source)
        filter (where {{ has_usage }})
        < max(data_source)
        filter (where {{ has_usage }})
        then 'Mixed'
    else coalesce(
        max(data_source)
        filter (where {{ has_usage }}),
        max(data_source)
    )
end
{% endmacro %}

-- An exact sum of any size, as text for programs: the sum in millions of pico-dollars,
-- and that of what is left of each amount.
{% macro exact(column) %}
sum({{ column }} / 1000000)
|| ' ' || sum({{ column }} % 1000000)
{%- endmacro %}
