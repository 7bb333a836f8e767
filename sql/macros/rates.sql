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
