-- Which months of AWS's bill are here, and what of them is not final or not understood?
-- Grain: export x month. Units: USD; days. is_used is 0 where another export of the
-- same bill is used instead, and 1 where this one is for at least one account. Open
-- days may still change: int_bill_closed says which.
with each as (
    select
        *,
        iif(reason is not null and currency = 'USD', cost_pico, null) as unclear_pico
    from bill_lines
),

lines as (
    select
        month_key,
        sum(lines) as lines,
        sum(iif(charge_kind = 'not understood', lines, 0)) as lines_not_understood,
        {{ money.dollars('unclear_pico') }} as not_understood_cost_usd,
        sum(iif(unit_evidence = 'corrected', lines, 0)) as lines_with_another_unit
    from each
    group by month_key
),

accounts as (
    select
        month_key,
        max(is_used) as is_used,
        group_concat(distinct payer_account_id) as payer_account_ids
    from int_bill_accounts
    group by month_key
)

select
    bill_months.month,
    bill_exports.export,
    bill_months.form,
    accounts.payer_account_ids,
    coalesce(accounts.is_used, 0) as is_used,
    bill_months.version,
    bill_months.run,
    bill_months.read_at,
    coalesce(lines.lines, 0) as lines,
    coalesce(lines.lines_not_understood, 0) as lines_not_understood,
    lines.not_understood_cost_usd,
    coalesce(lines.lines_with_another_unit, 0) as lines_with_another_unit,
    closed.last_day,
    iif(
        closed.closed_until < bill_months.month,
        cast(substr(closed.month_end, 9) as integer),
        cast(substr(closed.month_end, 9) as integer)
        - cast(substr(closed.closed_until, 9) as integer)
    ) as open_days,
    bill_months.columns_lost,
    bill_months.columns_new
from bill_months
inner join bill_exports on bill_exports.export_key = bill_months.export_key
inner join int_bill_closed as closed on closed.month_key = bill_months.month_key
left join lines on lines.month_key = bill_months.month_key
left join accounts on accounts.month_key = bill_months.month_key
