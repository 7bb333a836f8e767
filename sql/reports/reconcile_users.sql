-- What do the warehouse and the bill say of each user's day?
-- Grain: as the view bill_comparison_by_user. :months is a JSON array, NULL for all.
select *
from bill_comparison_by_user
where :months is null or month in (select value from json_each(:months))
order by month, payer_account_id, day, account_id, region, model_id, user_name
