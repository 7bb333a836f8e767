-- Tokens times price, line by line: the CTE final, of the grain of pages/cost_lines.
-- Needs :_visitor_applications and :_visitor_teams.

{% import 'macros/columns' as columns %}
{% import 'macros/filters' as filters %}
{% import 'macros/rates' as rates %}

{% macro lines() %}
with rates as materialized (
    select * from int_account_rates
),

rated as (
    select
        rate_keys.rate_key,
        rate_keys.service_tier,
        rate_keys.min_input_tokens,
        regions.region,
        int_models.canonical_model_id as model_id
    from rate_keys
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
),

{{ filters.chosen_keys() }},

-- Summed before they are split by kind, because the days have many rows.
summed as (
    select
        day,
        {{ rates.group_of('account_key') }} as discount_group,
        rate_key,
        token_source_key,
        sum(calls) as calls,
        sum(estimated_calls) as estimated_calls,
{% for count in columns.counts %}
        sum({{ columns.counted(count) }}) as {{ count }},
{% endfor %}
        {{ columns.each(columns.estimates, 'sum({0}) as {0}') }}
    from usage_daily
    where
        {{ filters.of_chosen() }}
    group by day, discount_group, rate_key, token_source_key
),

dated as materialized (
    select
        summed.*,
        rates.valid_from
    from summed
    left join rates
        on
            rates.account_rate_key = summed.discount_group + summed.rate_key
            and summed.day >= rates.valid_from
            and summed.day < rates.valid_to
),

-- What calls report, and CloudWatch's estimate: source -1, as in int_usage_daily.
parts as materialized (
    select
        discount_group,
        rate_key,
        valid_from,
        token_source_key,
        sum(iif(token_source_key = 0, calls - estimated_calls, calls)) as calls,
        {{ columns.each(columns.counts, 'sum({0}) as {0}') }}
    from dated
    group by discount_group, rate_key, valid_from, token_source_key
    union all
    select
        discount_group,
        rate_key,
        valid_from,
        -1 as token_source_key,
        sum(estimated_calls) as calls,
{% for count, estimate in columns.estimate_of.items() %}
        {{ 'sum(' ~ estimate ~ ')' if estimate else 0 }} as {{ count }}{{ ',' if not loop.last }}
{% endfor %}
    from dated
    group by discount_group, rate_key, valid_from
),

kinds (token_kind) as (
    values
{% for _, price in columns.priced_counts %}
    ('{{ price }}'),
{% endfor %}
    (null)
),

-- The rates are joined once, not for each kind: SQLite would expand them as often, a
-- third of a second for the first page of a connection.
lines as (
    select
        parts.rate_key,
        parts.token_source_key,
        parts.calls,
        kinds.token_kind,
{% for name, column in [
    ('tokens', 'parts.{0}'),
    ('rate', 'rates.{1}_rate'),
    ('list_rate', 'rates.{1}_list_rate'),
    ('discount_number', 'rates.{1}_discount'),
    ('price_id', 'rates.{1}_price_id'),
] %}
        case kinds.token_kind
{% for count, price in columns.priced_counts %}
            when '{{ price }}' then {{ column.format(count, price) }}
{% endfor %}
        end as {{ name }}{{ ',' if not loop.last }}
{% endfor %}
    from parts
    cross join kinds
    left join rates
        on
            rates.account_rate_key = parts.discount_group + parts.rate_key
            and rates.valid_from = parts.valid_from
    where
        tokens > 0
        or (kinds.token_kind is null and parts.token_source_key = 0 and parts.calls > 0)
),

final as (
    select
        rated.model_id,
        rated.region,
        rated.service_tier,
        rated.min_input_tokens,
        token_sources.data_source,
        lines.calls,
        -- As the price row has it: a cache write may be one of 30 minutes.
        coalesce(prices.token_kind, lines.token_kind) as token_kind,
        lines.tokens,
        lines.rate / 1e6 as usd_per_mtok,
        round(lines.tokens * (lines.rate / 1e12), 9) as cost_usd,
        lines.list_rate / 1e6 as list_usd_per_mtok,
        lines.discount_number,
        lines.price_id,
        prices.source as price_source,
        prices.checked_on as price_checked_on,
        prices.effective_from as price_effective_from,
        prices.origin = 'import' as price_is_own,
        prices.rate_class = 'negotiated' as price_is_negotiated
    from lines
    inner join rated on rated.rate_key = lines.rate_key
    inner join token_sources
        on token_sources.token_source_key = lines.token_source_key
    left join prices on prices.price_id = lines.price_id
)
{%- endmacro %}
