-- Which export's lines count for each account of a bill?
-- Grain: month of an export x payer x account. is_used is 1 for one export of each
-- month, payer and account: one that names callers before one that does not, CUR 2.0
-- before the legacy report before FOCUS, then the one that has the latest usage, as a
-- new export may have taken the place of one that ended.
with months as (
    select
        bill_months.month_key,
        bill_months.export_key,
        bill_months.month,
        max(iif(bill_lines.charge_kind = 'usage', bill_lines.day, '')) as last_day
    from bill_months
    left join bill_lines on bill_lines.month_key = bill_months.month_key
    group by bill_months.month_key
)

select
    bill_accounts.month_key,
    months.month,
    bill_accounts.payer_account_id,
    bill_accounts.account_id,
    row_number() over (
        partition by
            months.month,
            bill_accounts.payer_account_id,
            bill_accounts.account_id
        order by bill_accounts.rank, months.last_day desc, months.export_key
    ) = 1 as is_used
from bill_accounts
inner join months on months.month_key = bill_accounts.month_key
