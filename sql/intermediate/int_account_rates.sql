-- What does a token cost, with discounts?
-- Grain: discount group of accounts x rate key x period of unchanged rates [valid_from,
-- valid_to), UTC days. Group 0 is every account that no discount names.
-- Units: *_rate = pico-dollars per token (or image) after discounts, *_list_rate
-- without discounts and negotiated rates; NULL where there is no price. *_discount is
-- the number of the discount in *_rate.

-- The first discount that matches is used, for each kind by itself. It lowers a list
-- rate, rounded to a whole pico-dollar, half up; a negotiated rate is final.
with rates as materialized (
    select * from int_rates
),

keys as not materialized (
    select
        rate_keys.rate_key,
        regions.region,
        rate_keys.service_tier,
        int_models.canonical_model_id,
        int_models.cloudwatch_model_id
    from rate_keys
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
),

{{ rates.matching() }},

-- The days on which a rate or a discount starts or ends.
changes as (
    select
        matching.discount_group,
        rates.rate_key,
        rates.valid_from as changed_on
    from matching
    inner join rates on rates.rate_key = matching.rate_key
    union
    select
        discount_group,
        rate_key,
        effective_from as changed_on
    from matching
    union
    select
        discount_group,
        rate_key,
        effective_to as changed_on
    from matching
    where effective_to is not null
),

periods as (
    select
        discount_group,
        rate_key,
        changed_on as valid_from,
        lead(changed_on, 1, '9999-12-31')
            over (
                partition by discount_group, rate_key
                order by changed_on
            ) as valid_to
    from changes
),

first_matching as (
    select
        periods.discount_group,
        periods.rate_key,
        periods.valid_from,
        periods.valid_to,
{% for price in columns.priced_kinds %}
        min(matching.discount_number)
        filter (where {{ rates.is_of_kind(price) }})
            as {{ price }}_discount{{ ',' if not loop.last }}
{% endfor %}
    from periods
    left join matching
        on
            matching.discount_group = periods.discount_group
            and matching.rate_key = periods.rate_key
            and matching.effective_from <= periods.valid_from
            and (
                matching.effective_to is null
                or matching.effective_to > periods.valid_from
            )
    group by
        periods.discount_group,
        periods.rate_key,
        periods.valid_from,
        periods.valid_to
),

applied as (
    select
        first_matching.discount_group,
        rates.*,
        first_matching.valid_from as discounted_from,
        min(first_matching.valid_to, rates.valid_to) as discounted_to,
{% for price in columns.priced_kinds %}
        iif(
            rates.{{ price }}_price_id = rates.{{ price }}_list_price_id,
            first_matching.{{ price }}_discount,
            null
        ) as {{ price }}_discount{{ ',' if not loop.last }}
{% endfor %}
    from first_matching
    inner join rates
        on
            rates.rate_key = first_matching.rate_key
            and first_matching.valid_from >= rates.valid_from
            and first_matching.valid_from < rates.valid_to
),

discounted as (
    select
        discount_group,
        rate_key,
        discounted_from as valid_from,
        discounted_to as valid_to,
{% for price in columns.priced_kinds %}
        {{ rates.lowered(price) }}
            as {{ price }}_rate,
{% endfor %}
        {{ columns.each(columns.priced_kinds, '{}_list_rate') }},
        {{ columns.each(columns.priced_kinds, '{}_price_id') }},
        {{ columns.each(columns.priced_kinds, '{}_list_price_id') }},
        {{ columns.each(columns.priced_kinds, '{}_discount') }}
    from applied
),

final as (
    select
        groups.discount_group + rates.rate_key as account_rate_key,
        groups.discount_group,
        rates.rate_key,
        rates.valid_from,
        rates.valid_to,
        {{ columns.each(columns.priced_kinds, 'rates.{}_rate') }},
        {{ columns.each(columns.priced_kinds, 'rates.{}_list_rate') }},
        {{ rates.is_list() }} as is_list,
        {{ columns.each(columns.priced_kinds, 'rates.{}_price_id') }},
        {{ columns.each(columns.priced_kinds, 'rates.{}_list_price_id') }},
        {{ columns.each(columns.priced_kinds, 'null as {}_discount') }}
    from groups
    cross join rates
    where
        (groups.discount_group, rates.rate_key) not in (
            select
                discount_group,
                rate_key
            from matching
        )
    union all
    select
        discount_group + rate_key as account_rate_key,
        discount_group,
        rate_key,
        valid_from,
        valid_to,
        {{ columns.each(columns.priced_kinds, '{}_rate') }},
        {{ columns.each(columns.priced_kinds, '{}_list_rate') }},
        {{ rates.is_list() }} as is_list,
        {{ columns.each(columns.priced_kinds, '{}_price_id') }},
        {{ columns.each(columns.priced_kinds, '{}_list_price_id') }},
        {{ columns.each(columns.priced_kinds, '{}_discount') }}
    from discounted
)

select * from final
