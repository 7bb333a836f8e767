-- What the views of the bill share.

{% import 'macros/columns' as columns %}
{% import 'macros/money' as money %}
{% import 'macros/rates' as rates %}

-- What decides the price of a model's tokens in a region.
{% set variant = [
    'token_kind',
    'inference_scope',
    'service_tier',
    'min_input_tokens',
] %}

-- What is compared: all figures of one place are of one bill.
{% set place = [
    'month',
    'day',
    'payer_account_id',
    'account_id',
    'region',
    'model_id',
    'user_name',
] %}

-- The kind that CloudWatch counts, of a kind that has a price.
{% macro counted_kind(token_kind) -%}
iif(
    {{ token_kind }} like 'cache_write%',
    'cache_write',
    {{ token_kind }}
)
{%- endmacro %}

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
{% macro totals(by, lines='int_bill_lines') %}
select
    {{ by }},
    currency,
    sum(billed_tokens) as billed_tokens,
    {{ amounts() }},
    {{ money.dollars('usage_picodollars') }} as usage_cost_usd
from {{ lines }}
group by {{ by }}, currency
{% endmacro %}

-- The rows of int_our_figures. source: rows of usage, as usage; more: a column to keep.
{% macro figures(source, more='') %}
with counted as (
    select
{% if more %}
        {{ more }},
{% endif %}
        usage.day,
        usage.account_key,
        usage.rate_key,
        usage.user_key,
        {{ columns.by_variant('kinds.token_kind', 'rate_keys.variant') }} as token_kind,
        usage.data_source = 'CloudWatch (Estimated)' as is_estimated,
        case kinds.token_kind
{% for count, price in columns.priced_counts %}
            when '{{ price }}' then usage.{{ count }}
{% endfor %}
        end as amount,
{% for suffix in ('rate', 'list_rate') %}
        case kinds.token_kind
{% for price in columns.priced_kinds %}
            when '{{ price }}' then rates.{{ price }}_{{ suffix }}
{% endfor %}
        end as {{ suffix }}{{ ',' if not loop.last }}
{% endfor %}
    from {{ source }}
    cross join (
{% for price in columns.priced_kinds %}
        select '{{ price }}' as token_kind{{ '\n        union all' if not loop.last }}
{% endfor %}
    ) as kinds
    inner join rate_keys on rate_keys.rate_key = usage.rate_key
    {{ rates.in_force('usage.account_key', 'usage.rate_key', 'usage.day', 'priced_rates') }}
)

select
{% if more %}
    {{ more }},
{% endif %}
    day,
    account_key,
    rate_key,
    user_key,
    token_kind,
    sum(iif(is_estimated, 0, amount)) as known,
    sum(iif(is_estimated, amount, 0)) as estimated,
    rate,
    list_rate
from counted
where amount > 0
group by
{% if more %}
    {{ more }},
{% endif %}
    day,
    account_key,
    rate_key,
    user_key,
    token_kind
{% endmacro %}

-- A rate that any user of the account has.
{% macro over_users(rate) %}
max(cells.{{ rate }}) over (
    partition by
        cells.month,
        cells.day,
        cells.account_id,
        cells.region,
        cells.model_id,
        {{ columns.each(variant, 'cells.{}') }}
)
{%- endmacro %}

{% macro compared_units() %}
-- Units: tokens, NULL where there are none; USD, billed less ours. Ours is as it was
-- before the bill was known, but where is_current is 1. is_open is 1 where the bill may
-- still change.
{% endmacro %}

-- Our figures and the bill's, of each place.
{% macro compared(by) %}
select
    {{ columns.each(by) }},
    max(is_open) as is_open,
    max(is_current) as is_current,
    sum(iif(charge_kind = 'usage' and is_tokens, ours, null)) as our_tokens,
    sum(iif(charge_kind = 'usage' and is_tokens, billed, null)) as billed_tokens,
    {{ money.dollars('our_cost') }} as our_cost_usd,
    {{ money.dollars('billed_cost') }} as billed_cost_usd,
    {{ money.dollars('difference') }} as difference_usd,
    {{ money.dollars('not_understood') }} as not_understood_usd
from int_bill_cells
group by
    {{ columns.each(by) }}
{% endmacro %}
