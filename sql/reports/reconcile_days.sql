-- What do the warehouse, CloudWatch and the bill say of each day?
-- Grain: as the view bill_comparison. :months is a JSON array.
select *
from (
    {{ bill_differences.days(bill_differences.of_months) }}
)
order by month, payer_account_id, day, account_id, region, model_id
