-- What do the warehouse, CloudWatch and the bill say of each day?
-- Grain: as the view bill_comparison. :months is a JSON array, NULL for all.
select *
from bill_comparison
where :months is null or month in (select value from json_each(:months))
order by month, payer_account_id, day, account_id, region, model_id
