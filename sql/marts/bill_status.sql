-- Which months of AWS's bill are here, and what of them is not final or not understood?
-- Grain: export x month. Units: USD; days. is_used is 0 where another export of the same
-- bill is used instead, and 1 where this one is for at least one account. Days are open
-- until the export has usage of two days later: AWS delivers a day's lines 24 to 48
-- hours late.
with lines as (
    select
        month_key,
        sum(lines) as lines,
        sum(iif(charge_kind = 'not understood', lines, 0)) as lines_not_understood,
        {{ money.dollars("iif(charge_kind = 'not understood' and currency = 'USD', cost_pico, null)") }}
            as not_understood_cost_usd,
        sum(iif(unit_evidence = 'corrected', lines, 0)) as lines_with_another_unit,
        max(iif(charge_kind = 'usage', day, null)) as last_day
    from bill_lines
    group by month_key
),

accounts as (
    select
        month_key,
        max(is_used) as is_used,
        group_concat(distinct payer_account_id) as payer_account_ids
    from int_bill_accounts
    group by month_key
),

months as (
    select
        bill_months.*,
        bill_exports.export,
        lines.lines,
        lines.lines_not_understood,
        lines.not_understood_cost_usd,
        lines.lines_with_another_unit,
        lines.last_day,
        date(bill_months.month || '-01', '+1 month', '-1 day') as month_end,
        max(lines.last_day) over (partition by bill_months.export_key) as export_last_day
    from bill_months
    inner join bill_exports on bill_exports.export_key = bill_months.export_key
    left join lines on lines.month_key = bill_months.month_key
),

closed as (
    select
        *,
        min(month_end, coalesce(date(export_last_day, '-2 days'), '')) as closed_until
    from months
)

select
    closed.month,
    closed.export,
    closed.form,
    accounts.payer_account_ids,
    coalesce(accounts.is_used, 0) as is_used,
    closed.version,
    closed.run,
    closed.read_at,
    coalesce(closed.lines, 0) as lines,
    coalesce(closed.lines_not_understood, 0) as lines_not_understood,
    closed.not_understood_cost_usd,
    coalesce(closed.lines_with_another_unit, 0) as lines_with_another_unit,
    closed.last_day,
    iif(
        closed.closed_until < closed.month,
        cast(substr(closed.month_end, 9) as integer),
        cast(substr(closed.month_end, 9) as integer)
        - cast(substr(closed.closed_until, 9) as integer)
    ) as open_days,
    closed.columns_lost,
    closed.columns_new
from closed
left join accounts on accounts.month_key = closed.month_key
