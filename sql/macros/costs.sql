-- What the cost marts share.

{% import 'macros/columns' as columns %}
{% import 'macros/filters' as filters %}
{% import 'macros/money' as money %}

{% macro units(has_bounds=false) %}
-- Units: tokens; USD, summed exactly. Tokens are NULL where none are known. cost_usd is
-- a lower bound where is_lower_bound is 1: it leaves out unpriced_calls,
-- unpriced_tokens and calls_without_tokens. list_cost_usd is without discounts and
-- negotiated rates; it leaves out list_unpriced_tokens. usd_per_call and usd_per_ktok
-- are cost_usd by all calls and by all tokens, and lower bounds where it is one.
{% if has_bounds %}
{{ about_bounds() }}
{% endif %}
{% endmacro %}

{% macro about_bounds() %}
-- cost_low_usd and cost_high_usd are the ends of what the cost may be, equal to it
-- where all is measured; the high end is NULL where it is not known.
{% endmacro %}

-- The columns of a sum of daily costs.
{% macro use() %}
sum(calls) as calls,
sum(failed_calls) as failed_calls,
{{ columns.each(columns.shown_tokens, 'sum({0}) as {0}') }}
{% endmacro %}

{% macro amounts() %}
{{ money.list_dollars() }} as list_cost_usd,
{{ money.dollars('cost_picodollars') }} as cost_usd,
{{ money.dollars('actual_cost_picodollars') }} as actual_cost_usd,
{{ money.dollars('estimated_cost_picodollars') }} as estimated_cost_usd
{% endmacro %}

{% macro completeness() %}
sum(unpriced_calls) as unpriced_calls,
sum(unpriced_tokens) as unpriced_tokens,
{{ money.list_unpriced() }} as list_unpriced_tokens,
sum(calls_without_tokens) as calls_without_tokens,
max(is_lower_bound) as is_lower_bound,
{{ money.data_source() }} as data_source
{% endmacro %}

-- Widths add up: errors of different users, days or models are not taken to cancel out.
-- Whole nano-dollars do for them, in which SQLite can sum nine billion dollars.
{% macro bounds(low='cost_low_picodollars', high='cost_high_picodollars') %}
{{ from_cost('-', 'cost_picodollars - ' ~ low) }} as cost_low_usd,
iif(
    max(is_lower_bound)
    or max({{ high }} is null and cost_picodollars is not null),
    null,
    {{ from_cost('+', high ~ ' - cost_picodollars') }}
) as cost_high_usd
{% endmacro %}

{% macro from_cost(sign, width) %}
round(
    {{ money.dollars('cost_picodollars') }}
    {{ sign }} sum(({{ width }}) / 1000) / 1e9,
    9
)
{%- endmacro %}

-- The costs of all days, by some columns of a daily costs view.
{% macro totals(daily_costs, by, has_bounds=false) %}
select
    {{ columns.each(by) }},
    {{ use() }},
    {{ amounts() }},
    {{ completeness() }},
{% if has_bounds %}
    {{ bounds() }},
{% endif %}
    {{ money.per_unit() }}
from {{ daily_costs }}
group by {{ by | join(', ') }}
{% endmacro %}

-- The same for the selected days, regions and models, as canned queries show it.
{% macro period(daily_costs, by, has_bounds=false) %}
select
    {{ columns.each(by) }},
    {{ amounts() }},
    {{ use() }},
    {{ completeness() }},
{% if has_bounds %}
    {{ bounds() }},
{% endif %}
    {{ money.per_unit() }}
from {{ daily_costs }}
where
    {{ filters.period() }}
group by {{ by | join(', ') }}
{% endmacro %}

-- The same for each region and model of a name, the name that costs most first.
{% macro period_breakdown(daily_costs, name) %}
{{ period(daily_costs, [name, 'region', 'model_id'], has_bounds=true) }}
order by
    sum(sum(cost_picodollars / 1000000)) over (partition by {{ name }}) desc,
    {{ name }},
    cost_usd desc,
    calls desc,
    region,
    model_id
{% endmacro %}

-- For each model_id: where and since when it is used, and whether it has a price.
{% macro models() %}
min(day) as first_seen,
max(day) as last_seen,
sum(calls) as calls,
sum(failed_calls) as failed_calls,
count(distinct region) as region_count,
group_concat(distinct region) as regions,
case
    when sum(unpriced_calls) + sum(unpriced_tokens) = 0 then 'priced'
    when max(cost_picodollars) > 0 then 'partly priced'
    when
        model_id in (
            select canonical_model_id from int_models
            where is_provisioned
        ) then 'provisioned capacity'
    else 'unpriced'
end as price_status
{% endmacro %}

-- For each model id as sent and region: the usage without a price.
{% macro without_price() %}
raw_model_id,
model_id,
region,
iif(max(is_provisioned), 'provisioned capacity', 'no price') as reason,
min(day) as first_seen,
max(day) as last_seen,
sum(calls) as calls,
sum(unpriced_calls) as unpriced_calls,
sum(unpriced_tokens) as unpriced_tokens,
{{ columns.each(columns.shown, 'sum({0}) as {0}') }}
{% endmacro %}

{% macro daily_units(has_bounds=false) %}
-- Units: tokens; USD. Tokens are NULL where none are known, costs where nothing has a
-- price. A cost is a lower bound where is_lower_bound is 1. list_cost_usd is without
-- discounts and negotiated rates; it leaves out list_unpriced_tokens.
{% if has_bounds %}
{{ about_bounds() }}
{% endif %}
{% endmacro %}

{% macro leaves_something_out() -%}
costs.unpriced_calls
+ costs.unpriced_tokens
+ costs.calls_without_tokens > 0
{%- endmacro %}

-- The figures of a day, from one of the tables of priced days.
{% macro daily_columns(is_lower_bound=leaves_something_out()) %}
costs.calls,
costs.failed_calls,
{{ columns.each(columns.shown, 'costs.{}') }},
costs.actual_tokens,
costs.estimated_tokens,
costs.list_cost_picodollars / 1e12 as list_cost_usd,
costs.cost_picodollars / 1e12 as cost_usd,
costs.actual_cost_picodollars / 1e12 as actual_cost_usd,
costs.estimated_cost_picodollars / 1e12 as estimated_cost_usd,
costs.list_cost_picodollars,
costs.cost_picodollars,
costs.actual_cost_picodollars,
costs.estimated_cost_picodollars,
costs.unpriced_calls,
costs.unpriced_tokens,
costs.list_unpriced_tokens,
costs.calls_with_tokens,
costs.calls_without_tokens,
{{ is_lower_bound }}
    as is_lower_bound,
costs.data_source
{% endmacro %}

-- What the cost of a day may be. For a single day this is its part of an interval of
-- days, to be added up.
{% macro daily_bounds(is_lower_bound=leaves_something_out()) %}
costs.cost_low_picodollars / 1e12 as cost_low_usd,
iif(
    costs.unbounded_estimates
    or {{ is_lower_bound }},
    null,
    costs.cost_high_picodollars
) / 1e12 as cost_high_usd,
costs.cost_low_picodollars,
iif(
    costs.unbounded_estimates
    or {{ is_lower_bound }},
    null,
    costs.cost_high_picodollars
) as cost_high_picodollars
{% endmacro %}
