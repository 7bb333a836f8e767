-- What the bill charges, beside what the warehouse knew of the same.

{% import 'macros/bill' as bill %}
{% import 'macros/columns' as columns %}

-- What is compared with one basis: list prices or ours.
{% set priced_alike = [
    'payer_account_id',
    'account_id',
    'region',
    'model_id',
    'counted_kind',
] %}

-- A rate that any user of the account has.
{% macro over_users(rate) %}
max(cells.{{ rate }}) over (
    partition by
        cells.month,
        cells.day,
        cells.account_id,
        cells.region,
        cells.model_id,
        {{ columns.each(bill.variant, 'cells.{}') }}
)
{%- endmacro %}

-- The rows of bill_cells. days: a relation of month and day, such as int_bill_days; each
-- day is computed from its own lines, but for what the month's bill says of payers and
-- discounts.
{% macro cells(days) %}
{# The cross joins make SQLite look up the days of `known` and `late`. #}
{% set usage_of_late %}
late
    cross join int_usage_daily as usage
        on usage.day = late.day and usage.account_key = late.account_key
{%- endset %}
with days as materialized (
    select
        month,
        day
    from {{ days }}
),

covered as materialized (
    select
        *,
        count(*) over (partition by month, account_id) > 1 as has_payers
    from int_bill_covered
    where month in (select days.month from days)
),

lines as materialized (
    select *
    from int_bill_lines
    where
        (month_key, day) in (
            select
                covered.month_key,
                days.day
            from days
            inner join covered on covered.month = days.month
        )
        and (month_key, payer_account_id, account_id) in (
            select
                covered.month_key,
                covered.payer_account_id,
                covered.account_id
            from covered
        )
        and currency = 'USD'
),

-- Where some usage has no user, no user's share can be compared.
unnamed as materialized (
    select distinct
        month,
        day,
        account_id,
        region,
        model_id
    from lines
    where charge_kind = 'usage' and user_name = '(unknown)'
),

-- Who pays for an account that has several payers.
paid as materialized (
    select
        month,
        day,
        account_id,
        payer_account_id,
        sum(billed_cost_picodollars) as cost
    from int_bill_lines
    where
        month_key in (
            select covered.month_key from covered
            where covered.has_payers
        )
        and (payer_account_id, account_id) in (
            select
                covered.payer_account_id,
                covered.account_id
            from covered
            where covered.has_payers
        )
        and charge_kind = 'usage'
    group by month, day, account_id, payer_account_id
),

-- What we know of a day belongs to the payer who bills most of the account's usage
-- on that day, or else on the last day before, or else on the first day.
known as materialized (
    select
        covered.month,
        days.day,
        covered.month_key,
        covered.payer_account_id,
        covered.account_id,
        covered.account_key
    from days
    inner join covered on covered.month = days.month
    where
        -- Refunds and corrections may be dated in another month.
        substr(days.day, 1, 7) = days.month
        and covered.account_key is not null
        and (
            not covered.has_payers
            or covered.payer_account_id = coalesce(
                (
                    select paid.payer_account_id from paid
                    where
                        paid.month = days.month
                        and paid.account_id = covered.account_id
                        and paid.day <= days.day
                    order by paid.day desc, paid.cost desc, paid.payer_account_id
                    limit 1
                ),
                (
                    select paid.payer_account_id from paid
                    where
                        paid.month = days.month
                        and paid.account_id = covered.account_id
                    order by paid.day, paid.cost desc, paid.payer_account_id
                    limit 1
                ),
                (
                    select min(first.payer_account_id) from covered as first
                    where
                        first.month = covered.month
                        and first.account_id = covered.account_id
                )
            )
        )
),

-- Where the bill does not have a day yet, or nothing of the account was known then,
-- the figures are those of now.
late as materialized (
    select known.* from known
    where
        not exists (
            select 1 from figures_before_bill as kept
            where
                kept.month_key = known.month_key
                and kept.day = known.day
                and kept.account_key = known.account_key
        )
),

current_figures as (
    {{ bill.figures(usage_of_late, ['month', 'payer_account_id']) }}
),

figures as (
    select
        known.month,
        known.payer_account_id,
        kept.day,
        kept.account_key,
        kept.rate_key,
        kept.user_key,
        kept.token_kind,
        kept.known,
        kept.estimated,
        kept.rate,
        kept.list_rate,
        0 as is_current
    from known
    cross join figures_before_bill as kept
        on
            kept.month_key = known.month_key
            and kept.day = known.day
            and kept.account_key = known.account_key
    union all
    select
        month,
        payer_account_id,
        day,
        account_key,
        rate_key,
        user_key,
        token_kind,
        known,
        estimated,
        rate,
        list_rate,
        1 as is_current
    from current_figures
),

models as materialized (
    select * from int_bill_models
),

sizes as materialized (
    {{ bill.sizes() }}
),

both as (
    select
        month,
        day,
        payer_account_id,
        account_id,
        region,
        model_id,
        {{ columns.each(bill.variant) }},
        nullif(user_name, '(unknown)') as user_name,
        charge_kind,
        lines as billed_lines,
        iif(charge_kind = 'usage' and usage_type like '%-mantle-%', lines, 0)
            as mantle_lines,
        coalesce(billed_tokens, billed_units, 0) as billed,
        billed_cost_picodollars as billed_cost,
        billed_tokens is not null as is_tokens,
        0 as known,
        0 as estimated,
        null as our_rate,
        null as our_list_rate,
        0 as is_current
    from lines
    union all
    select
        figures.month,
        figures.day,
        figures.payer_account_id,
        accounts.account_id,
        regions.region,
        models.model_id,
        figures.token_kind,
        models.inference_scope,
        rate_keys.service_tier,
        sizes.min_input_tokens,
        users.user_name,
        'usage' as charge_kind,
        0 as billed_lines,
        0 as mantle_lines,
        0 as billed,
        0 as billed_cost,
        figures.token_kind in (
            {{ columns.each(columns.token_prices, "'{}'") }}
        ) as is_tokens,
        figures.known,
        figures.estimated,
        figures.rate as our_rate,
        figures.list_rate as our_list_rate,
        figures.is_current
    from figures
    inner join rate_keys on rate_keys.rate_key = figures.rate_key
    inner join sizes on sizes.rate_key = figures.rate_key
    inner join models on models.model_key = rate_keys.model_key
    inner join regions on regions.region_key = rate_keys.region_key
    inner join accounts on accounts.account_key = figures.account_key
    inner join stg_users as users on users.user_key = figures.user_key
    -- Provisioned throughput is paid by the hour.
    where not models.is_provisioned
),

named as (
    select
        both.*,
        iif(unnamed.day is null, both.user_name, null) as named_user
    from both
    left join unnamed
        on
            unnamed.month = both.month
            and unnamed.day = both.day
            and unnamed.account_id = both.account_id
            and unnamed.region = both.region
            and unnamed.model_id = both.model_id
),

cells as (
    select
        month,
        day,
        payer_account_id,
        account_id,
        region,
        model_id,
        {{ columns.each(bill.variant) }},
        named_user as user_name,
        charge_kind,
        max(is_current) as is_current,
        sum(billed_lines) as billed_lines,
        sum(mantle_lines) as mantle_lines,
        sum(billed) as billed,
        sum(billed_cost) as billed_cost,
        max(is_tokens) as is_tokens,
        sum(known) as known,
        sum(estimated) as estimated,
        sum((known + estimated) * coalesce(our_rate, 0)) as our_cost,
        sum((known + estimated) * coalesce(our_list_rate, 0)) as our_list_cost,
        max(our_rate) as our_rate,
        max(our_list_rate) as our_list_rate
    from named
    group by
        month,
        day,
        payer_account_id,
        account_id,
        region,
        model_id,
        {{ columns.each(bill.variant) }},
        named_user,
        charge_kind
),

prices_of_lines as (
    {{ bill.prices_of('lines') }}
),

-- Another user of the account may have the rate that a user lacks.
rated as materialized (
    select
        cells.*,
        {{ bill.counted_kind('cells.token_kind') }} as counted_kind,
        coalesce({{ over_users('our_rate') }}, prices.rate) as any_rate,
        coalesce({{ over_users('our_list_rate') }}, prices.list_rate) as any_list_rate
    from cells
    left join prices_of_lines as prices
        on
            cells.charge_kind = 'usage'
            and prices.day = cells.day
            and prices.account_id = cells.account_id
            and prices.region = cells.region
            and prices.model_id = cells.model_id
{% for column in bill.variant %}
            and prices.{{ column }} = cells.{{ column }}
{% endfor %}
),

-- Where discounts are rows of their own, the usage that they name is at list price.
-- Some name none: then it is what costs nearer to list price than to ours.
discounts_of_bill as materialized (
    select distinct
        month,
        payer_account_id,
        account_id,
        region,
        model_id,
        {{ bill.counted_kind('token_kind') }} as counted_kind
    from int_bill_lines
    where
        month_key in (select covered.month_key from covered)
        and charge_kind = 'discount'
        and currency = 'USD'
),

near_list as (
    select
        month,
        day,
        {{ columns.each(priced_alike) }}
    from rated
    where
        charge_kind = 'usage'
        and (month, payer_account_id) in (
            select
                nameless.month,
                nameless.payer_account_id
            from discounts_of_bill as nameless
            where nameless.model_id is null
        )
    group by
        month,
        day,
        {{ columns.each(priced_alike) }}
    having
        abs(sum(billed_cost - billed * any_list_rate))
        < abs(sum(billed_cost - billed * any_rate))
),

at_list as materialized (
    select
        days.month,
        days.day,
        {{ columns.each(priced_alike, 'discounted.{}') }}
    from days
    inner join discounts_of_bill as discounted on discounted.month = days.month
    where discounted.model_id is not null
    union
    select * from near_list
)

select
    {{ columns.each(bill.place, 'rated.{}') }},
    {{ columns.each(bill.variant, 'rated.{}') }},
    rated.charge_kind,
    rated.day > covered.closed_until as is_open,
    rated.is_current,
    rated.billed_lines,
    rated.mantle_lines,
    rated.billed,
    rated.billed_cost,
    rated.is_tokens,
    rated.known,
    rated.estimated,
    rated.our_cost,
    iif(at_list.day is null or any_list_rate is null, our_cost, our_list_cost)
        as our_basis,
    iif(at_list.day is null, any_rate, coalesce(any_list_rate, any_rate)) as rate,
    rated.any_list_rate as list_rate
from rated
inner join covered
    on
        covered.month = rated.month
        and covered.payer_account_id = rated.payer_account_id
        and covered.account_id = rated.account_id
left join at_list
    on
        at_list.month = rated.month
        and at_list.day = rated.day
{% for column in priced_alike %}
        and at_list.{{ column }} = rated.{{ column }}
{% endfor %}
{% endmacro %}
