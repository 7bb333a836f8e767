-- Which accounts does the bill cover in each month, up to which day for good?
-- Grain: month x payer x account. Only accounts of which nothing is billed in another
-- currency in the month. account_key is NULL where the bill names no account.
with used as (
    select
        *,
        min(is_in_usd) over (partition by month, account_id) as is_all_in_usd
    from int_bill_accounts
    where is_used
)

select
    used.month,
    used.payer_account_id,
    used.account_id,
    accounts.account_key,
    used.month_key,
    closed.closed_until
from used
inner join int_bill_closed as closed on closed.month_key = used.month_key
left join accounts on accounts.account_id = used.account_id
where used.is_all_in_usd
