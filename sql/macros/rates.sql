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

-- The definition of int_rates, for any use of a model. Needs a CTE uses: rate key x id
-- that its price may stand under, with its rank, region, scope, tier, size and variant.

-- Each kind is looked up separately. A user's own rate comes before AWS's Price List,
-- and that before this release's prices: the names of the origins are in that order.
-- Then the exact model id comes before looser ones, the exact region before '*' (any
-- commercial region), the highest context threshold exceeded before lower ones. A price
-- of another scope, tier or kind never applies, but for the ordinary cache write: that
-- of a model without a 5-minute rate has its 30-minute one, and images and seconds of
-- video, whose price is that of their variant before one for any.
{% macro of_uses() %}
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
                -- GovCloud has its own rates, mostly higher.
                or (prices.region = '*' and uses.region not like 'us-gov-%')
            )
            -- The + makes SQLite use the index by model_id, not build one.
            and +prices.scope = uses.inference_scope
            and +prices.service_tier = uses.service_tier
            and prices.min_input_tokens <= uses.min_input_tokens
            and prices.corrected_on is null
),

changes as (
    select
        rate_key,
        effective_from as changed_on
    from candidates
    union
    select
        rate_key,
        effective_to as changed_on
    from candidates
    where effective_to is not null
),

periods as (
    select
        rate_key,
        changed_on as valid_from,
        lead(changed_on)
            over (partition by rate_key order by changed_on) as valid_to
    from changes
),

ranked as (
    select
        periods.rate_key,
        periods.valid_from,
        periods.valid_to,
        candidates.counted_as as token_kind,
        candidates.usd_per_mtok,
        candidates.price_id,
        candidates.rate_class,
        row_number() over (
            partition by
                periods.rate_key,
                periods.valid_from,
                candidates.counted_as,
                candidates.rate_class
            order by
                candidates.origin,
                candidates.turn,
                candidates.match_rank,
                candidates.is_any_region,
                candidates.min_input_tokens desc,
                candidates.effective_from desc,
                candidates.price_id
        ) as choice
    from periods
    inner join candidates
        on
            candidates.rate_key = periods.rate_key
            and candidates.effective_from <= periods.valid_from
            and (
                candidates.effective_to is null
                or candidates.effective_to > periods.valid_from
            )
),

chosen as (
    select
        rate_key,
        valid_from,
        coalesce(valid_to, '9999-12-31') as valid_to,
{% for class in ('list', 'negotiated') %}
{% for price in columns.priced_kinds %}
        max(usd_per_mtok)
        filter (
            where token_kind = '{{ price }}' and rate_class = '{{ class }}'
        )
            as {{ price }}_{{ class }}_rate,
        max(price_id)
        filter (
            where token_kind = '{{ price }}' and rate_class = '{{ class }}'
        )
            as {{ price }}_{{ class }}_price_id{{ ',' if not loop.last }}
{% endfor %}
        {{- ',' if not loop.last }}
{% endfor %}
    from ranked
    where choice = 1
    group by rate_key, valid_from, valid_to
),

final as (
    select
        rate_key,
        valid_from,
        valid_to,
{% for price in columns.priced_kinds %}
        coalesce({{ price }}_negotiated_rate, {{ price }}_list_rate)
            as {{ price }}_rate,
{% endfor %}
        {{ columns.each(columns.priced_kinds, '{}_list_rate') }},
{% for price in columns.priced_kinds %}
        coalesce(
            {{ price }}_negotiated_price_id, {{ price }}_list_price_id
        )
            as {{ price }}_price_id,
{% endfor %}
        {{ columns.each(columns.priced_kinds, '{}_list_price_id') }}
    from chosen
)

select * from final
{% endmacro %}

-- The definition of int_account_rates. Needs the CTEs rates, with the columns of
-- int_rates, and keys: what discounts name, by rate key.

-- The first discount that matches is used, for each kind by itself. It lowers a list
-- rate, rounded to a whole pico-dollar, half up; a negotiated rate is final.
{% macro of_accounts() %}
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
),

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
        filter (where {{ is_of_kind(price) }})
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
        coalesce(
            (
                {{ price }}_rate * (
                    select discounts.kept_millionths from discounts
                    where discounts.discount_number = {{ price }}_discount
                )
                + 500000
            ) / 1000000,
            {{ price }}_rate
        ) as {{ price }}_rate,
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
        {{ is_list() }} as is_list,
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
        {{ is_list() }} as is_list,
        {{ columns.each(columns.priced_kinds, '{}_price_id') }},
        {{ columns.each(columns.priced_kinds, '{}_list_price_id') }},
        {{ columns.each(columns.priced_kinds, '{}_discount') }}
    from discounted
)

select * from final
{% endmacro %}
