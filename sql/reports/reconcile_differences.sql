-- Why does the bill differ from the warehouse's figures?
-- Grain: as the view bill_differences. :months is a JSON array, NULL for all.
select *
from bill_differences
where :months is null or month in (select value from json_each(:months))
order by
    month,
    payer_account_id,
    day,
    account_id,
    region,
    model_id,
    user_name,
    token_kind,
    reason,
    service_tier,
    inference_scope,
    min_input_tokens
