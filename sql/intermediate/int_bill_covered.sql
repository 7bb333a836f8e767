-- Which accounts does the bill cover in each month, up to which day for good?
-- Grain: month x account. Only what is billed in USD; payer_account_id is the first of
-- those that pay for the account. has_discounts: the payer's bill has discounts as rows
-- of their own, so its usage is at list price.
with used as (
    select
        used.month_key,
        used.month,
        used.payer_account_id,
        used.account_id,
        closed.closed_until
    from int_bill_accounts as used
    inner join int_bill_closed as closed on closed.month_key = used.month_key
    where used.is_used
),

payers as (
    select
        month_key,
        payer_account_id,
        max(charge_kind = 'discount') as has_discounts
    from bill_lines
    group by month_key, payer_account_id
),

other_currencies as (
    select distinct
        bill_lines.month_key,
        coalesce(accounts.account_id, '') as account_id
    from bill_lines
    inner join bill_callers on bill_callers.caller_key = bill_lines.caller_key
    left join accounts on accounts.account_key = bill_callers.account_key
    where bill_lines.currency <> 'USD'
)

select
    used.month,
    used.account_id,
    accounts.account_key,
    min(used.payer_account_id) as payer_account_id,
    min(used.month_key) as month_key,
    min(used.closed_until) as closed_until,
    max(payers.has_discounts) as has_discounts
from used
inner join payers
    on
        payers.month_key = used.month_key
        and payers.payer_account_id = used.payer_account_id
left join accounts on accounts.account_id = used.account_id
where (used.month_key, used.account_id) not in (select * from other_currencies)
group by used.month, used.account_id
