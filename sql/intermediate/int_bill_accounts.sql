-- Which export's lines count for each account of a bill?
-- Grain: month of an export x payer x account. is_used is 1 for one export of each
-- month, payer and account: one that names callers before one that does not, CUR 2.0
-- before the legacy report before FOCUS, then the one that has the latest usage, as a
-- new export may have taken the place of one that ended.
select
    bill_accounts.month_key,
    bill_months.month,
    bill_accounts.payer_account_id,
    bill_accounts.account_id,
    bill_accounts.is_in_usd,
    row_number() over (
        partition by
            bill_months.month,
            bill_accounts.payer_account_id,
            bill_accounts.account_id
        order by
            bill_accounts.rank,
            coalesce(bill_months.last_day, '') desc,
            bill_months.export_key
    ) = 1 as is_used
from bill_accounts
inner join bill_months on bill_months.month_key = bill_accounts.month_key
