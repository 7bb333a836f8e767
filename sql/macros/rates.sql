-- The rates in force for an account, and the conditions of discounts.

{% import 'macros/columns' as columns %}

-- The group of an account.
{% macro group_of(account_key) %}
coalesce(
    (
        select account_discounts.discount_group from account_discounts
        where account_discounts.account_key = {{ account_key }}
    ),
    0
)
{% endmacro %}

-- Joins the rate key of each row of int_call_usage as usage.
{% macro of_call(kind) %}
{{ kind }} join rate_keys
    on
        rate_keys.model_key = usage.model_key
        and rate_keys.region_key = usage.region_key
        and rate_keys.service_tier = usage.service_tier
        and rate_keys.min_input_tokens = usage.min_input_tokens
        and rate_keys.variant = usage.variant
{% endmacro %}

-- Joins the rates of a view or of priced_rates as rates. In the view, the sum of a group
-- and a rate key is looked up as one integer, which takes SQLite less time than two
-- columns.
{% macro in_force(account_key, rate_key, day, relation='int_account_rates') %}
left join account_discounts
    on account_discounts.account_key = {{ account_key }}
{% if relation == 'priced_rates' %}
left join
    (
        select
            *,
            {{ is_list() }} as is_list
        from priced_rates
    ) as rates
    on
        rates.discount_group = coalesce(account_discounts.discount_group, 0)
        and rates.rate_key = {{ rate_key }}
{% else %}
left join {{ relation }} as rates
    on
        rates.account_rate_key
        = coalesce(account_discounts.discount_group, 0) + {{ rate_key }}
{% endif %}
        and {{ day }} >= rates.valid_from
        and {{ day }} < rates.valid_to
{% endmacro %}

-- Whether any cost may differ from the cost at list price: 1 or 0, looked up only once.
{% macro may_differ() %}
(
    select
        exists (select 1 from discounts)
        or exists (select 1 from prices where rate_class = 'negotiated')
)
{% endmacro %}

-- Whether a discount's condition, a JSON array of patterns, is met by one of the values.
{% macro meets(condition, values) %}
(
    discounts.{{ condition }} is null
    or exists (
        select 1 from json_each(discounts.{{ condition }}) as patterns
        where
            {{ columns.each(values, '{} glob patterns.value', '\nor ') }}
    )
)
{% endmacro %}

{% macro is_of_kind(price) %}
matching.kinds is null
or exists (
    select 1 from json_each(matching.kinds) as patterns
    where '{{ price }}' glob patterns.value
)
{% endmacro %}

-- Whether neither a discount nor a negotiated rate changes what a call costs.
{% macro is_list() %}
{{ columns.each(columns.priced_kinds, '{0}_rate is {0}_list_rate', '\nand ') }}
{% endmacro %}

-- The prices that may apply to uses. Needs the CTE uses.
{% macro candidates() %}
candidates as (
    select
        uses.rate_key,
        prices.*,
        uses.match_rank,
        case prices.token_kind
{% for price in columns.varied %}
            when '{{ price }}_' || uses.variant then '{{ price }}'
{% endfor %}
{% for other, price, turn in columns.other_prices %}
            when '{{ other }}' then '{{ price }}'
{% endfor %}
            else prices.token_kind
        end as counted_as,
        case prices.token_kind
{% for price in columns.varied %}
            when '{{ price }}_' || uses.variant then -1
{% endfor %}
{% for other, price, turn in columns.other_prices %}
            when '{{ other }}' then {{ turn }}
{% endfor %}
            else 0
        end as turn,
        prices.region = '*' as is_any_region
    from uses
    inner join prices
        on
            prices.model_id = uses.price_model_id
            and (
                prices.region = uses.region
                -- GovCloud has its own rates, mostly higher: never use commercial ones.
                or (prices.region = '*' and uses.region not like 'us-gov-%')
            )
            -- The + makes SQLite use the index by model_id rather than build its own.
            and +prices.scope = uses.inference_scope
            and +prices.service_tier = uses.service_tier
            and prices.min_input_tokens <= uses.min_input_tokens
            and prices.corrected_on is null
)
{% endmacro %}

-- Which of several candidates applies.
{% macro preference() %}
candidates.origin,
candidates.turn,
candidates.match_rank,
candidates.is_any_region,
candidates.min_input_tokens desc,
candidates.effective_from desc,
candidates.price_id
{%- endmacro %}

-- The groups of accounts, and the discounts that match their keys. Needs the CTE keys.
{% macro matching() %}
groups as (
    select
        0 as discount_group,
        '' as account_id
    union
    select
        account_discounts.discount_group,
        accounts.account_id
    from account_discounts
    inner join accounts
        on accounts.account_key = account_discounts.discount_group >> 32
),

matching as materialized (
    select
        groups.discount_group,
        keys.rate_key,
        discounts.discount_number,
        discounts.kinds,
        discounts.effective_from,
        discounts.effective_to
    from discounts
    cross join groups
    cross join keys
    where
        {{ meets('accounts', ['groups.account_id']) }}
        and {{ meets('regions', ['keys.region']) }}
        and {{ meets('tiers', ['keys.service_tier']) }}
        and {{ meets(
            'models', ['keys.canonical_model_id', 'keys.cloudwatch_model_id']
        ) }}
)
{% endmacro %}

-- A list rate less a discount.
{% macro lowered(price) %}
coalesce(
    (
        {{ price }}_rate * (
            select discounts.kept_millionths from discounts
            where discounts.discount_number = {{ price }}_discount
        )
        + 500000
    ) / 1000000,
    {{ price }}_rate
)
{%- endmacro %}
