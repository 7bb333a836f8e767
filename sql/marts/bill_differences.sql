-- Why does AWS's bill differ from the costs of the warehouse?
-- Grain: day x account x region x model x token kind x user x reason; price and
-- rounding also by inference scope, tier and context size. Only accounts and months of
-- the bill in USD. Units: USD, billed less ours; the rows of a day add up to its
-- difference, exactly in difference_picodollars. Ours is as it was before the bill was
-- known.
-- reason:
-- price: the same tokens at another rate: billed tokens times the difference of rates.
-- rounding: as small as what AWS rounds in each line.
-- missing calls: more tokens are billed than were seen; times our rate, like the next:
-- not yet billed, never billed: fewer are billed, on a day that is open or closed.
-- estimate error: the tokens were estimated, and the bill knows them: of some user.
-- gross or net input: input is more or less by exactly the cached tokens.
-- tier: the same tokens in another tier, scope, context size or lifetime of the cache.
-- discount: the bill's discounts, less ours where both have some.
-- Everything else that is billed is a reason of its own, under its charge_kind.
{% set why_counts_differ %}
case
    when more < 0 and is_open then 'not yet billed'
    when is_cached_input then 'gross or net input'
    when estimated > 0 and billed_to_all > 0 then 'estimate error'
    when more > 0 then 'missing calls'
    else 'never billed'
end
{%- endset %}
{% set of_counts = [
    {
        'reason': why_counts_differ,
        'endpoint': "iif(mantle_lines > 0, 'mantle', 'runtime')",
        'tokens': 'more',
        'rate': 'iif(rate = highest_rate, rate, null)',
        'amount': 'counts_amount',
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
with cells as materialized (
    select
        *,
        coalesce(rate, 0) as known_rate,
        billed - ours as more
    from int_bill_cells
),

priced as (
    select
        *,
        billed_cost - billed * known_rate + ours * known_rate - our_basis as amount
    from cells
    where charge_kind = 'usage'
),

cached as (
    select
        day,
        account_id,
        region,
        model_id,
        user_name,
        sum(ours) as ours,
        sum(billed) as billed
    from cells
    where charge_kind = 'usage' and counted_kind in ('cache_read', 'cache_write')
    group by day, account_id, region, model_id, user_name
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
            partition by day, account_id, region, model_id, counted_kind
        ) as billed_to_all,
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
counted as (
    select
        groups.*,
        case
            when groups.tokens_more = 0 or groups.tokens_less = 0
                then groups.cost_more - groups.cost_less
            when groups.more >= 0
                then groups.more * (groups.cost_more / groups.tokens_more)
            else groups.more * (groups.cost_less / groups.tokens_less)
        end as counts_amount,
        coalesce(
            groups.counted_kind = 'input'
            and abs(groups.more) in (cached.ours, cached.billed)
            and groups.more <> 0,
            0
        ) as is_cached_input
    from groups
    left join cached
        on
            cached.day = groups.day
            and cached.account_id = groups.account_id
            and cached.region = groups.region
            and cached.model_id = groups.model_id
            and cached.user_name is groups.user_name
),

reasons as (
    select
        {{ columns.each(bill.place) }},
        is_open,
        {{ columns.each(bill.variant) }},
        iif(
            abs(amount) <= billed_lines * (known_rate + 1000) and rate is not null,
            'rounding',
            'price'
        ) as reason,
        null as endpoint,
        billed as tokens,
        rate,
        round(billed_cost * 1.0 / nullif(billed, 0) / 1e6, 9) as billed_usd_per_million,
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
    {{ columns.each(bill.place) }},
    token_kind,
    inference_scope,
    service_tier,
    min_input_tokens,
    reason,
    endpoint,
    is_open,
    tokens as difference_tokens,
    rate / 1e6 as our_usd_per_million,
    billed_usd_per_million,
    round(amount / 1e12, 12) as difference_usd,
    amount as difference_picodollars
from reasons
where amount <> 0
