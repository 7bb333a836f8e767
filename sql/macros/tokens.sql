-- What tokens cost: each kind's count times its rate. An unknown count adds nothing; a
-- count of 0 needs no price. Where some kinds have a price and others none, the cost is
-- that of the first, and the others are counted as unpriced.

{% import 'macros/columns' as columns %}

{% macro is_any(names, pattern='{}') %}
coalesce(
    {{ columns.each(names, pattern) }}
) is not null
{% endmacro %}

-- Columns that say which of the counts are known and have a price, how many tokens have
-- none, and what the others cost. cost() makes one amount of them.
{% macro pricing(counted=columns.kinds, of='tokens') %}
{{ is_any(counted | map('first')) }} as has_{{ of }},
coalesce(
{% for count, price in counted %}
    iif({{ count }} > 0, {{ price }}_rate, null){{ ',' if not loop.last }}
{% endfor %}
) is not null as has_priced_{{ of }},
{% for count, price in counted %}
{% if not loop.first %}+ {% endif %}iif({{ price }}_rate is null, coalesce({{ count }}, 0), 0)
{% endfor %}
    as unpriced_{{ of }},
{% for count, price in counted %}
{% if not loop.first %}+ {% endif %}coalesce({{ count }} * {{ price }}_rate, 0)
{% endfor %}
    as cost_of_priced_{{ of }}
{% endmacro %}

{% macro cost(of='tokens') %}
case
    when has_priced_{{ of }} or (has_{{ of }} and unpriced_{{ of }} = 0)
        then cost_of_priced_{{ of }}
end
{% endmacro %}
