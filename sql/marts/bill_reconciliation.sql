-- Does AWS's bill agree with the costs of the warehouse, month by month?
-- Grain: month x payer, of what is billed in USD.
-- state: open (some days may still change), agrees (within the tolerance: 1 % of the
-- bill or 1 USD, unless configured), explained (what is not understood is within it),
-- or unexplained.
-- Units: tokens; USD, billed less ours. Ours is as it was before the bill was known.
with compared as (
    {{ bill.compared(['month', 'payer_account_id']) }}
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
