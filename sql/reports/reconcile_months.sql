-- Do the months of the bill agree with the warehouse's figures?
-- Grain: as the view bill_reconciliation. :months is a JSON array, NULL for all.
select *
from bill_reconciliation
where :months is null or month in (select value from json_each(:months))
order by month, payer_account_id
