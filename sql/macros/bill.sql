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

-- The rows of int_our_figures. source: rows of usage, as usage; more: columns to keep.
{% macro figures(source, more=[]) %}
with counted as (
    select
{% for column in more %}
        {{ column }},
{% endfor %}
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
{% for column in more %}
    {{ column }},
{% endfor %}
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
{% for column in more %}
    {{ column }},
{% endfor %}
    day,
    account_key,
    rate_key,
    user_key,
    token_kind
{% endmacro %}

-- Our price for each thing that the bill charges. Grain: day x account x region x model
-- x token kind x inference scope x tier x context size. Units: pico-dollars per token.
-- rate is with negotiated rates and discounts, list_rate without; NULL where there is no
-- price. Both are chosen as in int_rates and int_account_rates. lines: as int_bill_lines.
{% macro prices_of(lines) %}
with charged as (
    select distinct
        day,
        account_id,
        region,
        model_id,
        price_model_id,
        {{ columns.each(variant) }}
    from {{ lines }}
    where charge_kind = 'usage'
),

ranked as (
    select
        charged.*,
        prices.usd_per_mtok,
        prices.rate_class,
        row_number() over (
            partition by
                {{ columns.each(variant, 'charged.{}') }},
                charged.day,
                charged.account_id,
                charged.region,
                charged.model_id,
                prices.rate_class
            order by
                prices.origin,
                prices.model_id <> charged.model_id,
                prices.region = '*',
                prices.min_input_tokens desc,
                prices.effective_from desc,
                prices.price_id
        ) as choice
    from charged
    inner join prices
        on
            prices.model_id in (charged.price_model_id, charged.model_id)
            and (
                prices.region = charged.region
                or (prices.region = '*' and charged.region not like 'us-gov-%')
            )
            and prices.token_kind = charged.token_kind
            and prices.scope = charged.inference_scope
            and prices.service_tier = charged.service_tier
            and prices.min_input_tokens <= charged.min_input_tokens
            and prices.effective_from <= charged.day
            and coalesce(prices.effective_to > charged.day, true)
            and prices.corrected_on is null
),

chosen as (
    select
        day,
        account_id,
        region,
        model_id,
        {{ columns.each(variant) }},
        max(usd_per_mtok)
        filter (where rate_class = 'negotiated')
            as negotiated_rate,
        max(usd_per_mtok)
        filter (where rate_class = 'list')
            as list_rate
    from ranked
    where choice = 1
    group by
        day,
        account_id,
        region,
        model_id,
        {{ columns.each(variant) }}
),

discounted as (
    select
        chosen.*,
        (
            select discounts.kept_millionths from discounts
            where
                {{ rates.meets('accounts', ['chosen.account_id']) }}
                and {{ rates.meets('regions', ['chosen.region']) }}
                and {{ rates.meets('tiers', ['chosen.service_tier']) }}
                and {{ rates.meets('models', ['chosen.model_id']) }}
                and {{ rates.meets('kinds', ['chosen.token_kind']) }}
                and discounts.effective_from <= chosen.day
                and coalesce(discounts.effective_to > chosen.day, true)
            order by discounts.discount_number
            limit 1
        ) as kept_millionths
    from chosen
)

select
    day,
    account_id,
    region,
    model_id,
    {{ columns.each(variant) }},
    coalesce(
        negotiated_rate,
        (list_rate * kept_millionths + 500000) / 1000000,
        list_rate
    ) as rate,
    list_rate
from discounted
{% endmacro %}

{% macro compared_units() %}
-- Units: tokens, NULL where there are none; USD, billed less ours. Ours is as it was
-- before the bill was known, but where is_current is 1. is_open is 1 where the bill may
-- still change.
{% endmacro %}

-- Our figures and the bill's, of each place.
{% macro compared(by, where='true') %}
select
    {{ columns.each(by) }},
    max(is_open) as is_open,
    max(is_current) as is_current,
    sum(ours)
    filter (where charge_kind = 'usage' and is_tokens)
        as our_tokens,
    sum(billed)
    filter (where charge_kind = 'usage' and is_tokens)
        as billed_tokens,
    {{ money.dollars('our_cost') }} as our_cost_usd,
    {{ money.dollars('billed_cost') }} as billed_cost_usd,
    {{ money.dollars('difference') }} as difference_usd,
    {{ money.dollars('not_understood') }} as not_understood_usd
from int_bill_cells
where
    {{ where }}
group by
    {{ columns.each(by) }}
{% endmacro %}

-- The accounts that the bill covers in :month, and up to which day for good, whoever
-- pays for them.
{% macro closed_accounts() %}
select
    account_id,
    account_key,
    min(payer_account_id) as payer_account_id,
    min(closed_until) as closed_until
from int_bill_covered
where month = :month
group by account_id
{% endmacro %}

-- The context size that decides a model's price, of all that do for some model. Needs a
-- CTE models: int_bill_models.
{% macro sizes() %}
select
    rate_keys.rate_key,
    coalesce(max(prices.min_input_tokens), 0) as min_input_tokens
from rate_keys
inner join models on models.model_key = rate_keys.model_key
left join prices
    on
        prices.model_id = models.price_model_id
        and prices.min_input_tokens <= rate_keys.min_input_tokens
        and prices.corrected_on is null
group by rate_keys.rate_key
{% endmacro %}
