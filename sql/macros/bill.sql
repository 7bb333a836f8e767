-- What the views of the bill share.

{% import 'macros/columns' as columns %}
{% import 'macros/money' as money %}

{% macro units() %}
-- Units: tokens; USD, NULL for lines in another currency; billed_cost and net_cost in
-- the currency of the row. Discounts, credits and refunds are rows of their own: the
-- sum of billed_cost is the invoice. A net cost is NULL where the export has none. No
-- figure here is part of cost_usd.
{% endmacro %}

-- A sum, NULL if a part of it is unknown.
{% macro complete(column) %}
iif(count({{ column }}) = count(*), {{ money.dollars(column) }}, null)
{% endmacro %}

{% macro amounts() %}
{{ money.dollars('billed_cost_picodollars') }} as billed_cost_usd,
{{ complete('net_cost_picodollars') }} as net_cost_usd,
{{ money.dollars('cost_pico') }} as billed_cost,
{{ complete('net_cost_pico') }} as net_cost,
sum(lines) as lines
{% endmacro %}

-- The bill of all days, by a name and the currency.
{% macro totals(by) %}
select
    {{ by }},
    currency,
    sum(billed_tokens) as billed_tokens,
    {{ amounts() }},
    {{ money.dollars('iif(charge_kind = \'usage\', billed_cost_picodollars, null)') }}
        as usage_cost_usd
from int_bill_lines
group by {{ by }}, currency
{% endmacro %}
