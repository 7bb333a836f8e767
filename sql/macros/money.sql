-- Amounts are whole pico-dollars, of which SQLite can add up no more than nine million
-- dollars: sums of them are made of two parts.

{% macro dollars(column) %}
round(
    (
        sum({{ column }} / 1000000)
        + sum({{ column }} % 1000000) / 1e6
    ) / 1e6,
    9
)
{% endmacro %}

-- How the amount of a group of rows is known. Rows that tell nothing do not count, as
-- long as there are others.
{% macro data_source(
    tells='calls > 0 or cost_picodollars > 0 or unpriced_tokens > 0'
) %}
case
    when
        min(data_source)
        filter (where {{ tells }})
        < max(data_source)
        filter (where {{ tells }})
        then 'Mixed'
    else coalesce(
        max(data_source)
        filter (where {{ tells }}),
        max(data_source)
    )
end
{% endmacro %}
