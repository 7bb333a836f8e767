-- Which accounts have discounts of their own?
-- Grain: account that a discount names. discount_group: 2^32 times the lowest
-- account_key with the same discounts, which stands for all accounts that have them.

-- This is the definition of account_discounts.
with named as (
    select
        accounts.account_key,
        discounts.discount_number
    from discounts
    cross join accounts
    where
        discounts.accounts is not null
        and {{ rates.meets('accounts', ['accounts.account_id']) }}
    order by accounts.account_key, discounts.discount_number
),

listed as (
    select
        account_key,
        group_concat(discount_number) as discount_numbers
    from named
    group by account_key
)

select
    account_key,
    min(account_key) over (partition by discount_numbers) << 32 as discount_group
from listed
