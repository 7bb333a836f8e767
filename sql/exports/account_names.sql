-- What are the accounts of the organization called?
-- Grain: account.
select
    account_id,
    account_name
from account_names
