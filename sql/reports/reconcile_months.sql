-- Do the months of the bill agree with the warehouse's figures?
-- Grain: as the view bill_reconciliation. :months is a JSON array.
select *
from (
    {{ bill_differences.months(bill_differences.of_months) }}
)
order by month, payer_account_id
