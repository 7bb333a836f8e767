-- What do the warehouse and the bill say of each user's day?
-- Grain: as the view bill_comparison_by_user. :months is a JSON array.
select *
from (
    {{ bill.compared(bill.place, bill_differences.of_months) }}
)
order by month, payer_account_id, day, account_id, region, model_id, user_name
