-- What the bill is compared with, day by day, why it differs, and whether months agree.
-- where: which months, a condition on int_bill_cells.

{% import 'macros/bill' as bill %}
{% import 'macros/columns' as columns %}
{% import 'macros/money' as money %}

{% set of_months = 'month in (select value from json_each(:months))' %}
{% set of_selected_days = "month >= substr(coalesce(:since, ''), 1, 7)
    and month <= coalesce(nullif(substr(:until, 1, 7), ''), '9999')" %}

{% set of_stale_days = '(month, day) in (select month, day from stale_bill_days)' %}

-- Of what a reason is.
{% set reason = bill.place + bill.variant + ['reason', 'endpoint', 'is_open'] %}

-- AWS rounds the amount of each line, and its cost.
{% macro is_rounding(amount) -%}
coalesce(
    abs({{ amount }}) <= billed_lines * (rate + 1000),
    false
)
{%- endmacro %}

-- All users of what is compared.
{% set of_all = bill.place[:-1] + ['counted_kind'] %}

{% set why_counts_differ %}
case
    when more < 0 and is_open then 'not yet billed'
    when is_cached_input then 'gross or net input'
    when more > 0 then 'missing calls'
    else 'never billed'
end
{%- endset %}
{% set of_counts = [
    {
        'reason': "'estimate error'",
        'endpoint': "iif(mantle_lines > 0, 'mantle', 'runtime')",
        'tokens': 'off',
        'rate': 'iif(rate = highest_rate, rate, null)',
        'amount': 'off_amount',
    },
    {
        'reason': why_counts_differ,
        'endpoint': "iif(mantle_lines > 0, 'mantle', 'runtime')",
        'tokens': 'more - off',
        'rate': 'iif(rate = highest_rate, rate, null)',
        'amount': 'counts_amount - off_amount',
    },
    {
        'reason': "'tier'",
        'endpoint': 'null',
        'tokens': 'min(tokens_more, tokens_less)',
        'rate': 'null',
        'amount': 'cost_more - cost_less - counts_amount',
    },
    {
        'reason': "'discount'",
        'endpoint': 'null',
        'tokens': 'null',
        'rate': 'null',
        'amount': '-our_discount',
    },
] %}

-- The rows of bill_reasons.
{% macro reasons(where='true') %}
with cells as materialized (
    select
        *,
        coalesce(rate, 0) as known_rate,
        billed - ours as more
    from int_bill_cells
    where
        {{ where }}
),

priced as (
    select
        *,
        billed_cost - billed * known_rate + ours * known_rate - our_basis as amount
    from cells
    where charge_kind = 'usage'
),

groups as (
    select
        {{ columns.each(bill.place) }},
        counted_kind,
        is_open,
        sum(mantle_lines) as mantle_lines,
        sum(more) as more,
        sum(estimated) as estimated,
        sum(sum(billed)) over (
            partition by
                {{ columns.each(of_all) }}
        ) as billed_to_all,
        sum(sum(iif(counted_kind like 'cache_%', ours, 0))) over (
            partition by
                {{ columns.each(bill.place) }}
        ) as our_cached,
        sum(sum(iif(counted_kind like 'cache_%', billed, 0))) over (
            partition by
                {{ columns.each(bill.place) }}
        ) as billed_cached,
        sum(our_cost - our_basis) as our_discount,
        min(rate) as rate,
        max(rate) as highest_rate,
        sum(max(more, 0)) as tokens_more,
        sum(max(-more, 0)) as tokens_less,
        sum(max(more, 0) * known_rate) as cost_more,
        sum(max(-more, 0) * known_rate) as cost_less
    from cells
    where charge_kind = 'usage'
    group by
        {{ columns.each(bill.place) }},
        counted_kind,
        is_open
),

-- What moved between tiers is priced at the mean rate of what did not stay.
moved as (
    select
        *,
        case
            when tokens_more = 0 or tokens_less = 0 then cost_more - cost_less
            when more >= 0 then more * (cost_more / tokens_more)
            else more * (cost_less / tokens_less)
        end as counts_amount,
        counted_kind = 'input'
        and more <> 0
        and abs(more) in (our_cached, billed_cached) as is_cached_input
    from groups
    where tokens_more > 0 or tokens_less > 0 or our_discount <> 0
),

-- CloudWatch counted what is estimated: an estimate of a user can be too low only
-- by what those of others are too high, and too high only by itself.
estimates as (
    select
        *,
        iif(
            more < 0 and billed_to_all > 0 and not is_cached_input,
            min(-more, estimated),
            0
        ) as too_high,
        iif(more > 0 and estimated > 0 and not is_cached_input, more, 0) as too_low
    from moved
),

shared as (
    select
        *,
        sum(too_high) over (
            partition by
                {{ columns.each(of_all) }}
        )
        - sum(too_low) over (
            partition by
                {{ columns.each(of_all) }}
            order by too_low desc, user_name
            rows unbounded preceding
        )
        + too_low as left_to_share
    from estimates
),

off_by as (
    select
        *,
        iif(
            more > 0,
            max(0, min(too_low, left_to_share)),
            iif(is_open, 0, -too_high)
        ) as off
    from shared
),

-- A part of an amount, in two steps: the product may be too large for one.
counted as (
    select
        *,
        iif(
            off = more,
            counts_amount,
            off * (counts_amount / more)
            + cast(round(off * 1.0 * (counts_amount % more) / more) as integer)
        ) as off_amount
    from off_by
),

reasons as (
    select
        {{ columns.each(bill.place) }},
        is_open,
        {{ columns.each(bill.variant) }},
        iif(
            {{ is_rounding('amount') }},
            'rounding',
            'price'
        ) as reason,
        null as endpoint,
        billed as tokens,
        rate,
        round(billed_cost * 1.0 / nullif(billed, 0) / 1e6, 9)
            as billed_usd_per_million,
        amount
    from priced
    union all
{% for one in of_counts %}
    select
        {{ columns.each(bill.place) }},
        is_open,
        counted_kind as token_kind,
        null as inference_scope,
        null as service_tier,
        null as min_input_tokens,
        {{ one.reason }} as reason,
        {{ one.endpoint }} as endpoint,
        {{ one.tokens }} as tokens,
        {{ one.rate }} as rate,
        null as billed_usd_per_million,
        {{ one.amount }} as amount
    from counted
    union all
{% endfor %}
    select
        {{ columns.each(bill.place) }},
        is_open,
        token_kind,
        inference_scope,
        service_tier,
        min_input_tokens,
        charge_kind as reason,
        null as endpoint,
        null as tokens,
        null as rate,
        null as billed_usd_per_million,
        billed_cost as amount
    from cells
    where charge_kind <> 'usage'
)

select
    {{ columns.each(reason) }},
    tokens as difference_tokens,
    rate,
    billed_usd_per_million,
    amount as difference_picodollars
from reasons
where amount <> 0
{% endmacro %}

-- The rows of bill_comparison.
{% macro days(where='true') %}
with compared as (
    {{ bill.compared(bill.place[:-1], where) }}
),

cloudwatch as (
    select
        daily.day,
        accounts.account_id,
        regions.region,
        models.model_id,
        sum(daily.cloudwatch_tokens) as cloudwatch_tokens
    from int_cloudwatch_daily as daily
    inner join accounts on accounts.account_key = daily.account_key
    inner join regions on regions.region_key = daily.region_key
    inner join int_bill_models as models on models.model_key = daily.model_key
    where substr(daily.day, 1, 7) in (select compared.month from compared)
    group by daily.day, accounts.account_id, regions.region, models.model_id
),

-- Of several payers of an account, the one with ours has what CloudWatch counted.
turns as (
    select
        *,
        row_number() over (
            partition by month, day, account_id, region, model_id
            order by coalesce(our_tokens, 0) desc, payer_account_id
        ) as turn
    from compared
)

select
    {{ columns.each(bill.place[:-1], 'turns.{}') }},
    turns.is_open,
    turns.is_current,
    turns.our_tokens,
    turns.billed_tokens,
    turns.our_cost_usd,
    turns.billed_cost_usd,
    turns.difference_usd,
    turns.not_understood_usd,
    cloudwatch.cloudwatch_tokens
from turns
left join cloudwatch
    on
        turns.turn = 1
        and substr(turns.day, 1, 7) = turns.month
        and cloudwatch.day = turns.day
        and cloudwatch.account_id = turns.account_id
        and cloudwatch.region = turns.region
        and cloudwatch.model_id = turns.model_id
{% endmacro %}

-- The rows of bill_reconciliation.
{% macro months(where='true') %}
with compared as (
    {{ bill.compared(['month', 'payer_account_id'], where) }}
),

closes as (
    select
        month,
        payer_account_id,
        date(month || '-01', '+1 month', '-1 day') as month_end,
        min(closed_until) as closed_until
    from int_bill_covered
    group by month, payer_account_id
),

-- A table without a row means the defaults.
tolerance as (
    select
        coalesce(max(millionths), 10000) / 1e6 as part,
        coalesce(max(picodollars), 1000000000000) / 1e12 as usd
    from bill_tolerance
),

final as (
    select
        compared.month,
        compared.payer_account_id,
        cast(
            julianday(closes.month_end)
            - julianday(
                max(closes.closed_until, date(compared.month || '-01', '-1 day'))
            ) as integer
        ) as open_days,
        compared.our_tokens,
        compared.billed_tokens,
        compared.our_cost_usd,
        compared.billed_cost_usd,
        compared.difference_usd,
        compared.not_understood_usd,
        max(abs(compared.billed_cost_usd) * tolerance.part, tolerance.usd)
            as tolerance_usd
    from compared
    inner join closes
        on
            closes.month = compared.month
            and closes.payer_account_id = compared.payer_account_id
    cross join tolerance
)

select
    *,
    case
        when open_days > 0 then 'open'
        when abs(difference_usd) <= tolerance_usd then 'agrees'
        when abs(not_understood_usd) <= tolerance_usd then 'explained'
        else 'unexplained'
    end as state
from final
{% endmacro %}
